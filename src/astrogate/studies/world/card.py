"""The model card: what Menagerie can do, measured, on combinations that no training picture had.

`measure_card` gives the numbers, `write_card` turns them into `docs/menagerie.md` with the JSON beside it. Only
factors that a caption states and its picture can show are counted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from astrogate.core.files import write_text
from astrogate.core.protocols import Model, Reader, Readings
from astrogate.core.recipe import Frame, Recipe
from astrogate.measure.clip import Clip
from astrogate.measure.scores import Estimate, auc, bootstrap, mean, psnr, retrieval
from astrogate.menagerie.captions import WORDS, Caption
from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS, MEDIA, PATTERNS, SUBJECTS
from astrogate.menagerie.facts import FACTS
from astrogate.menagerie.oracle import load_oracle
from astrogate.menagerie.world import Scene, visible
from astrogate.models.loading.load import load
from astrogate.models.loading.locate import SMALL, shipped_folder
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.record import save_png
from astrogate.rendering.render import render
from astrogate.rendering.sheet import sheet
from astrogate.studies.world.scenes import drawings, held_out_scenes, reconstruct, scenes_of_patterns, truth_scores
from astrogate.studies.world.strips import PAIRS, score_strips

_POLES = {factor: " / ".join(words) for factor, words in PAIRS.items()}
#: What each preset should reach, by factor.
_GOALS = {
    "cpu": {"subject": 0.85, "scene": 0.85, "hat": 0.85, "colour": 0.75, "medium": 0.75, **dict.fromkeys(_POLES, 0.85)},
    "cuda": {"subject": 0.95, "scene": 0.95, "hat": 0.95, "colour": 0.9, "medium": 0.9, **dict.fromkeys(_POLES, 0.97)},
}
#: What the oracle should reach on drawings (categorical, continuous), and the other numbers.
_RULER_GOALS = {"cpu": (0.95, 0.9), "cuda": (0.97, 0.95)}
_WITNESS_GOAL, _STRIP_GOAL, _PATTERN_GOAL = 0.93, 0.8, 0.85
_SHEET_MEDIA = MEDIA[:7]
_PROMPTS = (
    "a photo of a fat black dog with a red hat",
    "a drawing of a happy green cat on a beach",
    "a tall sad woman in the snow",
    "a 3d render of a spotted ladybug at night",
    "a photo of a king",
    "a photo of a snail",
    "a photo of happiness",
    "doomsday pyramid cyberpunk alien invasion",
    "temple hidden in the jungle Monet style",
    "futuristic high tech city architecture",
)


def agreement(readings: Readings, scenes: list[Scene], captions: list[Caption]) -> dict[str, Estimate]:
    """Share of pictures in which a stated, visible categorical factor is read as stated; AUC of the poles."""
    out: dict[str, Estimate] = {}
    stated = [c.mentions & visible(s) for c, s in zip(captions, scenes, strict=True)]
    for name in CATEGORICAL:
        labels = readings.labels(name)
        hits = [a == getattr(s, name) for a, s, m in zip(labels, scenes, stated, strict=True) if name in m]
        out[name] = bootstrap(mean, np.asarray(hits, float))
    for name in _POLES:
        values = readings.values[name]
        kept = [(float(v), getattr(s, name) > 0) for v, s, m in zip(values, scenes, stated, strict=True) if name in m]
        read, high = zip(*kept, strict=True)
        out[name] = bootstrap(auc, read, high)
    return out


def pattern_agreement(model: Model, reader: Reader, *, each: int = 100) -> dict[str, Estimate]:
    """Share of pictures in which a pattern that the caption states is read as stated, `each` pattern's."""
    scenes, texts = scenes_of_patterns(each)
    points = [model.point(c.text, seed=30_000 + i) for i, c in enumerate(texts)]
    labels = reader.read(to_tensor(render(model, points, batch_size=25))).labels("pattern")
    pairs = list(zip(labels, scenes, strict=True))
    return {
        name: bootstrap(mean, np.asarray([label == name for label, scene in pairs if scene.pattern == name], float))
        for name in PATTERNS
    }


def witness_agreement(a: Readings, b: Readings) -> dict[str, Estimate]:
    """Share of pictures that two readers read alike, by categorical factor and `overall`.

    Only factors count that the picture can show, by the subject and the medium that the first reader sees in it.
    """
    seen = zip(a.labels("subject"), a.labels("medium"), strict=True)
    shown = [visible(Scene(subject=subject, medium=medium)) for subject, medium in seen]
    alike = {
        name: [x == y for x, y, v in zip(a.labels(name), b.labels(name), shown, strict=True) if name in v]
        for name in CATEGORICAL
    }
    alike["overall"] = [hit for hits in alike.values() for hit in hits]
    return {name: bootstrap(mean, np.asarray(hits, float)) for name, hits in alike.items()}


