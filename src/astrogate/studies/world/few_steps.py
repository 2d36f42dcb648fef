"""A few-step student beside its teacher: what is drawn as stated, how near to drawings, how evenly knobs move it.

Pictures of held-out captions, the same noise for every way of drawing; agreement as on the model card, the Frechet
distance on the oracle's features, how much seeds vary (the mean cosine distance of these features between pictures of
one caption), seconds a picture, and the rank correlation of scale and reading within strips.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from astrogate.core.files import write_text
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.texts import counted
from astrogate.measure.distributions import diversity, fid
from astrogate.measure.scores import Estimate, bootstrap, mean
from astrogate.menagerie.oracle import Oracle
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.world.card import agreement
from astrogate.studies.world.scenes import drawings, held_out_scenes
from astrogate.studies.world.strips import score_strips

#: The teacher's numbers of steps, and the student's; the first of each is what it is asked for by default.
TEACHER, STUDENT = (20, 8, 4), (4, 2, 1)
#: The captions that are drawn with several seeds, and how many.
VARIED, SEEDS = 40, 6
#: How far strips go to either side: as far as from one pole's word to the other's, and twice as far.
REACHES = (1.0, 2.0)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of drawing, measured: agreement by factor, the distance to drawings, variety, seconds a picture."""

    name: str
    agreement: dict[str, Estimate]
    distance: float
    variety: Estimate
    seconds: float


def measure_ways(
    teacher: Model, student: Model, oracle: Oracle, *, captions: int, tell: Callable[[str], None]
) -> list[Way]:
    """Every way of drawing, on the same captions and seeds."""
    scenes, texts = held_out_scenes(captions)
    real = oracle.features(drawings(scenes, oracle.side)[0])
    found: list[Way] = []
    for name, model, recipe in _ways(teacher, student):
        points = [model.point(c.text, seed=20_000 + i) for i, c in enumerate(texts)]
        list(render(model, points[:1], recipe=recipe))
        started = time.perf_counter()
        pictures = to_tensor(render(model, points, recipe=recipe, batch_size=25))
        seconds = (time.perf_counter() - started) / captions
        distance = fid(oracle.features(pictures), real)
        again = [point for c in texts[:VARIED] for point in model.points(c.text, range(SEEDS))]
        seen = oracle.features(to_tensor(render(model, again, recipe=recipe, batch_size=25)))
        variety = bootstrap(mean, [diversity(of_one) for of_one in seen.split(SEEDS)])
        found.append(Way(name, agreement(oracle.read(pictures), scenes, texts), distance, variety, seconds))
        tell(f"{name}: distance {distance:.2f}, {seconds:.3f} s a picture")
    return found


def _ways(teacher: Model, student: Model) -> Iterator[tuple[str, Model, Recipe]]:
    for what, model, counts in (("teacher", teacher, TEACHER), ("student", student, STUDENT)):
        for count in counts:
            steps = counted(count, "step")
            yield f"{what}, {steps}", model, replace(model.recipe, num_inference_steps=count)


def write_few_steps(
    teacher: Model, student: Model, oracle: Oracle, target: Path, *, captions: int, tell: Callable[[str], None]
) -> None:
    """Measure, and write the page with its numbers beside it."""
    from astrogate.studies.kit.report import page

    ways = measure_ways(teacher, student, oracle, captions=captions, tell=tell)
    strips = {
        f"{name}, to {reach:g}": score_strips(model, oracle, low=-reach, high=reach)
        for reach in REACHES
        for name, model in (("teacher", teacher), ("student", student))
    }
    numbers = {
        "captions": captions,
        "ways": [asdict(way) for way in ways],
        "strips": {name: {s.factor: asdict(s.estimate) for s in scores} for name, scores in strips.items()},
    }
    write_text(target.with_suffix(".json"), json.dumps(numbers, indent=1) + "\n")
    knobs = {name: {s.factor: s for s in scores} for name, scores in strips.items()}
    write_text(target, page("few_steps.md", captions=captions, ways=ways, knobs=knobs, varied=VARIED, seeds=SEEDS))
