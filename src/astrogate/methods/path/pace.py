"""Pace: when a path is where, so that it looks even (what Karras et al. 2019 measure along a path, made constant).

    d_i = sqrt D(x_i, x_i+1),  S = cumulated d,  u_k = S^-1(k / (n - 1) S)

A coarse grid is drawn first; then every stretch longer than a wanted step is halved, all of them in one batch per
round, until none is left or it is as narrow as `smallest`: what is still twice too long then is a jump of the model's
own, which no timing can spread. It is flagged and counts as one step. D grows with the square of a small change, so its
root is what adds up. Pictures pass by way of a frame cache, some at a time: however many are probed, few are held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path as Folder
from tempfile import TemporaryDirectory

from astrogate.core.path import Path
from astrogate.core.protocols import Distance, Model
from astrogate.core.recipe import Frame, Recipe
from astrogate.core.values import real, whole
from astrogate.ops.timing import even, nearest
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

#: How many pictures are held, and compared, at once.
_TOGETHER = 50


@dataclass(frozen=True, slots=True)
class Pace:
    """Times [n]; the stretches that jump, as pairs of times; what was measured, as times [m] and steps [m - 1]."""

    times: tuple[float, ...]
    jumps: tuple[tuple[float, float], ...]
    probed: tuple[float, ...]
    steps: tuple[float, ...]


def pace(
    model: Model,
    path: Path,
    n: int,
    distance: Distance,
    *,
    recipe: Recipe | None = None,
    probes: int = 17,
    smallest: float = 1 / 512,
    batch_size: int = 8,
    cache: FrameCache | None = None,
) -> Pace:
    """`n` times at which neighbouring pictures of `path` differ equally; key points keep their pictures.

    Starts from `probes` pictures (more, where the path has more keys) and halves down to `smallest` shares of the path,
    or a quarter of a uniform step where that is less. Raises AstrogateError for fewer than 2 frames, and for fewer than
    there are key points.
    """
    smallest = real(smallest, "smallest step", 1e-9, 1 - 1e-9, "use a small share of the path, such as 0.002")
    probes = whole(probes, "{} probes", 2, 10_000)
    path.times(n)
    count = n if path.closed else n - 1
    smallest = min(smallest, 1 / (4 * count))
    recipe = recipe or path(0.0).recipe
    us = replace(path, closed=False).times(max(probes, 2 * len(path.keys) - 1))
    with TemporaryDirectory() as folder:
        drawn = partial(render, model, recipe=recipe, batch_size=batch_size, cache=cache or FrameCache(Folder(folder)))
        steps = _lengths(path, us, list(pairwise(us)), drawn, distance)
        while True:
            jumps, wanted = _jumps(steps, count, smallest)
            long = [(a, b) for (a, b), d in steps.items() if d > wanted and b - a >= 2 * smallest]
            if not long:
                break
            halves = {pair: sum(pair) / 2 for pair in long}
            new = [pair for (a, b), u in halves.items() for pair in ((a, u), (u, b))]
            kept = {pair: d for pair, d in steps.items() if pair not in halves}
            steps = dict(sorted((kept | _lengths(path, list(halves.values()), new, drawn, distance)).items()))
    us = [*(a for a, _ in steps), path.keys[-1]]
    lengths = [wanted if pair in jumps else d for pair, d in steps.items()]
    times = even(us, lengths, n, path.keys, closed=path.closed)
    return Pace(tuple(times), tuple(sorted(jumps)), tuple(us), tuple(steps.values()))


def _jumps(
    steps: Mapping[tuple[float, float], float], count: int, smallest: float
) -> tuple[set[tuple[float, float]], float]:
    """The stretches that jump, and what one of `count` steps should measure when each jump is one of them."""
    jumps: set[tuple[float, float]] = set()
    while True:
        rest = sum(d for pair, d in steps.items() if pair not in jumps)
        wanted = rest / max(1, count - len(jumps))
        more = {(a, b) for (a, b), d in steps.items() if d > 2 * wanted and b - a < 2 * smallest} - jumps
        if not more:
            return jumps, wanted
        jumps |= more


def _lengths(
    path: Path,
    fresh: Sequence[float],
    pairs: Collection[tuple[float, float]],
    drawn: Callable[..., Iterator[Frame]],
    distance: Distance,
) -> dict[tuple[float, float], float]:
    """The lengths of the stretches `pairs`. What is `fresh` is drawn first, in full batches; then all come by."""
    for first in range(0, len(fresh), _TOGETHER):
        deque(drawn(list(map(path, fresh[first : first + _TOGETHER]))), maxlen=0)
    us, wanted = sorted({u for pair in pairs for u in pair}), set(pairs)
    steps = _measured(drawn(map(path, us)), distance)
    return {pair: d for pair, d in zip(pairwise(us), steps, strict=True) if pair in wanted}


def retimed(
    model: Model,
    path: Path,
    n: int,
    distance: Distance,
    *,
    recipe: Recipe | None = None,
    batch_size: int = 8,
    cache: FrameCache | None = None,
) -> list[float]:
    """`n` times at an even pace, each the nearest of the `n` uniform ones: a cache that has these draws nothing new."""
    us = path.times(n)
    frames = render(model, map(path, us), recipe=recipe, batch_size=batch_size, cache=cache)
    steps = list(_measured(frames, distance))
    keys = [*(key for key in path.keys if key < us[-1]), us[-1]]
    return [us[i] for i in nearest(us, even(us, steps, n, keys))]


def _measured(frames: Iterator[Frame], distance: Distance) -> Iterator[float]:
    """The lengths of the steps between neighbouring frames, some at a time."""
    last = list(islice(frames, 1))
    while part := list(islice(frames, _TOGETHER)):
        pictures = to_tensor([*last, *part])
        yield from distance.between(pictures[:-1], pictures[1:]).clamp(min=0).sqrt().tolist()
        last = part[-1:]
