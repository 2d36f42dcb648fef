"""Leakage: what else changes when an edit has done its work.

A cell is one attribute on one subject over several seeds. Along a sweep of strengths from 0 on,

    effect(s)  = mean over seeds of the target's change: in standard deviations of its natural spread,
                 or, of a categorical one, the probability of the wanted value
    leak(s)    = mean over seeds and the other visible factors of |change| in standard deviations,
                 categorical: the total variation 1/2 sum |p' - p|
    outside(s) = mean over seeds of |picture' - picture| outside the subject's mask in the first picture

and leakage is leak and outside where the effect first reaches its level (1 standard deviation; probability 1/2),
linear between strengths. A cell whose effect never does is unreached, which is a result of its own.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from astrogate.core.protocols import Readings


@dataclass(frozen=True, slots=True)
class Target:
    """What an attribute is to become: a categorical factor's `value`, or a continuous factor's `sign` (+1 or -1)."""

    factor: str
    value: str | None = None
    sign: int = 1

    @property
    def level(self) -> float:
        """The effect to read leakage at."""
        return 1.0 if self.value is None else 0.5


def effect(target: Target, before: Readings, after: Readings, spread: Mapping[str, float]) -> Tensor:
    """The target's effect [n] on n pictures; `spread` are the continuous factors' standard deviations."""
    if target.value is None:
        change = after.values[target.factor] - before.values[target.factor]
        return target.sign * change / spread[target.factor]
    return after.probabilities[target.factor][:, list(after.classes[target.factor]).index(target.value)]


def leak(
    target: Target, before: Readings, after: Readings, spread: Mapping[str, float], factors: Collection[str]
) -> Tensor:
    """The mean change [n] of `factors`, the target's own left out."""
    changes: list[Tensor] = []
    for factor in sorted(set(factors) - {target.factor}):
        if factor in before.values:
            changes.append((after.values[factor] - before.values[factor]).abs() / spread[factor])
        else:
            changes.append((after.probabilities[factor] - before.probabilities[factor]).abs().sum(1) / 2)
    return torch.stack(changes).mean(0)


def outside(before: Tensor, after: Tensor, mask: Tensor) -> Tensor:
    """The mean change [n] of pictures [n, 3, h, w] where the subject's mask [n, h, w] was not."""
    weight = (1 - mask)[:, None].expand_as(before)
    return ((after - before).abs() * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-6)


@dataclass(frozen=True, slots=True)
class Cell:
    """One attribute on one subject: means over seeds at each strength, the first of which is 0."""

    strengths: tuple[float, ...]
    effects: tuple[float, ...]
    leaks: tuple[float, ...]
    outsides: tuple[float, ...]
    level: float

    @property
    def reached(self) -> float | None:
        """The strength at which the effect first reaches its level; None where it never does."""
        pairs = list(zip(self.strengths, self.effects, strict=True))
        for (s0, e0), (s1, e1) in pairwise(pairs):
            if e0 >= self.level:
                return s0
            if e1 >= self.level:
                return s0 + (s1 - s0) * (self.level - e0) / (e1 - e0)
        return None

    def at(self, values: Sequence[float], strength: float) -> float:
        """`values`, one per strength, at a strength between."""
        pairs = list(zip(self.strengths, values, strict=True))
        for (s0, v0), (s1, v1) in pairwise(pairs):
            if strength <= s1:
                return v0 + (v1 - v0) * (strength - s0) / (s1 - s0)
        return values[-1]

    @property
    def leakage(self) -> float:
        """The other factors' change where the effect is reached; NaN where it never is."""
        return math.nan if self.reached is None else self.at(self.leaks, self.reached)

    @property
    def background(self) -> float:
        """The picture's change outside the subject where the effect is reached; NaN where it never is."""
        return math.nan if self.reached is None else self.at(self.outsides, self.reached)
