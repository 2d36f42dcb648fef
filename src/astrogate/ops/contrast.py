"""What a grid of paired states says about a concept: a direction, how sure it is, and what else moves with it.

With p[i, j], q[i, j] [d] the states of two prompts that differ in one word, over rows i and columns j:

    d     = mean_ij (p - q)                                  the direction (over the complete grid)
    se    = sqrt(sum_k var_ij(p - q)_k / n) / |d|            its relative standard error
    landings: p[i, j] . d and q[i, j] . d, with d from the other rows
    E     = mean over poles and columns of x[i] - mean x, and the like of the columns: the nuisance's main effects
    project:  d - E+ E d                                     none of d is left along any effect
    whiten:   s (E'E / m + s I)^-1 d, s = tr(E'E / m) / d    strong effects are removed, weak ones hardly

`whiten` is the shrinkage that LEACE (Belrose et al. 2023) and Ledoit & Wolf (2004) use, towards a ball of equal trace.
"""

from __future__ import annotations

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError


def _paired(positive: Tensor, negative: Tensor, ndim: int) -> None:
    if positive.shape != negative.shape or positive.ndim != ndim:
        shapes = f"shapes {tuple(positive.shape)} and {tuple(negative.shape)}"
        raise AstrogateError(shapes, f"give two of equal shape with {ndim} axes")


def mean_difference(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean over the first axis of positive - negative, both [n, d]. Raises AstrogateError when the shapes differ."""
    _paired(positive, negative, 2)
    return (positive - negative).mean(0)


def standard_error(positive: Tensor, negative: Tensor) -> float:
    """Of their mean difference, relative to its norm; both [n, d], n >= 2."""
    _paired(positive, negative, 2)
    difference = (positive - negative).double()
    error = (difference.var(0).sum() / len(difference)).sqrt()
    return float(error / difference.mean(0).square().sum().sqrt())


def landings(positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Where the poles of each row land on the unit direction that the other rows give; both [rows, columns, d].

    Returns two [rows * columns], measured from the middle of those other rows; needs two rows.
    """
    _paired(positive, negative, 3)
    there: list[Tensor] = []
    back: list[Tensor] = []
    for row in range(len(positive)):
        others = torch.arange(len(positive)) != row
        p, q = positive[others].flatten(0, 1).double(), negative[others].flatten(0, 1).double()
        d = (p - q).mean(0)
        middle, unit = (p + q).mean(0) / 2, d / d.square().sum().sqrt()
        there.append((positive[row].double() - middle) @ unit)
        back.append((negative[row].double() - middle) @ unit)
    return torch.cat(there).float(), torch.cat(back).float()


def main_effects(positive: Tensor, negative: Tensor) -> Tensor:
    """Of the rows and columns of a grid [rows, columns, d], both poles together: [rows + columns, d]."""
    _paired(positive, negative, 3)
    middle = (positive + negative) / 2
    centre = middle.mean((0, 1))
    return torch.cat([middle.mean(1) - centre, middle.mean(0) - centre])


def project_out(vector: Tensor, effects: Tensor) -> Tensor:
    """`vector` [d] without what lies in the span of `effects` [m, d]."""
    e, v = effects.double(), vector.double()
    return (v - e.pinverse(rcond=1e-6) @ (e @ v)).to(vector)


def whiten(vector: Tensor, effects: Tensor) -> Tensor:
    """`vector` [d] with each part shrunk by the variance of `effects` [m, d] along it."""
    e, v = effects.double(), vector.double()
    covariance = e.T @ e / len(e)
    s = covariance.trace() / len(v)
    if s == 0:
        return vector
    return ((covariance / s + torch.eye(len(v), dtype=e.dtype)).inverse() @ v).to(vector)
