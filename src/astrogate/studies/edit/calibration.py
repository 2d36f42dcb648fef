"""Does a calibrated scale mean the same amount of change for every concept, on subjects and seeds it never saw?

Every direction is calibrated on some subjects and seeds; then pictures of others are drawn at -1 and 1, with and
without the calibration. The coefficient of variation is that of the mean perceptual distances over concepts and sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astrogate.core.direction import Direction
from astrogate.core.edit import calibrated
from astrogate.core.protocols import Distance
from astrogate.measure.leakage import effect
from astrogate.methods.edit.calibrate import CEILING, calibrate
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.edit.editors import Attribute
from astrogate.studies.edit.leakage import Bench

WORDS = ("fat", "tall", "happy", "black", "yellow", "striped", "spotted", "red")
FIT_SUBJECTS, FIT_SEEDS = ("dog", "horse", "boy", "girl"), (400, 401, 402, 403)


@dataclass(frozen=True, slots=True)
class Calibrated:
    """One side of one concept on held-out subjects and seeds: strengths, distances and effects, before and after."""

    word: str
    scale: float
    strength: float
    before: float
    after: float
    effect_before: float
    effect_after: float


def calibration(
    bench: Bench,
    distance: Distance,
    found: Sequence[tuple[Attribute, Direction]],
    *,
    ceiling: float = CEILING,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Calibrated]:
    """Calibrate on `FIT_SUBJECTS` and `FIT_SEEDS`, measure on the bench's own subjects that are not among them.

    `tell` hears each word that is done.
    """
    fitting = [bench.model.point(bench.prompt.format(subject=s), seed=seed) for s in FIT_SUBJECTS for seed in FIT_SEEDS]
    held = replace(bench, subjects=tuple(s for s in bench.subjects if s not in FIT_SUBJECTS))
    starts = [held.starts(subject) for subject in held.subjects]
    rows: list[Calibrated] = []
    for attribute, direction in found:
        unit = calibrate(bench.model, direction, fitting, distance, ceiling=ceiling, recipe=bench.recipe)
        for scale in (-1.0, 1.0):
            seen: dict[str, list[float]] = {"before": [], "after": [], "effect before": [], "effect after": []}
            for points, pictures, before in starts:
                for when, used in (("before", direction), ("after", unit)):
                    moved = [p.apply(used.at(p), scale) for p in points]
                    drawn = to_tensor(render(bench.model, moved, recipe=bench.recipe))
                    after = bench.reader.read(drawn)
                    change = effect(attribute.target, before, after, bench.spread)
                    change = change - effect(attribute.target, before, before, bench.spread)
                    seen[when].append(float(distance.between(pictures, drawn).mean()))
                    seen[f"effect {when}"].append(float(change.mean()))
            means = (float(np.mean(v)) for v in seen.values())
            rows.append(Calibrated(attribute.word, scale, calibrated(scale, unit.calibration), *means))
        tell(attribute.word)
    return rows


def variation(values: Sequence[float]) -> float:
    """The coefficient of variation: standard deviation (n - 1) over mean."""
    return float(np.std(values, ddof=1) / np.mean(values))
