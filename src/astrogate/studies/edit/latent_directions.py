"""`astrogate reproduce latent-directions`: "Exploring CLIP latent space" on one page, beside our own edit, read back.

The post's examples: fat, tall and black against their opposites, and fat against happy; its 200 random draws beside
the complete grid; and its picture of how images are generated, steps 1 to 7, as CLIP-guided generation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from astrogate.core.direction import Direction
from astrogate.core.point import Point
from astrogate.core.protocols import Model, Predictor, Reader
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.measure.scores import spearman
from astrogate.methods.edit.clip_guided import Stage, clip_guided
from astrogate.methods.edit.contrast import contrast
from astrogate.methods.edit.insert import insert
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.rendering.sheet import sheet
from astrogate.rendering.strip import labels, spaced
from astrogate.studies.edit.editors import random_mean, subject_of
from astrogate.studies.kit.report import Section, inline, reading_rows, report

#: The post's pairs, and the factor that should move.
_PAIRS = (
    ("fat", "thin", "build"),
    ("tall", "short", "height"),
    ("black", "white", "colour"),
    ("fat", "happy", "build"),
)
_STRENGTHS = spaced(-2.0, 2.0, 7)
_PROMPT, _HAT, _STEPS = "a full-body picture of a woman", "dog with a hat", 7


def latent_directions(
    model: Model,
    reader: Reader,
    clip: Clip,
    *,
    seed: int = 7,
    recipe: Recipe | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """The page as HTML, with every picture inline."""
    recipe = recipe or model.recipe
    sections: list[Section] = []
    sure: list[list[str]] = []
    start = model.point(_PROMPT, seed=seed)
    for toward, away, factor in _PAIRS:
        seeds_own = contrast(model, toward, away)
        sections.append(
            _strip(
                model,
                reader,
                "mean difference",
                [start.apply(edit, s) for edit in [seeds_own.at(start)] for s in _STRENGTHS],
                (toward, away, factor),
                recipe,
            )
        )
        inserted = _inserted(model, start, toward, away)
        sections.append(_strip(model, reader, "words put into the prompt", inserted, (toward, away, factor), recipe))
        quality = seeds_own.origin["quality"]["end"]
        error = _random_draws(model, toward, away, seeds_own)
        sure.append([seeds_own.name, *(f"{x:.3f}" for x in (quality["standard_error"], quality["auc"], error))])
        tell(seeds_own.name)
    head = ["direction", "standard error / length", "held-out AUC", "200 random draws: error / length"]
    text = (
        "Over the complete grid the mean is exact, so the standard error is that of the concept across prompts. The "
        "AUC says how often prompts land on the right side of a direction that was found without their subject."
    )
    sections.append(Section("How sure the directions are", text=text, head=head, rows=sure))
    if "step" in model.can:
        sections.append(_lifecycle(model, clip, seed, recipe))  # type: ignore[arg-type]
        tell("lifecycle")
    intro = (
        "The post “Exploring CLIP latent space” adds the mean difference of two words' encodings to a prompt, and "
        "finds that it moves the concept and unrelated features with it.",
        f"Model {model.name}, prompt “{_PROMPT}”, seed {seed}, {recipe.num_inference_steps} steps, guidance "
        f"{recipe.guidance_scale:g}. The middle picture of each strip is the unedited one.",
    )
    return report("Latent directions, reproduced", intro, sections)


def _inserted(model: Model, start: Point, toward: str, away: str) -> list[Point]:
    """The words put into the prompt, one to each side."""
    edit = insert(model, start, toward, before=subject_of(start), against=away)
    return [start.apply(edit, s) for s in _STRENGTHS]


def _strip(
    model: Model, reader: Reader, name: str, points: Sequence[Point], case: tuple[str, str, str], recipe: Recipe
) -> Section:
    toward, away, factor = case
    frames = list(render(model, points, recipe=recipe))
    readings = reader.read(to_tensor(frames))
    rows = reading_rows(readings, factor, [toward, away])
    if factor in readings.values:
        rows.append(["rank correlation", f"{spearman(_STRENGTHS, readings.values[factor]):+.2f}"])
    heads = labels(_STRENGTHS)
    title = f"{toward} - {away}: {name}"
    return Section(title, inline(sheet(frames, labels=heads)), head=["scale", *heads], rows=rows)


def _random_draws(model: Model, toward: str, away: str, exact: Direction, *, draws: int = 200) -> float:
    """How far the post's random mean is from the complete grid's, relative to its length."""
    truth = exact.vectors["end"]
    return float((random_mean(model, toward, away, draws) - truth).norm() / truth.norm())


def _lifecycle(model: Predictor, clip: Clip, seed: int, recipe: Recipe) -> Section:
    """The post's steps 1 to 7: from noise, the gradient of CLIP's cosine changes the picture, again and again."""
    unguided = Recipe(max(recipe.num_inference_steps, 2 * _STEPS), guidance_scale=0.0)
    stages = list(clip_guided(model, clip, [model.point("a picture", seed=seed)], _HAT, scale=0.3, recipe=unguided))
    shown = _evenly(stages, _STEPS)
    frames = [stage.frames[0] for stage in shown]
    plain = next(render(model, model.point(_HAT, seed=seed), recipe=recipe))
    cosine = float(clip.images(to_tensor([plain]))[0] @ clip.texts([_HAT])[0])
    heads = [f"{stage.u:.0%}" for stage in shown] + ["ordinary"]
    rows = [["cosine to the text", *(f"{stage.cosines[0]:.3f}" for stage in shown), f"{cosine:.3f}"]]
    text = (
        "The post describes generation as a loop: compare the picture in the making with the text by CLIP, "
        "back-propagate the cosine, move along the gradient, repeat. Here that loop draws alone, from a denoiser that "
        "was not told the text; the last picture is ordinary sampling with the text."
    )
    page = inline(sheet([*frames, plain], labels=heads))
    return Section(f"Lifecycle of “{_HAT}”", page, text, ["share of the steps", *heads], rows)


def _evenly(items: Sequence[Stage], count: int) -> list[Stage]:
    """`count` stages, the first and the last among them."""
    return [items[int(i)] for i in torch.linspace(0, len(items) - 1, count).round()]
