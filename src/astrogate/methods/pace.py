"""Pace: when a path is where, so that it looks even (what Karras et al. 2019 measure along a path, made constant).

    d_i = sqrt D(x_i, x_i+1),  S = cumulated d,  u_k = S^-1(k / (n - 1) S)

A coarse grid is drawn first; then every stretch longer than a wanted step is halved, all of them in one batch a round,
until none is left or it is as narrow as `smallest`: what is still too long then is a jump of the model's own, which no
timing can spread, and is flagged. D grows with the square of a small change, so its root is what adds up.
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
    rounds: int = 6,
    batch_size: int = 8,
    cache: FrameCache | None = None,
) -> Pace:
    """`n` times at which neighbouring pictures of `path` differ equally; key points keep their pictures.

    Starts from `probes` pictures (more, where the path has more keys) and refines for at most `rounds` rounds. Raises
    AstrogateError for fewer than 2 frames, and for fewer than there are key points.
    """
    if not 0 < smallest < 1:
        raise AstrogateError(f"smallest step {smallest:g}", "use a small share of the path, such as 0.002")
    uniform(n, path.keys, closed=path.closed)
    count = max(probes, 2 * len(path.keys) - 1)
    us = uniform(count, path.keys)
    drawn = partial(_drawn, model, path, recipe=recipe, batch_size=batch_size, cache=cache)
    pictures = drawn(us)
    steps = _steps(distance, us, pictures, {})
    for _ in range(rounds):
        wanted = sum(steps.values()) / (n if path.closed else n - 1)
        halves = [(a + b) / 2 for (a, b), d in steps.items() if d > wanted and b - a >= 2 * smallest]
        if not halves:
            break
        pictures |= drawn(halves)
        us = sorted(pictures)
        steps = _steps(distance, us, pictures, steps)
    wanted = sum(steps.values()) / (n if path.closed else n - 1)
    jumps = [pair for pair, d in steps.items() if d > 2 * wanted and pair[1] - pair[0] < 2 * smallest]
    lengths = [steps[pair] for pair in pairwise(us)]
    times = even(us, lengths, n, path.keys, closed=path.closed)
    return Pace(tuple(times), tuple(sorted(jumps)), tuple(us), tuple(lengths))


def _drawn(
    model: Model,
    path: Path,
    us: Sequence[float],
    *,
    recipe: Recipe | None,
    batch_size: int,
    cache: FrameCache | None,
) -> dict[float, Tensor]:
    """The pictures [3, h, w] at `us`."""
    frames = render(model, path.sample(us), recipe=recipe, batch_size=batch_size, cache=cache)
    return dict(zip(us, to_tensor(frames), strict=True))


def _steps(
    distance: Distance,
    us: Sequence[float],
    pictures: Mapping[float, Tensor],
    known: Mapping[tuple[float, float], float],
) -> dict[tuple[float, float], float]:
    """The lengths of all stretches between neighbouring `us`; those that are known are not measured again."""
    new = [pair for pair in pairwise(us) if pair not in known]
    a, b = (torch.stack([pictures[pair[side]] for pair in new]) for side in (0, 1))
    measured = dict(zip(new, distance.between(a, b).clamp(min=0).sqrt().tolist(), strict=True))
    return {pair: known[pair] if pair in known else measured[pair] for pair in pairwise(us)}


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


def _measured(frames: Iterator[Frame], distance: Distance, *, batch: int = 50) -> Iterator[float]:
    """The lengths of the steps between neighbouring frames, a batch at a time."""
    last = list(islice(frames, 1))
    while part := list(islice(frames, batch)):
        pictures = to_tensor([*last, *part])
        yield from distance.between(pictures[:-1], pictures[1:]).clamp(min=0).sqrt().tolist()
        last = part[-1:]
