"""Sharpness-aware minimisation (Foret et al. 2021), with which DALL-E 2's CLIP was trained.

    w <- w - rate * grad L(w + rho g / |g|),   g = grad L(w)

The gradient is that of the worst weights nearby, so a step costs twice as much. Ramesh et al. (2022, section 2.2) found
that it lowers the rank of the embedding space, which an autoregressive prior then writes in fewer symbols.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def ascended(parameters: Sequence[Tensor], rho: float) -> Generator[None]:
    """While open, the parameters are `rho` further along their gradients, taken together; then exactly as before."""
    moved = [p for p in parameters if p.grad is not None]
    norm = torch.stack([p.grad.norm() for p in moved if p.grad is not None]).norm()
    before = [p.detach().clone() for p in moved]
    with torch.no_grad():
        for p in moved:
            assert p.grad is not None
            p.add_(p.grad, alpha=float(rho / (norm + 1e-12)))
    try:
        yield
    finally:
        with torch.no_grad():
            for p, own in zip(moved, before, strict=True):
                p.copy_(own)
