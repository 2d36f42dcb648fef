"""Walk: the way from point to point through noise, text, pooled text and image embeddings together.

Between two neighbouring key points every space goes by the rule asked for (`ops.interpolate`): noise by `by`, all else
by `others`. Key points are themselves, whatever lies between. Edits that only one of them has fade with it.
`walk_circle` turns one noise into another and on round the circle through both, under one prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Hold
from astrogate.core.path import Path
from astrogate.core.point import Point
from astrogate.core.values import several
from astrogate.ops.interpolate import angle, circle, lerp, nlerp, slerp

By = Literal["slerp", "nlerp", "lerp"]


def _corrected(a: Tensor, b: Tensor, u: float) -> Tensor:
    """`nlerp`, with the correlation of the two where it is more than chance: four standard errors of 1 / sqrt(d)."""
    r = math.cos(angle(a, b))
    return nlerp(a, b, u, correlation=r if abs(r) > 4 * a.numel() ** -0.5 else 0.0)


_RULES: Mapping[str, Callable[[Tensor, Tensor, float], Tensor]] = {"slerp": slerp, "nlerp": _corrected, "lerp": lerp}


def walk(
    *points: Point,
    by: By = "slerp",
    others: Literal["slerp", "lerp"] = "slerp",
    spaces: Collection[str] | None = None,
    closed: bool = False,
) -> Path:
    """The path from key point to key point; `closed` goes on from the last to the first.

    `spaces` names those that move (None: all in which the points differ); the first point keeps the rest. Raises
    AstrogateError for fewer than two points, for neighbours that are equal or opposite, and for points of different
    models or sizes.
    """
    points = tuple(several(points, Point, "point", "name two or more, made by model.point(prompt)"))
    if len(points) < 2:
        raise AstrogateError(f"{len(points)} key points", "a walk needs two or more")
    if by not in [*_RULES] or others not in [*_RULES]:
        raise AstrogateError(f"by {by!r} and {others!r}", f"choose from {', '.join(_RULES)}")
    stops = [*points, points[0]] if closed else [*points]
    if spaces is not None:
        stops = [_only(points[0], stop, spaces) for stop in stops]
    for a, b in pairwise(stops):
        _check(a, b, _RULES[by])
    last = len(stops) - 1

    def at(u: float) -> Point:
        way = round(u * last, 9)
        i = min(int(way), last - 1)
        return _between(stops[i], stops[i + 1], way - i, by, others)

    return Path(at, tuple(i / last for i in range(last + 1)), closed)


def walk_circle(point: Point, other: Point) -> Path:
    """A closed path: the noise of `point` to that of `other` at a quarter, and on round; the rest is `point`'s.

    Raises AstrogateError for equal or opposite noise, and for points of different models or sizes.
    """
    a, b = point.tensors["latents"], other.tensors["latents"]
    _check(point, _only(point, other, ("latents",)), _RULES["slerp"])

    def at(u: float) -> Point:
        noise = circle(a, b, u)
        origin = {**point.origin, "circle": {"through": [_told_of(point), _told_of(other)], "u": u}}
        return point if noise is a else replace(point, tensors={**point.tensors, "latents": noise}, origin=origin)

    return Path(at, closed=True)


def _only(first: Point, point: Point, spaces: Collection[str]) -> Point:
    """`first`, but in `spaces` as `point`."""
    _check_model(first, point)
    if unknown := sorted(set(spaces) - set(first.tensors)):
        raise AstrogateError(f"this point has no space {', '.join(unknown)}", f"choose from {', '.join(first.tensors)}")
    if point is first:
        return first
    moved = {space: point.tensors[space] for space in spaces}
    origin = {**first.origin, **{key: point.origin[key] for key in _told(spaces) if key in point.origin}}
    text = point if "prompt_embeds" in spaces else first
    noise = point if "latents" in spaces else first
    return replace(
        first,
        tensors={**first.tensors, **moved},
        segments=text.segments,
        prompt=text.prompt,
        seed=noise.seed,
        draw=noise.draw,
        recipe=noise.recipe,
        origin=origin,
    )


def _told(spaces: Collection[str]) -> list[str]:
    """The part of a point's origin that belongs to its spaces."""
    return [
        *(("prompt",) if "prompt_embeds" in spaces else ()),
        *(("negative",) if "negative_prompt_embeds" in spaces else ()),
    ]


def _check(a: Point, b: Point, rule: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    _check_model(a, b)
    if a.extras.keys() != b.extras.keys():
        raise AstrogateError("only some of the key points have a control image or an image", "give it to all, or none")
    moving = [s for s in a.tensors if not _same(a.tensors[s], b.tensors[s])]
    if not moving and _edits(a) == _edits(b):
        raise AstrogateError("two neighbouring key points are the same", "choose another seed or prompt for one")
    if "latents" in moving:
        rule(a.tensors["latents"], b.tensors["latents"], 0.5)


def _check_model(a: Point, b: Point) -> None:
    if a.model != b.model:
        raise AstrogateError("the key points come from different models", "make them with one model")


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b or torch.equal(a, b)


def _between(a: Point, b: Point, u: float, by: By, others: str) -> Point:
    """The point at u between two neighbours; exactly they at 0 and 1."""
    if u in (0, 1):
        return b if u else a

    def moved(space: str, x: Tensor, y: Tensor) -> Tensor:
        if _same(x, y):
            return x
        if not x.is_floating_point():  # a mask: between two texts, the tokens of both are seen
            return torch.maximum(x, y)
        if not (x.any() and y.any()):  # some checkpoints take zeros where there is no negative prompt
            return lerp(x, y, u)
        return _RULES[by if space == "latents" else others](x, y, u)

    told = {"from": _told_of(a), "to": _told_of(b), "u": u, "by": by, "others": others}
    same = (a.segments, a.prompt) == (b.segments, b.prompt)
    return replace(
        a,
        tensors={space: moved(space, x, b.tensors[space]) for space, x in a.tensors.items()},
        extras={name: lerp(x, b.extras[name], u) for name, x in a.extras.items()},
        segments=a.segments if same else (),
        prompt=a.prompt if same else "",
        edits=_faded(a.edits, b.edits, u),
        origin={**a.origin, "walk": told},
        hold=_held(a, b, u),
    )


def _edits(point: Point) -> tuple[object, ...]:
    return point.edits, point.hold


def _told_of(point: Point) -> dict[str, object]:
    return {
        "seed": point.seed,
        "draw": point.draw,
        **{key: value for key, value in point.origin.items() if key != "model"},
    }


def _held(a: Point, b: Point, u: float) -> Hold | None:
    """How a point between two is held: as much as they, in between."""
    if not (a.edits or b.edits):
        return None
    x, y = a.holding, b.holding
    return Hold((1 - u) * x.share + u * y.share, (1 - u) * x.attend + u * y.attend)


def _faded(
    mine: Sequence[tuple[Edit, float]], theirs: Sequence[tuple[Edit, float]], u: float
) -> tuple[tuple[Edit, float], ...]:
    """Edits on the way from one end to the other: those of both ends go from scale to scale, those of one fade."""
    rest, out = list(theirs), list[tuple[Edit, float]]()
    for edit, low in mine:
        same = next((other for other in rest if other[0] is edit), None)
        if same is not None:
            rest.remove(same)
        out.append((edit, (1 - u) * low + u * (0.0 if same is None else same[1])))
    return (*out, *((edit, u * high) for edit, high in rest))
