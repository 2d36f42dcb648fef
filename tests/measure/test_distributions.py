"""FID and KID on Gaussians whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from astrogate.core.errors import AstrogateError
from astrogate.measure.distributions import diversity, fid, kid
from astrogate.menagerie.oracle import load_oracle


def test_fid_is_the_formula_and_zero_for_one_set() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)), rng.normal(1.0, 2.0, (400, 6))
    s, t = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    means = x.mean(0) - y.mean(0)
    expected = means @ means + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)
    assert fid(x, y) == pytest.approx(expected, rel=1e-6)
    assert fid(x, x) == pytest.approx(0, abs=1e-6)
    many = rng.normal(size=(20_000, 3))
    assert fid(many, 2 * rng.normal(size=(20_000, 3)) + [1, 0, 0]) == pytest.approx(1 + 3, rel=0.05)


def test_kid_is_unbiased_and_grows_with_the_distance() -> None:
    rng = np.random.default_rng(1)
    same = [kid(rng.normal(size=(60, 8)), rng.normal(size=(60, 8))) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(len(same))
    near, far = (kid(rng.normal(size=(200, 8)), rng.normal(size=(200, 8)) + shift) for shift in (0.5, 1.5))
    assert 0 < near < far
    x, y = rng.normal(size=(3, 2)), rng.normal(size=(2, 2))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 2 + 1) ** 3)

    within_x = np.mean([k(x[i], x[j]) for i in range(3) for j in range(3) if i != j])
    expected = within_x + k(y[0], y[1]) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert kid(x, y) == pytest.approx(expected)


def test_diversity() -> None:
    assert diversity(np.eye(4)) == pytest.approx(1)
    assert diversity(np.ones((3, 5))) == pytest.approx(0)
    with pytest.raises(AstrogateError, match="two or more"):
        diversity(np.ones((1, 5)))
    with pytest.raises(AstrogateError, match="one width"):
        fid(np.ones((3, 5)), np.ones((3, 4)))


def test_the_oracles_features_tell_pictures_apart() -> None:
    import torch

    oracle = load_oracle()
    pictures = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    features = oracle.features(pictures)
    assert features.shape[0] == 5
    assert torch.equal(oracle.features(pictures[2:3]), features[2:3]) or torch.allclose(
        oracle.features(pictures[2:3]), features[2:3], atol=1e-4
    )
    assert not list(oracle.net.head[1]._forward_hooks)  # type: ignore[index,union-attr]
