"""Leakage against changes that are known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from astrogate.core.protocols import Readings
from astrogate.measure.leakage import Cell, Target, effect, leak, outside

CLASSES = {"colour": ("black", "white", "red"), "hat": ("none", "red")}
SPREAD = {"build": 0.5, "mood": 0.25}


def readings(n: int = 2) -> Readings:
    return Readings(
        classes=CLASSES,
        probabilities={
            "colour": torch.tensor([[0.2, 0.3, 0.5]]).repeat(n, 1),
            "hat": torch.tensor([[1.0, 0]]).repeat(n, 1),
        },
        values={"build": torch.zeros(n), "mood": torch.zeros(n)},
        mask=torch.zeros(n, 4, 4),
    )


def test_effects_are_in_standard_deviations_or_probabilities() -> None:
    before = readings()
    after = replace(before, values={**before.values, "build": torch.tensor([0.5, -1.0])})
    assert effect(Target("build"), before, after, SPREAD).tolist() == [1, -2]
    assert effect(Target("build", sign=-1), before, after, SPREAD).tolist() == [-1, 2]
    assert effect(Target("colour", "red"), before, after, SPREAD).tolist() == [0.5, 0.5]
    assert Target("build").level == 1
    assert Target("colour", "red").level == 0.5


def test_leaks_leave_the_target_out_and_average_the_rest() -> None:
    before = readings(1)
    after = replace(
        before,
        values={"build": torch.tensor([0.5]), "mood": torch.tensor([-0.5])},
        probabilities={"colour": torch.tensor([[0.5, 0.3, 0.2]]), "hat": torch.tensor([[0.4, 0.6]])},
    )
    factors = ("build", "mood", "colour", "hat")
    assert leak(Target("build"), before, after, SPREAD, factors).item() == pytest.approx((2 + 0.3 + 0.6) / 3)
    assert leak(Target("hat", "red"), before, after, SPREAD, factors).item() == pytest.approx((1 + 2 + 0.3) / 3)
    assert leak(Target("hat", "red"), before, after, SPREAD, ("hat", "colour")).item() == pytest.approx(0.3)
    assert leak(Target("build"), before, before, SPREAD, factors).item() == 0


def test_outside_counts_what_the_mask_leaves() -> None:
    before, mask = torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4)
    mask[:, :, :2] = 1
    inside, beside = before.clone(), before.clone()
    inside[..., :2], beside[..., 2:] = 1, 0.25
    assert outside(before, inside, mask).tolist() == [0, 0]
    assert outside(before, beside, mask).tolist() == [0.25, 0.25]
    assert outside(before, inside, torch.ones(2, 4, 4)).tolist() == [0, 0]


def test_a_cell_is_read_where_the_effect_is_reached() -> None:
    cell = Cell((0, 1, 2, 4), (0.0, 0.5, 1.5, 3.0), (0, 0.1, 0.3, 0.9), (0, 0.2, 0.4, 0.4), 1.0)
    assert cell.reached == pytest.approx(1.5)
    assert cell.leakage == pytest.approx(0.2)
    assert cell.background == pytest.approx(0.3)
    there = replace(cell, effects=(0.6, 0.7, 0.8, 0.9), level=0.5)
    assert (there.reached, there.leakage) == (0, 0)
    never = replace(cell, effects=(0.0, 0.5, 0.7, 0.6))
    assert never.reached is None
    assert math.isnan(never.leakage)
    exact = replace(cell, effects=(0.0, 0.2, 0.4, 1.0))
    assert exact.reached == pytest.approx(4)
    assert exact.leakage == pytest.approx(0.9)