def measure_card(
    model: Model,
    reader: Reader,
    clip_embed: Callable[[Tensor, list[str]], tuple[Tensor, Tensor]],
    *,
    witness: Reader | None = None,
    captions: int = 1000,
    report: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Every number of the card. `clip_embed` gives unit features of pictures and texts."""
    scenes, texts = held_out_scenes(captions)
    drawn, masks = drawings(scenes, model.size)
    rebuilt = reconstruct(model, drawn)
    read = reader.read(drawn)
    numbers: dict[str, Any] = {"captions": captions, "size": model.size, "recipe": Recipe().to_json()}
    numbers["drawings"] = _plain(truth_scores(read, scenes))
    numbers["rebuilt"] = _plain(truth_scores(reader.read(rebuilt), scenes))
    inter, union = ((read.mask > 0.5) & (masks > 0.5)).sum((1, 2)), ((read.mask > 0.5) | (masks > 0.5)).sum((1, 2))
    numbers["mask_iou"] = asdict(bootstrap(mean, inter / union.clamp(min=1)))
    numbers["psnr"] = asdict(bootstrap(mean, psnr(drawn, rebuilt)))
    numbers["retrieval"] = asdict(bootstrap(mean, retrieval(*clip_embed(drawn, [c.text for c in texts]))))
    report("drawings, reconstructions and retrieval are measured")
    model.point("a dog")
    started = time.perf_counter()
    points = [model.point(c.text, seed=10_000 + i) for i, c in enumerate(texts)]
    generated = to_tensor(render(model, points, batch_size=25))
    numbers["seconds"] = (time.perf_counter() - started) / captions
    seen = reader.read(generated)
    numbers["generated"] = _plain(agreement(seen, scenes, texts))
    numbers["patterns"] = _plain(pattern_agreement(model, reader))
    report("generated pictures are measured")
    if witness is not None:
        numbers["witness"] = _plain(witness_agreement(seen, witness.read(generated)))
        numbers["witness_drawings"] = _plain(truth_scores(witness.read(drawn), scenes))
    numbers["strips"] = {
        s.factor: {**asdict(s.estimate), "curve": list(s.curve), "scales": list(s.scales)}
        for s in score_strips(model, reader)
    }
    return numbers


def _plain(scores: dict[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: asdict(score) for name, score in scores.items()}


def save_samples(model: Model, folder: Path) -> list[str]:
    """Sheets of samples: every subject by medium, and prompts in free words. Returns the file names."""
    points = [model.point(f"a {m} of a {s}", seed=i) for i, s in enumerate(SUBJECTS) for m in _SHEET_MEDIA]
    frames = list(render(model, points, batch_size=24))
    labels = [m.replace(" painting", " p.") for m in _SHEET_MEDIA]
    page = sheet(_small(frames, 96), columns=len(_SHEET_MEDIA), labels=labels, rows=SUBJECTS, tile=96)
    save_png(page, folder / "menagerie-media.png", frame=frames[0])
    frames = list(render(model, [model.point(p, seed=i) for p in _PROMPTS for i in range(3)], batch_size=24))
    page = sheet(_small(frames, 192), columns=3, rows=_PROMPTS, tile=192)
    save_png(page, folder / "menagerie-prompts.png", frame=frames[0])
    return ["menagerie-media.png", "menagerie-prompts.png"]


def _small(frames: list[Frame], side: int) -> list[Image.Image]:
    """Pictures of at most `side` pixels, so that a sheet stays a small file."""
    images = [frame.image.copy() for frame in frames]
    for image in images:
        image.thumbnail((side, side))
    return images


def write_card(numbers: dict[str, Any], target: Path, sheets: list[str]) -> None:
    """Write the card as Markdown, and the numbers behind it as JSON beside it."""
    from astrogate.studies.kit.report import page

    write_text(target.with_suffix(".json"), json.dumps(numbers, indent=1) + "\n")
    preset = numbers["card"]["preset"]
    sharp, smooth = _RULER_GOALS[preset]
    ruler = dict.fromkeys(CATEGORICAL, sharp) | dict.fromkeys(CONTINUOUS, smooth)
    text = page(
        "card.md",
        n=numbers,
        goals=_GOALS[preset],
        ruler=ruler,
        witness_goal=_WITNESS_GOAL,
        strip_goal=_STRIP_GOAL,
        pattern_goal=_PATTERN_GOAL,
        sheets=sheets,
        facts=FACTS,
        poles=_POLES,
        categorical=list(CATEGORICAL),
    )
    write_text(target, text)


def card_of_shipped(
    target: Path, *, captions: int, witness: Path | None, device: str | None, report: Callable[[str], None]
) -> None:
    """Measure the shipped model with the shipped oracle and write its card."""
    from astrogate.train.world.witness import Witness

    model, folder = load(SMALL, device=device), shipped_folder()
    clip = Clip(folder / "clip")
    numbers = measure_card(
        model,
        load_oracle(),
        lambda pictures, texts: (clip.images(pictures), clip.texts(texts)),
        witness=load_oracle(witness, Witness) if witness else None,
        captions=captions,
        report=report,
    )
    numbers["words"] = len(WORDS)
    numbers["card"] = json.loads((folder / "card.json").read_text())
    write_card(numbers, target, save_samples(load(device=device), target.parent / "images"))
