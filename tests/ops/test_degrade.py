"""Corruptions: the right size and range, the same by seed, and each does what its name says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from astrogate.ops.degrade import bsr_light, gaussian_blur, jpeg, resized


def picture(side: int = 64, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.random((3, side, side)), (0, 3, 3))
    return torch.from_numpy((smooth - smooth.min()) / (smooth.max() - smooth.min())).float()


def test_blur_is_scipys() -> None:
    x = picture()
    theirs = gaussian_filter(x.double().numpy(), (0, 1.0, 1.0), mode="mirror", truncate=5)
    assert gaussian_blur(x, size=11, sigma=(1.0, 1.0)).numpy() == pytest.approx(theirs, abs=1e-4)


def test_the_blur_of_the_paper_is_slight_and_keeps_the_mean() -> None:
    x = picture()
    y = gaussian_blur(x)
    assert float((x - y).abs().max()) < 0.05
    assert float((x - y).abs().max()) > 0
    assert torch.equal(gaussian_blur(torch.full((3, 8, 8), 0.5)).round(decimals=5), torch.full((3, 8, 8), 0.5))


def test_a_turned_blur_is_that_of_the_turned_picture() -> None:
    x = picture()
    a = gaussian_blur(x, size=9, sigma=(2.0, 0.5), angle=np.pi / 2)
    b = gaussian_blur(x.transpose(1, 2), size=9, sigma=(2.0, 0.5)).transpose(1, 2)
    assert torch.allclose(a, b, atol=1e-5)


def test_jpeg_loses_more_at_lower_quality() -> None:
    x = picture()
    losses = [float((jpeg(x, q) - x).square().mean()) for q in (95, 60, 20)]
    assert losses == sorted(losses)


@pytest.mark.parametrize("scale", [2, 4])
def test_bsr_light_reduces_by_the_scale_and_is_seeded(scale: int) -> None:
    x = picture(128)
    drawn = [bsr_light(x, scale, np.random.default_rng(seed)) for seed in range(24)]
    for y in drawn:
        assert y.shape == (3, 128 // scale, 128 // scale)
        assert 0 <= float(y.min()) <= float(y.max()) <= 1
    assert torch.equal(drawn[3], bsr_light(x, scale, np.random.default_rng(3)))
    clean = resized(x, 128 // scale, 128 // scale)
    off = [float((y - clean).square().mean()) for y in drawn]
    assert len({round(o, 8) for o in off}) == 24
    assert 0 < np.median(off) < 0.02
