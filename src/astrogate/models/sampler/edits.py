"""What edits do to one call of a denoiser, as plain tensor maths; `hooks` carries it into pipelines, `step` calls it.

    states' = states + w move                        steers, in the half that they name (`core.edit` has the rules)
    eps'    = eps + s M (eps(edit) - eps(base))      guides; M masks the places where the two differ most
    eps'    = eps(x') + h (eps(x) - eps(x'))         holds

The halves of classifier-free guidance, n rows each, stand one behind the other in a batch. A guide's row stands behind
them all, its term is added to every half of the point's row, so that it passes unchanged through u + g (p - u). In a
hold x' are the latents of the edited picture and x those of the same point without its edits, drawn beside it; eps(x')
is the shadow: the prediction at x' without the edits. Every change of x' is answered by a sampler with changes of its
own, and these are what leaks where prompts leave factors open. At h = 1 the edit's own term alone moves the picture.

That keeps pixels close to what they were, so it does not help an edit that moves shapes. There, from `attend` on, the
edited row's self-attention takes keys and values from the unedited row (Cao et al. 2023, MasaCtrl), and draws the new
shape of the same things.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Half, Moment, Steer
from astrogate.core.point import Point
from astrogate.models.family import Site
from astrogate.ops.interpolate import lerp, slerp


@dataclass(frozen=True, slots=True)
class Held:
    """An edited row, the row that predicts without the edit at its latents, and the unedited picture's row."""

    row: int
    shadow: int
    base: int
    share: float
    attend: float


@dataclass(frozen=True, slots=True)
class Acting:
    """What acts on the `rows` of a batch: steers and guides, each with its row, and holds."""

    rows: int
    steers: tuple[tuple[int, Steer], ...] = ()
    guides: tuple[tuple[int, Guide], ...] = ()
    held: tuple[Held, ...] = ()

    def guiding(self, now: Moment) -> list[tuple[int, Guide]]:
        """The guides whose rows are needed at a moment."""
        return [(row, guide) for row, guide in self.guides if guide.predicts(now)]

    def looking(self, now: Moment, halves: Iterable[int]) -> list[tuple[int, int]]:
        """Which row of the batch looks at which other, when the halves start at `halves`."""
        return [(start + h.row, start + h.base) for start in halves for h in self.held if now.done >= h.attend]


def acting(
    points: Sequence[Point], sites: Mapping[str, Site], held: Sequence[Held] = (), *, guided: bool, joined: bool = True
) -> Acting:
    """What acts on a batch of points. `guided` says that there are both halves of guidance, `joined` that at once.

    Raises AstrogateError for spaces that can't be moved or replaced, and for edits of a half that is not there.
    """
    steers = tuple((row, plain(steer, point.tensors)) for row, point in enumerate(points) for steer in point.steers)
    guides = tuple((row, guide) for row, point in enumerate(points) for guide in point.guides)
    movable = [space for space, site in sites.items() if not site.fixed]
    for space in {space for _, steer in steers for space in steer.vectors}:
        if space not in movable:
            raise AstrogateError(f"this model has no space {space!r} to steer", f"choose one of {', '.join(movable)}")
    for space in {space for _, guide in guides for space in guide.tensors}:
        if space not in sites:
            raise AstrogateError(f"this model has no space {space!r} to guide by", f"choose one of {', '.join(sites)}")
    for row, steer in steers:
        _check_shapes(steer.vectors, points[row].tensors)
    for row, guide in guides:
        _check_shapes(guide.tensors, points[row].tensors, shorter=True)
    moves = [edit.at(scale) for point in points for edit, scale in point.edits]
    halves = [{steer.half for steer in parts.steers if steer.scale} for parts in moves if not parts.guides]
    if not guided and {"negative"} in halves:
        raise AstrogateError("there is no negative half to steer", "raise the guidance, or steer the positive half")
    if not (guided and joined) and any(guide.base == "negative" for _, guide in guides):
        raise _missing_half("negative")
    return Acting(len(points), steers, guides, tuple(held))


