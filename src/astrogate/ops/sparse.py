"""Sparse non-negative combinations: the lasso by FISTA (Beck & Teboulle 2009), as SpLiCE uses it (Bhalla et al. 2024).

a = argmin_{a >= 0}  |A' a - y|^2 / (2 d) + penalty sum(a)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError


def lasso(
    atoms: Tensor,
    target: Tensor,
    penalty: float,
    *,
    begin: Tensor | None = None,
    steps: int = 5000,
    tolerance: float = 1e-9,
) -> Tensor:
    """Weights [..., n], not below 0, that make `target` [..., d] of `atoms` [n, d]; the more `penalty`, the fewer.

    `begin` is where they start, such as the solution of a larger penalty (None: at 0).
    The scaling is scikit-learn's `Lasso(positive=True, fit_intercept=False)`. Raises AstrogateError for a penalty below
    0.
    """
    if not 0 <= penalty < math.inf:
        raise AstrogateError(f"penalty {penalty:g}", "use 0 or more")
    a, y, d = atoms.double(), target.double(), atoms.shape[1]
    rate = d / _largest(a)
    x = look = y.new_zeros(*y.shape[:-1], len(a)) if begin is None else begin.double()
    momentum = 1.0
    for _ in range(steps):
        new = (look - rate * ((look @ a - y) @ a.T / d + penalty)).clamp(min=0)
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        look = new + (momentum - 1) / following * (new - x)
        moved = float((new - x).abs().max())
        x, momentum = new, following
        if moved < tolerance:
            break
    return x.to(atoms)


def _largest(atoms: Tensor) -> float:
    """The largest eigenvalue of A A' by power iteration, and a twentieth more, to be above it."""
    vector = torch.ones(len(atoms), dtype=torch.float64)
    value = torch.zeros((), dtype=torch.float64)
    for _ in range(100):
        vector = atoms @ (vector @ atoms)
        value = vector.square().sum().sqrt()
        vector = vector / value.clamp(min=1e-300)
    return max(1e-12, 1.05 * float(value))
