"""Walk: the way from point to point through noise, text, pooled text and image embeddings together (seed 002).

Between two neighbouring key points every space goes by the rule asked for (`ops.interpolate`): noise by `by`, all else
by `others`. Key points are themselves, whatever lies between. Steers and guides that only one of them has fade with it.
`loop` turns one noise into another and on round the circle through both, under one prompt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Literal, TypeVar

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.path import Path
from astrogate.core.point import Guide, Point, Steer
from astrogate.core.seeds import generator
from astrogate.ops.interpolate import angle, circle, lerp, nlerp, slerp

By = Literal["slerp", "nlerp", "lerp"]
Edit = TypeVar("Edit", Steer, Guide)


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
    if len(points) < 2:
        raise AstrogateError(f"{len(points)} key points", "a walk needs two or more")
    if by not in _RULES or others not in _RULES:
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


def loop(point: Point, other: Point) -> Path:
    """A closed path: the noise of `point` to that of `other` at a quarter, and on round; the rest is `point`'s."""
    a, b = point.tensors["latents"], other.tensors["latents"]
    _check(point, _only(point, other, ("latents",)), _RULES["slerp"])

    def at(u: float) -> Point:
        origin = {**point.origin, "loop": [dict(point.origin), dict(other.origin)], "u": u}
        noise = circle(a, b, u)
        return point if noise is a else replace(point, tensors={**point.tensors, "latents": noise}, origin=origin)

    return Path(at, closed=True)


def redrawn(point: Point, seed: int, *, draw: int = 0) -> Point:
    """This point with other noise: what the generator of `seed` draws next after `draw` draws.

    Draw 0 is what plain diffusers starts from; seed 002 takes both ends of a path from one generator, 0 and 1.
    """
    source = generator(seed)
    shape = (1, *point.tensors["latents"].shape)
    for _ in range(draw):
        torch.randn(shape, generator=source)
    noise = torch.randn(shape, generator=source)[0]
    return replace(
        point, tensors={**point.tensors, "latents": noise}, origin={**point.origin, "seed": seed, "draw": draw}
    )


def _only(first: Point, point: Point, spaces: Collection[str]) -> Point:
    """`first`, but in `spaces` as `point`."""
    if unknown := sorted(set(spaces) - set(first.tensors)):
        raise AstrogateError(f"this point has no space {', '.join(unknown)}", f"choose from {', '.join(first.tensors)}")
    if point is first:
        return first
    moved = {space: point.tensors[space] for space in spaces}
    origin = {**first.origin, **{key: point.origin[key] for key in _told(spaces) if key in point.origin}}
    segments = point.segments if "prompt_embeds" in spaces else first.segments
    return replace(first, tensors={**first.tensors, **moved}, segments=segments, origin=origin)


def _told(spaces: Collection[str]) -> list[str]:
    """What of a point's origin belongs to its spaces."""
    return [
        *(("seed", "draw") if "latents" in spaces else ()),
        *(("prompt",) if "prompt_embeds" in spaces else ()),
        *(("negative",) if "negative_prompt_embeds" in spaces else ()),
    ]


def _check(a: Point, b: Point, rule: Callable[[Tensor, Tensor, float], Tensor]) -> None:
    if a.model != b.model:
        raise AstrogateError("the key points come from different models", "make them with one model")
    if a.extras.keys() != b.extras.keys():
        raise AstrogateError("only some of the key points have a control image or an image", "give it to all, or none")
    moving = [s for s in a.tensors if not _same(a.tensors[s], b.tensors[s])]
    if not moving and _edits(a) == _edits(b):
        raise AstrogateError("two neighbouring key points are the same", "choose another seed or prompt for one")
    if "latents" in moving:
        rule(a.tensors["latents"], b.tensors["latents"], 0.5)


def _same(a: Tensor, b: Tensor) -> bool:
    return a is b or torch.equal(a, b)


def _between(a: Point, b: Point, u: float, by: By, others: str) -> Point:
    """The point at u between two neighbours; exactly they at 0 and 1."""
    if u in (0, 1):
        return b if u else a

    def moved(space: str, x: Tensor, y: Tensor) -> Tensor:
        if _same(x, y):
            return x
        if not (x.any() and y.any()):  # some checkpoints take zeros where there is no negative prompt
            return lerp(x, y, u)
        return _RULES[by if space == "latents" else others](x, y, u)

    told = {"from": _told_of(a), "to": _told_of(b), "u": u, "by": by, "others": others}
    return replace(
        a,
        tensors={space: moved(space, x, b.tensors[space]) for space, x in a.tensors.items()},
        extras={name: lerp(x, b.extras[name], u) for name, x in a.extras.items()},
        segments=a.segments if a.segments == b.segments else (),
        steers=_faded(a.steers, b.steers, u),
        guides=_faded(a.guides, b.guides, u),
        origin={**a.origin, "walk": told},
        hold=(1 - u) * a.hold + u * b.hold,
        attend=(1 - u) * a.attend + u * b.attend,
    )


def _edits(point: Point) -> tuple[object, ...]:
    return point.steers, point.guides, point.hold, point.attend


def _told_of(point: Point) -> dict[str, object]:
    return {key: value for key, value in point.origin.items() if key != "model"}


def _faded(mine: Sequence[Edit], theirs: Sequence[Edit], u: float) -> tuple[Edit, ...]:
    """Edits on the way from one end to the other: those of both ends stay, those of one fade."""
    out = [edit if edit in theirs else edit.scaled(1 - u) for edit in mine]
    return (*out, *(edit.scaled(u) for edit in theirs if edit not in mine))
