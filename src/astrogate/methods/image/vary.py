"""Variations: pictures with what CLIP sees of one, and the rest drawn anew (Ramesh et al. 2022, section 3.1).

    DDIM from x_T under z_i with eta > 0:  eta = 0 is the reconstruction, 1 forgets all of x_T but where it led

What is alike in all variations, CLIP kept in z_i; what changes, it left out.
"""

from __future__ import annotations

from dataclasses import replace

from astrogate.core.point import Point
from astrogate.core.seeds import MOST, checked
from astrogate.core.values import whole


def vary(point: Point, n: int = 8, *, seed: int = 0) -> list[Point]:
    """`n` points that differ only in the noise that DDIM adds; draw them with `Recipe(eta=...)` above 0.

    Raises AstrogateError for fewer than one.
    """
    n, seed = whole(n, "{} variations", 1, MOST, "ask for 1 or more"), checked(seed)
    return [replace(point, seed=seed + i, draw=0, origin={**point.origin, "varied": True}) for i in range(n)]
