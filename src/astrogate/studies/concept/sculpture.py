"""Manipulation, measured: does "a photo of a sculpture" grow abstract with that word's weight, and does the scene stay?

Within a seed, Spearman's rank correlation of the factor and the oracle's probability of the style; over all pictures,
the share whose scene is read as without the word (factor 0). The factors, the sparse way, a recipe without noise, and
when the word starts to count were chosen on 32 other seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from astrogate.core.basis import Basis
from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Frame, Recipe
from astrogate.measure.clip import Clip
from astrogate.measure.scores import Estimate, bootstrap, mean, spearman
from astrogate.methods.concept.explain import explain
from astrogate.methods.concept.manipulate import manipulate, most_of, scale_of, whole
from astrogate.methods.concept.plan import Plan
from astrogate.methods.concept.vocabulary import vocabulary
from astrogate.methods.edit.insert import WINDOW
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.concept.planted import SPARSE, WAYS, named, without_facts

PROMPT, WORD = "a photo of a sculpture", "abstract"
FACTORS = (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
RECIPE = Recipe(guidance_scale=1.5)
SEEDS = range(600_000, 600_008)
#: More of them, as eight are few: neither chosen on nor looked at before.
FURTHER = range(630_000, 630_064)


@dataclass(frozen=True, slots=True)
class Manipulated:
    """Rank correlation, scenes that stay, the mean reading at each factor, and the frames, seed by seed."""

    correlation: Estimate
    scene: Estimate
    readings: Sequence[float]
    frames: Sequence[Frame]


def sculpture(model: Model, clip: Clip, folder: Path, plan: Plan = WAYS[SPARSE]) -> Basis:
    """The decomposition, whose dictionary has the word in any case."""
    words = without_facts(named(vocabulary(model, clip, folder=folder)))
    return explain(model, PROMPT, plan=replace(plan, include=(WORD,)), clip=clip, words=words, folder=folder)


def manipulated(
    model: Model,
    reader: Reader,
    basis: Basis,
    *,
    factors: Sequence[float] = FACTORS,
    seeds: Sequence[int] | None = None,
    window: tuple[float, float] = WINDOW,
) -> Manipulated:
    """Draw every seed (None: `SEEDS`) at every factor, and read; scenes are compared with the first factor's."""
    seeds = SEEDS if seeds is None else seeds
    edit, most = manipulate(model, basis, WORD, factors, window=window), most_of(factors)
    starts = whole(model, basis, WORD, seeds)
    points = [start.apply(edit, scale_of(factor, most)) for start in starts for factor in factors]
    frames = list(render(model, points, recipe=RECIPE, batch_size=len(factors)))
    readings, n = reader.read(to_tensor(frames)), len(factors)
    style = list(readings.classes["style"]).index(WORD)
    values = readings.probabilities["style"][:, style].view(-1, n)
    scenes = readings.labels("scene")
    rows = [scenes[i : i + n] for i in range(0, len(scenes), n)]
    same = [mean([float(scene == row[0]) for scene in row[1:]]) for row in rows]
    return Manipulated(
        bootstrap(mean, [spearman(factors, row.tolist()) for row in values]),
        bootstrap(mean, same),
        values.mean(0).tolist(),
        frames,
    )
