"""Interpolation between two tensors, each taken as one vector.

    lerp(a, b, u)  = (1 - u) a + u b
    slerp(a, b, u) = ((1 - u) |a| + u |b|) (sin((1 - u) w) a/|a| + sin(u w) b/|b|) / sin w

with w the angle between a and b (Shoemake 1985), taken as 2 atan2(|x - y|, |x + y|) of the unit vectors x, y, which
keeps its digits where the cosine loses them (Kahan 2006). Norms are interpolated by themselves. Computed in float64.
"""

from __future__ import annotations

import math

from torch import Tensor

from astrogate.core.errors import AstrogateError

#: Below this angle, in radians, slerp is lerp; this close to half a turn there is no shortest way.
_SMALL = 1e-6


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise AstrogateError(f"shapes {tuple(a.shape)} and {tuple(b.shape)} differ", "interpolate points of one size")


def _norm(x: Tensor) -> float:
    return float(x.square().sum().sqrt())


def lerp(a: Tensor, b: Tensor, u: float) -> Tensor:
    """The straight line; exact at u = 0 and 1."""
    _check(a, b)
    return a if u == 0 else b if u == 1 else ((1 - u) * a.double() + u * b.double()).to(a)


def angle(a: Tensor, b: Tensor) -> float:
    """The angle between two vectors in radians. Raises AstrogateError for a zero vector."""
    _check(a, b)
    x, y = a.double(), b.double()
    if not (_norm(x) > 0 and _norm(y) > 0):
        raise AstrogateError("a vector is zero, so there is no angle", "use lerp")
    x, y = x / _norm(x), y / _norm(y)
    return 2 * math.atan2(_norm(x - y), _norm(x + y))


def slerp(a: Tensor, b: Tensor, u: float) -> Tensor:
    """The great circle; exact at u = 0 and 1, the shape and dtype of `a`; u outside [0, 1] goes on along it.

    Raises AstrogateError for antiparallel vectors and for a zero one.
    """
    w = angle(a, b)
    if u in (0, 1) or w < _SMALL:
        return lerp(a, b, u)
    if math.pi - w < _SMALL:
        raise AstrogateError("the ends are opposite, so there is no shortest arc", "go by way of a third point")
    x, y = a.double(), b.double()
    norms = _norm(x), _norm(y)
    along = math.sin((1 - u) * w) / norms[0] * x + math.sin(u * w) / norms[1] * y
    return (((1 - u) * norms[0] + u * norms[1]) / math.sin(w) * along).to(a)
