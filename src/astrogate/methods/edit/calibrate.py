"""Calibrate: the two strengths between which a direction does its work, so that a scale means the same everywhere.

    1 stands for the strength h with  mean over seeds D(picture at h, picture at 0) = ceiling,  and -1 for that below 0

found by doubling, then bisection. The search ends early where the effect stops growing with the strength: beyond that
a picture changes without becoming more of what was asked for. Elastic bands do this on one side and a picture at a
time (arXiv:2603.17998); here both sides are taken over several seeds and stored with the direction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from astrogate.core.direction import Direction, place
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Steer
from astrogate.core.protocols import Distance, Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.slide import LIMIT
from astrogate.rendering.render import render, to_tensor

#: The perceptual distance that a scale of 1 stands for.
CEILING = 0.25
_FIRST, _ROUNDS, _TOLERANCE = 0.5, 6, 0.03


@dataclass(frozen=True, slots=True)
class _Probe:
    """What a strength does, averaged over the points."""

    strength: float
    distance: float
    effect: float


def calibrate(
    model: Model,
    direction: Direction,
    points: Sequence[Point],
    distance: Distance,
    *,
    effect: Callable[[Tensor], Tensor] | None = None,
    ceiling: float = CEILING,
    recipe: Recipe | None = None,
    batch_size: int = 8,
    placing: Callable[..., Steer] = place,
) -> Direction:
    """The same direction with its range: scale 1 and -1 change pictures by `ceiling`, on average over `points`.

    `points` are prompts and seeds to calibrate on, four seeds or more. `effect` reads how much of the concept pictures
    [n, 3, h, w] show, [n]; by default the distance stands for it. `placing` is `place`, or a partial of it with the
    options that the direction will be used with. The origin says under "calibration" what was found (each side's
    strength, distance and effect, and whether the ceiling was reached before the effect stopped growing), and with
    what: the points' origins, how they are held, words, window and recipe.

    Raises AstrogateError for too few points and for a direction that does not change the pictures.
    """
    if len(points) < 4:
        raise AstrogateError(f"{len(points)} points to calibrate on", "use four seeds or more")
    if not 0 < ceiling < math.inf:
        raise AstrogateError(f"a ceiling of {ceiling:g}", "use a distance above 0")
    bare = replace(direction, calibration=None)
    drawn = partial(render, model, recipe=recipe, batch_size=batch_size)
    frames = list(drawn(points))
    still = to_tensor(frames)
    start = 0.0 if effect is None else float(effect(still).mean())

    def probe(strength: float) -> _Probe:
        moved = [p.with_steers(placing(bare, p, scale=strength)) for p in points]
        pictures = to_tensor(drawn(moved))
        far = float(distance.between(still, pictures).mean())
        sign = 1 if strength > 0 else -1
        return _Probe(strength, far, far if effect is None else sign * (float(effect(pictures).mean()) - start))

    sides = {sign: _side(probe, sign, ceiling) for sign in (-1, 1)}
    found = {
        name: {"strength": s.strength, "distance": s.distance, "effect": s.effect, "reached": reached}
        for name, (s, reached) in (("low", sides[-1]), ("high", sides[1]))
    }
    placed, first = placing(bare, points[0]), points[0]
    used = {
        "ceiling": ceiling,
        "points": [dict(point.origin) for point in points],
        "hold": [first.hold, first.attend],
        "on": placed.origin.get("on"),
        "window": list(placed.window),
        "recipe": frames[0].recipe.to_json(),
    }
    origin = {**direction.origin, "calibration": {**used, **found}}
    return replace(bare, origin=origin, calibration=(sides[-1][0].strength, sides[1][0].strength))


def _side(probe: Callable[[float], _Probe], sign: int, ceiling: float) -> tuple[_Probe, bool]:
    """The strength on one side, and whether it reached the ceiling before the effect stopped growing."""
    inside, h = _Probe(0.0, 0.0, 0.0), _FIRST
    while True:
        now = probe(sign * h)
        if now.effect < inside.effect:
            if inside.strength == 0:
                inside = now
            return inside, False
        if now.distance >= ceiling:
            break
        inside, h = now, 2 * h
        if h > LIMIT:
            if inside.distance <= 0:
                raise AstrogateError("the direction does not change the pictures", "check it with `direction show`")
            return inside, False
    outside = now
    for _ in range(_ROUNDS):
        nearest = min((inside, outside), key=lambda p: abs(p.distance - ceiling))
        if abs(nearest.distance - ceiling) <= _TOLERANCE * ceiling:
            return nearest, True
        middle = probe((inside.strength + outside.strength) / 2)
        if inside.strength and middle.effect < inside.effect:
            return inside, False
        if middle.distance < ceiling:
            inside = middle
        else:
            outside = middle
    return min((inside, outside), key=lambda p: abs(p.distance - ceiling)), True
