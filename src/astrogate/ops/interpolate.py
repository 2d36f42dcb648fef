"""Interpolation between tensors, each taken as one vector.

    lerp(a, b, u)  = (1 - u) a + u b
    nlerp(a, b, u) = lerp / sqrt((1 - u)^2 + u^2 + 2 u (1 - u) r)
    slerp(a, b, u) = ((1 - u) |a| + u |b|) (sin((1 - u) w) a/|a| + sin(u w) b/|b|) / sin w
    mix(z, weights)= (1 - s / n) m + sum_i w_i z_i / n,  s = sum_i w_i,  n = sqrt(w' R w)
    circle(a, b, u)= cos(2 pi u) a + sin(2 pi u) b

`slerp` is Shoemake's (1985); w, the angle between a and b, is taken as 2 atan2(|x - y|, |x + y|) of the unit vectors
x, y, which keeps its digits where the cosine loses them (Kahan 2006), and norms are interpolated by themselves. `nlerp`
has r, the correlation of a and b; `mix` is its form for any number of draws from N(m, S) with the
correlations R (Bodin et al. 2024): the result is a draw from N(m, S) again. Computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.values import real

#: Below this angle, in radians, slerp is lerp; this close to half a turn there is no shortest way.
_SMALL = 1e-6


def _check(a: Tensor, b: Tensor, u: float = 0.0) -> None:
    if odd := [x for x in (a, b) if not isinstance(x, Tensor)]:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise AstrogateError(f"a {type(odd[0]).__name__} is no tensor", "give tensors: torch.as_tensor makes them")
    if a.shape != b.shape:
        raise AstrogateError(f"shapes {tuple(a.shape)} and {tuple(b.shape)} differ", "interpolate points of one size")
    real(u, "the share {} of a way")


def _norm(x: Tensor) -> float:
    return float(x.square().sum().sqrt())


def lerp(a: Tensor, b: Tensor, u: float) -> Tensor:
    """The straight line; exact at u = 0 and 1."""
    _check(a, b, u)
    return a if u == 0 else b if u == 1 else ((1 - u) * a.double() + u * b.double()).to(a)


def nlerp(a: Tensor, b: Tensor, u: float, *, correlation: float = 0.0) -> Tensor:
    """The straight line between draws from N(0, I), scaled so that every point is such a draw; exact at the ends.

    `correlation` is that of the two draws, in (-1, 1]: without it the middle of two like ones is too large.
    """
    _check(a, b, u)
    if u in (0, 1):
        return lerp(a, b, u)
    if not correlation > 1e-9 - 1:
        raise AstrogateError("the ends are opposite, so half way nothing is left", "go by way of a third point")
    return mix([a, b], [1 - u, u], correlations=torch.tensor([[1.0, correlation], [correlation, 1.0]], device="cpu"))


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
    _check(a, b, u)
    w = angle(a, b)
    if u in (0, 1) or w < _SMALL:
        return lerp(a, b, u)
    if math.pi - w < _SMALL:
        raise AstrogateError("the ends are opposite, so there is no shortest arc", "go by way of a third point")
    x, y = a.double(), b.double()
    norms = _norm(x), _norm(y)
    along = math.sin((1 - u) * w) / norms[0] * x + math.sin(u * w) / norms[1] * y
    return (((1 - u) * norms[0] + u * norms[1]) / math.sin(w) * along).to(a)


def arc(u: float, w: float = math.pi / 2) -> float:
    """The share of the arc that the straight line between unit vectors at an angle `w` has covered at u.

    nlerp(a, b, u) has the direction of slerp(a, b, arc(u, w)): the same great circle at another speed, at right angles
    (2 / pi) atan2(u, 1 - u), which is at most 4.07 degrees ahead or behind.
    """
    return math.atan2(u * math.sin(w), 1 - u + u * math.cos(w)) / w


def mix(
    points: Sequence[Tensor],
    weights: Sequence[float],
    *,
    mean: Tensor | float = 0.0,
    correlations: Tensor | None = None,
) -> Tensor:
    """A weighted sum of draws from N(mean, S) that is such a draw itself; `correlations` [n, n], None: independent.

    A single weight, above 0, gives its point itself. Raises AstrogateError for weights that cancel out.
    """
    if len(points) != len(weights) or not points:
        raise AstrogateError(f"{len(points)} points and {len(weights)} weights", "give a weight for each point")
    for point in points[1:]:
        _check(points[0], point)
    shares = [real(weight, "a weight of {}") for weight in weights]
    w = torch.tensor(shares, dtype=torch.float64, device="cpu")
    if correlations is not None and correlations.shape != (len(w), len(w)):
        raise AstrogateError(f"correlations {list(correlations.shape)} of {len(w)} points", "give one for each pair")
    if int(w.count_nonzero()) == 1 and float(w.max()) > 0:
        return points[int(w.abs().argmax())]
    r = torch.eye(len(w), dtype=torch.float64, device="cpu") if correlations is None else correlations.double()
    variance = float(w @ r @ w)
    if not variance > 1e-12 * float(w.square().sum()):
        raise AstrogateError(f"weights {list(weights)} cancel out", "choose others")
    scale = variance**-0.5
    total = sum(float(share) * point.double() for share, point in zip(w, points, strict=True))
    return ((1 - float(w.sum()) * scale) * mean + scale * total).to(points[0])


def circle(a: Tensor, b: Tensor, u: float) -> Tensor:
    """A closed way through two independent draws from N(0, I): `a` at u = 0 and 1, `b` at a quarter; always N(0, I)."""
    _check(a, b, u)
    quarter = 4 * (u % 1)
    if quarter in (0, 1):
        return b if quarter else a
    turn = math.pi / 2 * quarter
    return (math.cos(turn) * a.double() + math.sin(turn) * b.double()).to(a)
