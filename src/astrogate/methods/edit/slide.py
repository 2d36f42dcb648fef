"""Slide: one point under a range of scales of a direction, all else equal."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence

from astrogate.core.direction import Direction, place
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Curve, Half, Point, Steer

#: Beyond this the text states are mostly direction and the picture is no longer about the prompt.
LIMIT = 50.0


def scales(low: float, high: float, n: int) -> list[float]:
    """`n` evenly spaced scales; a middle that should be 0 is exactly 0. Raises AstrogateError for absurd ones."""
    if not 1 <= n <= 10_000:
        raise AstrogateError(f"{n} pictures", "ask for 1 to 10000")
    for value in (low, high):
        if not math.isfinite(value) or abs(value) > LIMIT:
            raise AstrogateError(f"scale {value:g}", f"use finite scales between -{LIMIT:g} and {LIMIT:g}")
    if n == 1:
        return [high]
    steps = [low + (high - low) * i / (n - 1) for i in range(n)]
    return [0.0 if abs(s) < 1e-12 * (abs(low) + abs(high)) else s for s in steps]


def labels(values: Iterable[float]) -> list[str]:
    """Scales as a reader wants them: signed, short, and a plain 0."""
    return [f"{value:+.2g}" if value else "0" for value in values]


def slide(
    point: Point,
    direction: Direction | Sequence[Direction],
    low: float = -2.0,
    high: float = 2.0,
    *,
    n: int = 7,
    also: Sequence[tuple[Direction, float]] = (),
    on: str | None = None,
    roles: Collection[str] | None = None,
    window: tuple[float, float] = (0.0, 1.0),
    curve: Curve | list[Curve] = (),
    half: Half = "positive",
) -> list[Point]:
    """`n` points along a direction, or several at once, from scale `low` to `high`; scale 0 is `point` itself.

    `also` names directions that are held at a scale of their own. `curve` is one for all directions that move, or a
    list of one each. The other options say where and when directions enter, as in `place`. Raises AstrogateError for
    more than the calibrated directions' ranges allow together, and for curves that are not one each.
    """
    moving = [direction] if isinstance(direction, Direction) else list(direction)
    if not moving:
        raise AstrogateError("no direction to slide along", "name at least one")
    check_range([(d, max(abs(low), abs(high))) for d in moving] + list(also))
    curves = list(curve) if isinstance(curve, list) else [curve] * len(moving)
    if len(curves) != len(moving):
        raise AstrogateError(f"{len(curves)} curves for {len(moving)} directions", "give one, or one each")
    common = {"on": on, "roles": roles, "window": window, "half": half}

    def at(scale: float) -> Point:
        placed = [(d, scale, c) for d, c in zip(moving, curves, strict=True)] + [(d, s, ()) for d, s in also]
        return point.with_steers(*(place(d, point, scale=s, curve=c, **common) for d, s, c in placed if s))

    return [at(s) if s or also else point for s in scales(low, high, n)]


def check_range(placed: Sequence[tuple[Direction, float]]) -> None:
    """Raise AstrogateError where calibrated directions, measured up to 1 each, go to more than 2 together."""
    total = sum(abs(scale) for direction, scale in placed if direction.calibration is not None)
    if total > 2:
        raise AstrogateError(f"scales of {total:g} in all", "calibrated directions go to 1 each, and to 2 together")


def grid(point: Point, across: list[Steer], down: list[Steer]) -> list[Point]:
    """Points under two steers at once, row by row: `across` varies within a row, `down` from row to row.

    Steers of scale 0 are left out, so that the unedited point stays bit-identical.
    """
    return [point.with_steers(*(s for s in (a, d) if s.scale)) for d in down for a in across]
