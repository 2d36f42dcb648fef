"""DDIM's step (Song et al. 2021), with a the cumulative product of alphas at a timestep.

    x0     = (x - sqrt(1 - a) eps) / sqrt(a)
    v      = sqrt(a) eps - sqrt(1 - a) x0, so that eps = sqrt(a) v + sqrt(1 - a) x
    x_next = sqrt(a') x0 + sqrt(1 - a' - s^2) eps + s n,    s = eta sqrt((1 - a') / (1 - a)) sqrt(1 - a / a')

eta = 0 is deterministic and goes either way; eta = 1 is DDPM's ancestral step (Ho et al. 2020).
"""

from __future__ import annotations

from torch import Tensor


def clean(x: Tensor, eps: Tensor, a: float) -> Tensor:
    """The picture x0 that a noisy x and its noise eps stand for, all of one shape."""
    return (x - (1 - a) ** 0.5 * eps) / a**0.5


def noise_of(x: Tensor, x0: Tensor, a: float) -> Tensor:
    """The noise eps that is in x if x0 is its picture."""
    return (x - a**0.5 * x0) / (1 - a) ** 0.5


def noise_of_v(x: Tensor, v: Tensor, a: float) -> Tensor:
    """The noise eps that is in x where v is predicted (Salimans & Ho 2022)."""
    return a**0.5 * v + (1 - a) ** 0.5 * x


def step(x: Tensor, eps: Tensor, a: float, a_next: float, *, eta: float = 0.0, noise: Tensor | None = None) -> Tensor:
    """From the level a to the level a_next, either way where eta is 0; `noise` is n, without which there is none."""
    s = 0.0 if noise is None else eta * ((1 - a_next) / (1 - a) * (1 - a / a_next)) ** 0.5
    out = a_next**0.5 * clean(x, eps, a) + (1 - a_next - s**2) ** 0.5 * eps
    return out if noise is None else out + s * noise
