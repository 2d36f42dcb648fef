"""Calibrate: the two strengths between which an edit does its work, so that a scale means the same everywhere.

    1 stands for the strength h with  mean over seeds D(picture at h, picture at 0) = ceiling,  and -1 for that below 0

found by doubling, then bisection. The search ends early where the effect stops growing with the strength: beyond that
a picture changes without becoming more of what was asked for. Elastic bands do this on one side and a picture at a
time (arXiv:2603.17998); here both sides are taken over several seeds and kept with the edit, or the direction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from torch import Tensor

from astrogate.core.direction import Direction
from astrogate.core.edit import LIMIT, Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Distance, Model
from astrogate.core.recipe import Recipe
from astrogate.core.values import real, several
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

Edited = TypeVar("Edited", Edit, Direction)

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
    edit: Edited,
    points: Sequence[Point],
    distance: Distance,
    *,
    effect: Callable[[Tensor], Tensor] | None = None,
    ceiling: float = CEILING,
    recipe: Recipe | None = None,
    batch_size: int = 8,
    placing: Mapping[str, Any] | None = None,
) -> Edited:
    """The same edit or direction with its range: scales 1 and -1 change pictures by `ceiling`, averaged over `points`.

    `points` are four or more, of one prompt for an edit, of several for a direction. `effect` reads how much of the
    concept pictures [n, 3, h, w] show, [n]; by default the distance stands for it. `placing` are the options of
    `Direction.at` that a direction will be used with. The origin says under "calibration" what was found (each side's
    strength, distance and effect, and whether the ceiling was reached before the effect stopped growing), and with
    what: the points' origins and seeds, how they are held, the options and the recipe.

    Raises AstrogateError for too few points, for an edit that acts on one side only, and for one that does not change
    the pictures.
    """
    points = several(points, Point, "point", "make four or more by model.points(prompt, seeds)")
    if len(points) < 4:
        raise AstrogateError(f"{len(points)} points to calibrate on", "use four or more")
    ceiling = real(ceiling, "a ceiling of {}", 1e-9, remedy="use a distance above 0")
    if isinstance(edit, Edit) and not edit.limits[0] < 0 < edit.limits[1]:
        raise AstrogateError(f"{edit.name!r} acts on one side alone", "leave it as it is; its range is its own")
    if isinstance(edit, Edit) and placing:
        raise AstrogateError("options of `Direction.at` for an edit, which is placed already", "leave placing out")
    bare, options = replace(edit, calibration=None), dict(placing or {})
    drawn = partial(render, model, recipe=recipe, batch_size=batch_size)
    frames = list(drawn(points))
    still = to_tensor(frames)
    start = 0.0 if effect is None else float(effect(still).mean())
    least, most = bare.limits if isinstance(bare, Edit) else (-LIMIT, LIMIT)

    def moved(point: Point, strength: float) -> Point:
        return point.apply(bare if isinstance(bare, Edit) else bare.at(point, **options), strength)

    def probe(strength: float) -> _Probe:
        pictures = to_tensor(drawn([moved(point, strength) for point in points]))
        far = real(float(distance.between(still, pictures).mean()), "a distance of {}", 0)
        sign = 1 if strength > 0 else -1
        return _Probe(strength, far, far if effect is None else sign * (float(effect(pictures).mean()) - start))

    sides = {sign: _side(probe, sign, ceiling, most if sign > 0 else -least) for sign in (-1, 1)}
    found = {
        name: {"strength": s.strength, "distance": s.distance, "effect": s.effect, "reached": reached}
        for name, (s, reached) in (("low", sides[-1]), ("high", sides[1]))
    }
    hold = moved(points[0], sides[1][0].strength).holding
    used = {
        "ceiling": ceiling,
        "points": [{**point.origin, "seed": point.seed} for point in points],
        "hold": [hold.share, hold.attend],
        "placing": {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()},
        "recipe": frames[0].recipe.to_json(),
    }
    origin = {**edit.origin, "calibration": {**used, **found}}
    calibration = (sides[-1][0].strength, sides[1][0].strength)
    if isinstance(bare, Edit):
        return replace(bare, origin=origin, calibration=calibration, range=(-1.0, 1.0), limits=bare.limits)
    return replace(bare, origin=origin, calibration=calibration)


def _side(probe: Callable[[float], _Probe], sign: int, ceiling: float, limit: float) -> tuple[_Probe, bool]:
    """The strength on one side, and whether it reached the ceiling before the effect stopped growing."""
    inside, h = _Probe(0.0, 0.0, 0.0), min(_FIRST, limit)
    while True:
        now = probe(sign * h)
        if now.effect < inside.effect:
            if inside.strength == 0:
                inside = now
            return inside, False
        if now.distance >= ceiling:
            break
        inside = now
        if h >= limit:
            if inside.distance <= 0:
                raise AstrogateError("the edit does not change the pictures", "look at what it moves")
            return inside, False
        h = min(2 * h, limit)
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
