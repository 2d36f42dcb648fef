"""Scores of paths on planted ones: even and uneven, moved and cross-faded, sharp and blurred, white and coloured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError
from astrogate.core.seeds import noise
from astrogate.measure.paths import clip_score, ghosting, gini, istd, jump, score_noise, score_path, sharpness


def moving(n: int = 9) -> torch.Tensor:
    """A bright square that moves across."""
    pictures = torch.zeros(n, 3, 32, 64)
    for i in range(n):
        pictures[i, :, 12:20, 4 + 6 * i : 12 + 6 * i] = 1
    return pictures


def fading(n: int = 9) -> torch.Tensor:
    """The first picture of the moving ones fading into the last."""
    ends = moving(n)
    u = torch.linspace(0, 1, n)[:, None, None, None]
    return (1 - u) * ends[0] + u * ends[-1]


def test_a_cross_fade_is_a_ghost_and_motion_is_not() -> None:
    assert ghosting(fading()) == pytest.approx(1, abs=1e-6)
    assert ghosting(moving()) < 0.01
    independent = torch.rand((9, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    assert ghosting(independent) < 0.01


def test_blur_in_the_middle_lowers_sharpness() -> None:
    pictures = moving()
    assert sharpness(pictures) == pytest.approx(1, abs=1e-3)
    blurred = pictures.clone()
    blurred[4:5] = F.avg_pool2d(pictures[4:5], 9, 1, 4)
    assert sharpness(blurred) < 0.8


def test_evenness_and_jumps() -> None:
    assert gini([1, 1, 1, 1]) == pytest.approx(0)
    assert gini([0, 0, 0, 4]) == pytest.approx(0.75)
    assert gini([0, 0]) == 0
    assert jump([1, 1, 1, 3]) == pytest.approx(2)
    assert jump([0, 0, 0]) == 0
    assert jump([0, 0, 1]) == float("inf")


def test_gini_agrees_with_its_definition() -> None:
    d = np.random.default_rng(0).random(50)
    direct = np.abs(d[:, None] - d).sum() / (2 * len(d) ** 2 * d.mean())
    assert gini(d) == pytest.approx(direct)


def test_istd_is_zero_for_an_even_fade_and_counts_levels() -> None:
    assert istd(fading()) == pytest.approx(0, abs=1e-4)
    grey = torch.tensor([0.0, 10, 40]) / 255
    assert istd(grey[:, None, None, None].expand(3, 3, 4, 4)) == pytest.approx(10, abs=1e-3)


def test_clip_scores_are_percent_and_never_negative() -> None:
    images = torch.tensor([[1.0, 0], [0, 1], [-1, 0]])
    assert clip_score(images, torch.tensor([1.0, 0])).tolist() == [100, 0, 0]
    d = np.array([1.0, 3.0])
    score = score_path(moving(3), d, images=images, text=torch.tensor([1.0, 0]))
    assert score.interp_score == pytest.approx(100 / 3)
    assert score.ppl == 4
    assert score.pdv == 1
    assert score.evenness == pytest.approx(0.75)
    assert np.isnan(score.fidelity)
    with pytest.raises(AstrogateError, match="two or more"):
        score_path(moving(1), [])


def test_white_noise_is_known_from_what_is_not() -> None:
    z = noise((4, 32, 32), 1)
    white = score_noise(z)
    assert white.norm == pytest.approx(1, abs=0.03)
    assert white.p > 0.01
    assert abs(white.neighbours) < 0.05
    small = score_noise(0.7 * z)
    assert small.norm == pytest.approx(0.7, abs=0.03)
    assert small.p < 1e-6
    smooth = score_noise(F.avg_pool2d(z, 3, 1, 1) * 3)
    assert smooth.neighbours > 0.5
