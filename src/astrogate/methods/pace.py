"""Pace: when a path is where, so that it looks even (what Karras et al. 2019 measure along a path, made constant).

    d_i = sqrt D(x_i, x_i+1),  S = cumulated d,  u_k = S^-1(k / (n - 1) S)

A coarse grid is drawn first; then every stretch longer than a wanted step is halved, all of them in one batch a round,
until none is left or it is as narrow as `smallest`: what is still twice too long then is a jump of the model's own,
which no timing can spread. It is flagged and counts as one step. D grows with the square of a small change, so its root
is what adds up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.path import Path
from astrogate.core.protocols import Distance, Model
from astrogate.core.recipe import Frame, Recipe
from astrogate.ops.timing import even, nearest, uniform
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.render import render, to_tensor

#: Pairs of pictures that are compared at once.
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
    if not 0 < smallest < 1:
        raise AstrogateError(f"smallest step {smallest:g}", "use a small share of the path, such as 0.002")
    uniform(n, path.keys, closed=path.closed)
    count = n if path.closed else n - 1
    smallest = min(smallest, 1 / (4 * count))
    us = uniform(max(probes, 2 * len(path.keys) - 1), path.keys)
    drawn = partial(_drawn, model, path, recipe=recipe, batch_size=batch_size, cache=cache)
    pictures = drawn(us)
    steps = _steps(distance, us, pictures, {})
    while True:
        jumps, wanted = _jumps(steps, count, smallest)
        halves = [(a + b) / 2 for (a, b), d in steps.items() if d > wanted and b - a >= 2 * smallest]
        if not halves:
            break
        pictures |= drawn(halves)
        us = sorted(pictures)
        steps = _steps(distance, us, pictures, steps)
    lengths = [wanted if pair in jumps else steps[pair] for pair in pairwise(us)]
    times = even(us, lengths, n, path.keys, closed=path.closed)
    return Pace(tuple(times), tuple(sorted(jumps)), tuple(us), tuple(steps[pair] for pair in pairwise(us)))


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


def _drawn(
    model: Model,
    path: Path,
    us: Sequence[float],
    *,
    recipe: Recipe | None,
    batch_size: int,
    cache: FrameCache | None,
) -> dict[float, Tensor]:
    """The pictures at `us`, as uint8 [3, h, w]: they stay until the path is paced."""
    frames = render(model, path.sample(us), recipe=recipe, batch_size=batch_size, cache=cache)
    return {u: (to_tensor([frame])[0] * 255).round().byte() for u, frame in zip(us, frames, strict=True)}


def _steps(
    distance: Distance,
    us: Sequence[float],
    pictures: Mapping[float, Tensor],
    known: Mapping[tuple[float, float], float],
) -> dict[tuple[float, float], float]:
    """The lengths of all stretches between neighbouring `us`; those that are known are not measured again."""
    out: dict[tuple[float, float], float] = {}
    new = [pair for pair in pairwise(us) if pair not in known]
    for first in range(0, len(new), _TOGETHER):
        part = new[first : first + _TOGETHER]
        a, b = (torch.stack([pictures[pair[side]] for pair in part]) / 255 for side in (0, 1))
        out |= zip(part, distance.between(a, b).clamp(min=0).sqrt().tolist(), strict=True)
    return {pair: known[pair] if pair in known else out[pair] for pair in pairwise(us)}


def retimed(
    model: Model,
    path: Path,
    n: int,
    distance: Distance,
    *,
    recipe: Recipe | None = None,
    batch_size: int = 8,
    cache: FrameCache | None = None,
) -> Iterator[Frame]:
    """The `n` uniform frames of a path, each as often as an even pace shows it: nothing is drawn but those frames.

    They pass twice, once to be measured and once to be shown, so a cache is wanted.
    """
    us = uniform(n, path.keys, closed=path.closed)

    def frames() -> Iterator[Frame]:
        return render(model, path.sample(us), recipe=recipe, batch_size=batch_size, cache=cache)

    steps = list(_measured(frames(), distance))
    keys = [*(key for key in path.keys if key < us[-1]), us[-1]]
    shown = enumerate(frames())
    at, frame = next(shown)
    for index in nearest(us, even(us, steps, n, keys)):
        while at < index:
            at, frame = next(shown)
        yield frame


def _measured(frames: Iterator[Frame], distance: Distance) -> Iterator[float]:
    """The lengths of the steps between neighbouring frames, some at a time."""
    last = list(islice(frames, 1))
    while part := list(islice(frames, _TOGETHER)):
        pictures = to_tensor([*last, *part])
        yield from distance.between(pictures[:-1], pictures[1:]).clamp(min=0).sqrt().tolist()
        last = part[-1:]
