"""DDIM's deterministic step (Song et al. 2021), with a the cumulative product of alphas at a timestep.

x0     = (x - sqrt(1 - a) eps) / sqrt(a)
x_next = sqrt(a') x0 + sqrt(1 - a') eps
"""

from __future__ import annotations

from torch import Tensor


def clean(x: Tensor, eps: Tensor, a: float) -> Tensor:
    """The picture x0 that a noisy x and its noise eps stand for, all of one shape."""
    return (x - (1 - a) ** 0.5 * eps) / a**0.5


def step(x: Tensor, eps: Tensor, a: float, a_next: float) -> Tensor:
    """From the level a to the level a_next, either way."""
    return a_next**0.5 * clean(x, eps, a) + (1 - a_next) ** 0.5 * eps
