"""Do sliders slide? The rank correlation of scale and read factor within strips, over seeds and subjects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Recipe
from astrogate.measure.scores import Estimate, bootstrap, mean, spearman
from astrogate.methods.edit.contrast import contrast
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.rendering.strip import spaced

#: The poles of Menagerie's continuous factors, high end first.
PAIRS = {"build": ("fat", "thin"), "height": ("tall", "short"), "mood": ("happy", "sad")}
SUBJECTS = ("dog", "cat", "horse", "man", "woman", "child")


@dataclass(frozen=True, slots=True)
class StripScore:
    """The correlations [strips] of one factor, the mean reading at each scale, and the scales."""

    factor: str
    correlations: tuple[float, ...]
    curve: tuple[float, ...]
    scales: tuple[float, ...]

    @property
    def estimate(self) -> Estimate:
        """Mean within-strip Spearman correlation with its interval."""
        return bootstrap(mean, self.correlations)


def score_strips(
    model: Model,
    reader: Reader,
    *,
    factors: Iterable[str] = tuple(PAIRS),
    subjects: Sequence[str] = SUBJECTS,
    seeds: Sequence[int] = tuple(range(100, 108)),
    template: str = "a painting of a {subject}",
    low: float = -2.0,
    high: float = 2.0,
    n: int = 7,
    recipe: Recipe | None = None,
) -> list[StripScore]:
    """Slide every subject and seed along every factor's direction and read the factor back."""
    scores: list[StripScore] = []
    for factor in factors:
        direction, steps = contrast(model, *PAIRS[factor]), spaced(low, high, n)
        starts = [model.point(template.format(subject=s), seed=seed) for s in subjects for seed in seeds]
        points = [start.apply(edit, s) for start in starts for edit in [direction.at(start)] for s in steps]
        frames = render(model, points, recipe=recipe, batch_size=4 * n)
        values = reader.read(to_tensor(frames)).values[factor].numpy().reshape(-1, n)
        correlations = tuple(spearman(steps, row) for row in values)
        scores.append(StripScore(factor, correlations, tuple(float(v) for v in np.mean(values, 0)), tuple(steps)))
    return scores
