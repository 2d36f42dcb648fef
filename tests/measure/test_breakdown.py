"""Breakdown of strips whose faults are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from astrogate.measure.breakdown import before_breakdown, breakdown, edge_energy

STRENGTHS = (0.0, 0.1, 0.2, 0.3)


def test_edge_energy_is_the_mean_gradient() -> None:
    ramp = torch.linspace(0, 1, 9).repeat(2, 3, 8, 1)
    assert edge_energy(ramp).tolist() == pytest.approx([1 / 8] * 2)
    assert edge_energy(ramp.transpose(2, 3)).tolist() == pytest.approx([1 / 8] * 2)
    assert edge_energy(torch.full((1, 3, 8, 8), 0.3)).item() == pytest.approx(0, abs=1e-7)
    noise = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = torch.from_numpy(ndimage.gaussian_filter(noise.numpy(), (0, 0, 1, 1)).astype(np.float32))
    assert edge_energy(blurred) < 0.5 * edge_energy(noise)


def test_breakdown_is_the_first_fault() -> None:
    assert breakdown(STRENGTHS, ["dog"] * 4, [1, 0.9, 0.85, 0.81]) is None
    assert breakdown(STRENGTHS, ["dog"] * 4, [1, 0.9, 0.79, 0.9]) == 0.2
    assert breakdown(STRENGTHS, ["dog", "dog", "dog", "cat"], [1, 1, 1, 1]) == 0.3
    assert breakdown(STRENGTHS, ["dog", "cat", "dog", "dog"], [1, 1, 0.1, 1]) == 0.1
    assert breakdown(STRENGTHS, ["dog"] * 4, [1, 0.6, 0.6, 0.6], keep=0.5) is None


def test_what_was_reached_before_it() -> None:
    assert before_breakdown(STRENGTHS, (0.1, 0.4, 0.9, 0.7), None) == 0.9
    assert before_breakdown(STRENGTHS, (0.1, 0.4, 0.9, 0.7), 0.2) == 0.4
    assert before_breakdown(STRENGTHS, (0.1, 0.4, 0.9, 0.7), 0.1) == 0.1
