"""Blends: the way from one picture to another through what CLIP sees of them (Ramesh et al. 2022, section 3.2).

    z(u) = slerp(z_a, z_b, u),   x_T(u) = slerp(x_a, x_b, u), or one noise for all

With slerped noise the ends are the two reconstructions; with one noise, variations of them that a seed fixes.
"""

from __future__ import annotations

from astrogate.core.path import Path
from astrogate.core.point import Point
from astrogate.methods.path.walk import walk


def blend(a: Point, b: Point, *, seed: int | None = None) -> Path:
    """The path from `a` to `b`, with slerped noise or, given a `seed`, that noise from end to end.

    Norms go linearly from one end's to the other's. Raises AstrogateError for points of different models or sizes, and
    for equal ones.
    """
    return walk(a, b) if seed is None else walk(a.with_noise(seed), b.with_noise(seed))