def _check_shapes(moves: Mapping[str, Tensor], states: Mapping[str, Tensor], *, shorter: bool = False) -> None:
    """Raise AstrogateError for moves of another shape than a point's states, or `shorter` of no more tokens."""
    for space, move in moves.items():
        own, found = list(move.shape), list(states[space].shape)
        few = shorter and len(own) > 1 and own[1:] == found[1:] and own[0] <= found[0]
        if own != found and not few:
            raise AstrogateError(f"an edit of {own} numbers in {space}, a point of {found}", "make it for this model")


def _missing_half(half: str) -> AstrogateError:
    return AstrogateError(
        f"there is no {half} half to measure against",
        "guide by an edit instead of a phrase, or raise the guidance scale where both halves come at once",
    )


def plain(steer: Steer, states: Mapping[str, Tensor]) -> Steer:
    """The steer by the rule "add" that does the same to `states`, a point's tensors."""
    if steer.rule == "add":
        return steer
    if missing := sorted(set(steer.vectors) - set(states)):
        raise AstrogateError(f"this point has no space {missing[0]!r} to steer", "make the edit for this model")
    vectors = {space: _move(steer, space, states[space]) for space in steer.vectors}
    return replace(steer, vectors=vectors, scale=1.0, rule="add", spans=(), knots=())


def _move(steer: Steer, space: str, x: Tensor) -> Tensor:
    """How far a steer moves the states `x` of a space."""
    v, s = steer.vectors[space].to(x), steer.scale
    if steer.rule == "knots":
        return _through(steer.knots, v, s)
    if steer.rule == "toward":
        return slerp(x, (x.norm() / v.norm() * v).to(x), s) - x
    v = v if s >= 0 else -v
    if not steer.spans or space != "prompt_embeds":
        return slerp(x, x + v, abs(s)) - x
    if (end := max(high for _, high in steer.spans)) > len(x):
        raise AstrogateError(f"an edit of tokens up to {end}, a text of {len(x)}", "make it for this prompt")
    move = torch.zeros_like(x)
    for low, high in steer.spans:
        move[low:high] = slerp(x[low:high], x[low:high] + v[low:high], abs(s)) - x[low:high]
    return move


def _through(knots: Sequence[float], vectors: Tensor, s: float) -> Tensor:
    """The vector at strength `s` on the line through the vectors [k, ...] at `knots`; the last ones go on outside."""
    if len(knots) == 1:
        return vectors[0]
    i = next((i for i, (_, high) in enumerate(pairwise(knots)) if s <= high), len(knots) - 2)
    share = (s - knots[i]) / (knots[i + 1] - knots[i])
    return lerp(vectors[i], vectors[i + 1], share)


def moved(
    states: Tensor, space: str, steers: Iterable[tuple[int, Steer]], now: Moment, halves: Mapping[Half, int]
) -> Tensor:
    """`states` [batch, ...] with what steers add to the halves that start at `halves`; the same object for nothing."""
    delta: Tensor | None = None
    for row, steer in steers:
        strength = steer.scale * steer.weight(now)
        if space not in steer.vectors or strength == 0:
            continue
        for half, start in halves.items():
            if steer.half in (half, "both"):
                delta = torch.zeros_like(states) if delta is None else delta
                move = steer.vectors[space].to(states)
                delta[row + start] += strength * (move[: states.shape[1]] if move.ndim > 1 else move)
    return states if delta is None else states + delta


def conditioned(states: Tensor, space: str, guides: Sequence[tuple[int, Guide]], start: int) -> Tensor:
    """`states` with the conditioning of guides in the rows from `start` on, which hold those of their points."""
    states = states.clone()
    for i, (_, guide) in enumerate(guides):
        if space in guide.tensors:
            row = states[start + i]
            own = guide.tensors[space].to(states)[: len(row)]
            row[: len(own)] = row[: len(own)] + own if guide.added else own
    return states


