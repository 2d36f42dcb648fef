"""Moving noise about so that it stays noise: rings, slices, and shifts by less than a cell (translation).

    scaled:  std z                                       another spread than N(0, I)
    window:  T_s(Z)[x] = Z[(x + s) mod width of Z]       a permutation of the ring's columns: exactly Gaussian
    splice:  C_t(a, b) = [a[:, :, :t], b[:, :, t:]]      slices, cut inside the tensors' own width
    finer:   k cells z / sqrt(k) + e_i - mean e for one, e ~ N(0, I): independent N(0, I) whose sum is sqrt(k) z
    coarser: the sum of k neighbours / sqrt(k)

A shift of s/k cells is `coarser` of a window of `finer`; whole cells come back exactly, and no two cells of a window
are correlated, which they are where a shift interpolates between neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.seeds import generator


def scaled(z: Tensor, std: float) -> Tensor:
    """Noise of another standard deviation than 1; `z` itself at 1. Raises AstrogateError unless std >= 0."""
    if not 0 <= std < float("inf"):
        raise AstrogateError(f"standard deviation {std:g}", "use 0 or more, such as 0.5 to 1.5")
    return z if std == 1 else z * std


def window(ring: Tensor, start: int, width: int) -> Tensor:
    """`width` columns of a ring [..., w] from column `start` on, round its end."""
    columns = torch.arange(start, start + width, device=ring.device) % ring.shape[-1]
    return ring[..., columns]


def splice(a: Tensor, b: Tensor, t: int) -> Tensor:
    """The first `t` columns of `a` and the rest of `b`, both [..., w]; `b` at 0, `a` at w."""
    if a.shape != b.shape:
        raise AstrogateError(f"shapes {tuple(a.shape)} and {tuple(b.shape)} differ", "splice noise of one size")
    if not 0 <= t <= a.shape[-1]:
        raise AstrogateError(f"column {t}", f"use 0 to {a.shape[-1]}, the width of the noise")
    return torch.cat([a[..., :t], b[..., t:]], -1)


def finer(z: Tensor, k: int, *, seed: int = 0) -> Tensor:
    """Every column of `z` [..., w] as `k` finer ones [..., k w], white again if `z` is."""
    e = torch.randn((*z.shape, k), generator=generator(seed), dtype=torch.float64, device="cpu").to(z.device)
    return (z.double()[..., None] / k**0.5 + e - e.mean(-1, keepdim=True)).flatten(-2).to(z)


def coarser(fine: Tensor, k: int) -> Tensor:
    """`k` neighbouring columns of `fine` [..., k w] as one [..., w], of the same variance."""
    return (fine.double().reshape(*fine.shape[:-1], -1, k).sum(-1) / k**0.5).to(fine)


def shifted(ring: Tensor, fine: Tensor, start: float, width: int) -> Tensor:
    """A window of a ring from any column on, to the nearest of the steps of `fine`; whole columns are the ring's own.

    `fine` is `finer(ring, k)`, and a step is 1/k.
    """
    k = fine.shape[-1] // ring.shape[-1]
    step = round(start * k)
    if step % k == 0:
        return window(ring, step // k, width)
    return coarser(window(fine, step, k * width), k)
