"""Several sliders at once: what each does to the others' attributes, alone and together.

    crosstalk[i][j] = effect on attribute j of slider i alone        (the diagonal is what a slider is for)
    together[i][j]  = effect on attribute i of sliders i and j, less that of i alone

in standard deviations of the readings, as `measure.leakage` counts them, means over subjects and seeds. If sliders
simply added up, together[i][j] would be crosstalk[j][i].
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from astrogate.core.direction import Direction
from astrogate.core.point import Point
from astrogate.measure.leakage import Target, effect
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.edit.leakage import Bench

WORDS = ("fat", "tall", "happy", "black", "spotted")


@dataclass(frozen=True, slots=True)
class Interactions:
    """Names of the sliders, and the two matrices, [sliders][sliders]."""

    names: tuple[str, ...]
    crosstalk: tuple[tuple[float, ...], ...]
    together: tuple[tuple[float, ...], ...]


def interactions(bench: Bench, sliders: Mapping[str, tuple[Direction, Target]], *, scale: float = 1.0) -> Interactions:
    """Set every slider, and every pair, to `scale` on the bench's subjects and seeds."""
    names = tuple(sliders)
    sums: dict[tuple[str, ...], dict[str, float]] = {}
    for subject in bench.subjects:
        points, _, before = bench.starts(subject)
        for chosen in itertools.chain(((n,) for n in names), itertools.combinations(names, 2)):
            moved = [_set(p, [sliders[n][0] for n in chosen], scale) for p in points]
            after = bench.reader.read(to_tensor(render(bench.model, moved, recipe=bench.recipe)))
            kept = sums.setdefault(chosen, dict.fromkeys(names, 0.0))
            for n in names:
                target = sliders[n][1]
                change = effect(target, before, after, bench.spread) - effect(target, before, before, bench.spread)
                kept[n] += float(change.mean()) / len(bench.subjects)
    crosstalk = tuple(tuple(sums[i,][j] for j in names) for i in names)
    together = tuple(tuple(0.0 if i == j else sums[_pair(names, i, j)][i] - sums[i,][i] for j in names) for i in names)
    return Interactions(names, crosstalk, together)


def _set(point: Point, sliders: Sequence[Direction], scale: float) -> Point:
    for slider in sliders:
        point = point.apply(slider.at(point), scale)
    return point


def _pair(names: Sequence[str], a: str, b: str) -> tuple[str, str]:
    return (a, b) if names.index(a) < names.index(b) else (b, a)


def lines(found: Interactions) -> list[str]:
    """The two matrices as Markdown."""
    out: list[str] = []
    for title, matrix in (("slider alone", found.crosstalk), ("change by a second slider", found.together)):
        out += [f"| {title} | {' | '.join(found.names)} |", f"|---|{'---|' * len(found.names)}"]
        out += [
            f"| {name} | {' | '.join(f'{x:+.2f}' for x in row)} |"
            for name, row in zip(found.names, matrix, strict=True)
        ]
        out.append("")
    return out