def terms(
    predicted: Tensor,
    guides: Sequence[tuple[int, Guide]],
    halves: Mapping[Half, int],
    start: int,
    now: Moment,
    *,
    channel_axis: int = 0,
    channels: int | None = None,
    memory: dict[tuple[int, int], Tensor] | None = None,
) -> list[tuple[int, Tensor]]:
    """The rows of guides and what is added to them; `predicted` has the guides' own rows from `start` on.

    `channel_axis` is that of one row; the first `channels` say where the two differ (None: all). `memory` keeps
    momentum from step to step. Raises AstrogateError for a guide that is measured against a half that is not there, and
    for one with momentum where nothing keeps it.
    """
    found: list[tuple[int, Tensor]] = []
    for i, (row, guide) in enumerate(guides):
        if guide.base not in halves:
            raise _missing_half(guide.base)
        difference = predicted[start + i] - predicted[halves[guide.base] + row]
        if guide.quantile:
            size = difference.narrow(channel_axis, 0, channels or difference.shape[channel_axis]).float().abs()
            difference = difference * _mask(size, guide, channel_axis, difference.shape[channel_axis])
        term, (added, share) = guide.scale * difference, guide.momentum
        if added:
            if memory is None:
                raise AstrogateError("a guide with momentum needs a whole sampling", "guide without momentum here")
            before = memory.get((row, id(guide)), torch.zeros_like(term))
            term = term + added * before
            memory[row, id(guide)] = share * before + (1 - share) * term
        if guide.acts(now):
            found.append((row, term))
    return found


def _mask(size: Tensor, guide: Guide, axis: int, channels: int) -> Tensor:
    """Where a guide's difference, of this `size`, is kept. Channels behind those that are measured are kept whole."""
    if guide.mask == "places":
        size = size.mean(axis, keepdim=True)
        return size >= torch.quantile(size, guide.quantile)
    limits = torch.quantile(size.movedim(axis, 0).flatten(1), guide.quantile, dim=1)
    limits = limits.view([-1 if i == axis else 1 for i in range(size.ndim)])
    rest = [*size.shape]
    rest[axis] = channels - size.shape[axis]
    return torch.cat([size >= limits, torch.ones(rest, dtype=torch.bool, device=size.device)], axis)


def kept(predicted: Tensor, held: Sequence[Held], halves: Iterable[int]) -> Tensor:
    """`predicted` [batch, ...] with held rows kept near the unedited ones, in the halves that start at `halves`."""
    out = predicted.clone()
    for start in halves:
        for h in held:
            out[start + h.row] += h.share * (predicted[start + h.base] - predicted[start + h.shadow])
    return out


def companions(points: Sequence[Point]) -> tuple[list[int], list[Held]]:
    """The rows that further ones are copies of, less the edits, and the holds, whose rows count those too.

    Each held row takes one more, and each start of several that is not in the batch without edits another.
    """
    sources: list[int] = []
    held: list[Held] = []
    bases = {_start(point): row for row, point in enumerate(points) if not edited(point)}
    for row, point in enumerate(points):
        if not is_held(point):
            continue
        if _start(point) not in bases:
            bases[_start(point)] = len(points) + len(sources)
            sources.append(row)
        hold = point.holding
        held.append(Held(row, len(points) + len(sources), bases[_start(point)], hold.share, hold.attend))
        sources.append(row)
    return sources, held


def with_bases(points: Sequence[Point]) -> list[Point]:
    """The points, and behind them without edits those that held ones need beside them, step by step."""
    found = list(points)
    starts = {_start(point) for point in points if not edited(point)}
    for point in points:
        if is_held(point) and _start(point) not in starts:
            starts.add(_start(point))
            found.append(point.plain())
    return found


def is_held(point: Point) -> bool:
    """Whether a point has edits that act, and a hold on them."""
    return point.holding.acts and edited(point)


def edited(point: Point) -> bool:
    """Whether a point has edits that act."""
    return bool(point.steers or point.guides)


def _start(point: Point) -> tuple[int, ...]:
    """What two points share that differ in their edits alone."""
    return point.seed, point.draw, *(id(tensor) for tensor in (*point.tensors.values(), *point.extras.values()))
