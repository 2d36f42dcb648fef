"""Neighbourhood: how far the picture moves when the noise moves a little: is the way smooth?

    z_e = (z + e n) / sqrt(1 + e^2),   n ~ N(0, I)

so that z_e is noise again and e its distance; without `normalised` it is z + e n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.values import real, whole
from astrogate.ops.interpolate import mix

EPSILONS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)


def neighbourhood(
    point: Point, epsilons: Sequence[float] = EPSILONS, *, ways: int = 4, seed: int = 0, normalised: bool = True
) -> list[Point]:
    """Points at rising distances in several directions, way by way; distance 0 is `point` itself.

    Raises AstrogateError for negative distances and fewer than one way.
    """
    ways, remedy = whole(ways, "{} ways", 1, 10_000), "use distances from 0 on"
    given = [epsilons] if isinstance(epsilons, (int, float)) else epsilons
    epsilons = [real(e, "a distance of {}", 0, remedy=remedy) for e in given]
    if not epsilons:
        raise AstrogateError("there are no distances", "name some, from 0 on")
    z = point.tensors["latents"]
    out: list[Point] = []
    for way in range(ways):
        n = point.with_noise(seed + way, draw=2).tensors["latents"]
        for e in epsilons:
            moved = mix([z, n], [1.0, e]) if normalised else z + e * n
            origin = {**point.origin, "epsilon": e, "way": seed + way, "normalised": normalised}
            out.append(replace(point, tensors={**point.tensors, "latents": moved}, origin=origin) if e else point)
    return out
