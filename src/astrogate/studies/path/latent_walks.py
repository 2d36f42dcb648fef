"""`astrogate reproduce latent-walks`: travels through noise and text, on one page.

Source: the post "Exploring the latent space of text-to-image diffusion models", with its prompts, seed and sampler.

Spread of the noise, the three interpolations and their trajectories, text interpolation, translation and slice mixing,
InterpScore over 300 frames, the side-by-side video, one latent under four prompts. Beside the post's InterpScore stand
the scores that see what it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import get_args

import torch
from PIL import Image

from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Frame, Recipe
from astrogate.measure.clip import Clip
from astrogate.measure.paths import score_noise
from astrogate.methods.path.neighbourhood import EPSILONS, neighbourhood
from astrogate.methods.path.pan import pan
from astrogate.methods.path.walk import By, walk
from astrogate.ops.interpolate import lerp, nlerp, slerp
from astrogate.ops.noise import scaled
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.rendering.sheet import sheet
from astrogate.rendering.strip import spaced
from astrogate.rendering.video import side_by_side
from astrogate.studies.kit.report import Section, inline, inline_svg, inline_video, pyplot, report
from astrogate.studies.path.score import score_pictures, shrunk

#: The post's own settings.
SETTINGS = Recipe(30, 7.5, "DPMSolverMultistep")
_PROMPT, _SCORED = "An high resolution photo of a cat", "A high resolution image of a cat"
_TEXTS = ("a photo of a dog", "a photo of a cat")
_FOUR = ("a photo of a man", "a photo of a woman", "a photo of a boy", "a photo of a girl")
_STDS = [round(0.5 + 0.1 * i, 1) for i in range(11)]
_RULES: tuple[By, ...] = get_args(By)[::-1]
_NAMES = {"lerp": "linear", "nlerp": "normalised", "slerp": "slerp"}

Draw = Callable[[Sequence[Point]], list[Frame]]


def latent_walks(
    model: Model,
    clip: Clip,
    *,
    seed: int = 1,
    frames: int = 300,
    recipe: Recipe = SETTINGS,
    batch_size: int = 8,
    cache: FrameCache | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """The page as HTML, with every picture and video inline."""

    def draw(points: Sequence[Point]) -> list[Frame]:
        return list(render(model, points, recipe=recipe, batch_size=batch_size, cache=cache))

    def ends(prompt: str) -> tuple[Point, Point]:
        """Both drawn from one generator, as in the post."""
        point = model.point(prompt, seed=seed)
        return point, point.with_noise(seed, draw=1)

    start, end = ends(_PROMPT)
    sections = [_spread(draw, start)]
    tell("spread of the noise")
    sections.append(_interpolations(draw, start, end))
    sections.append(_trajectories())
    tell("interpolations")
    sections.append(_texts(model, draw, seed))
    sections += _moves(draw, start, end)
    tell("text, translation, slices")
    sections += _scores(model, clip, draw, ends(_SCORED), frames)
    tell(f"scores over {frames} frames")
    sections.append(_smoothness(clip, draw, start))
    points = [model.point(prompt, seed=seed) for prompt in _FOUR]
    four = inline(sheet(draw(points), labels=[prompt.rsplit(" ", 1)[-1] for prompt in _FOUR]))
    sections.append(Section("One latent under four prompts", four))
    intro = (
        "The post “Exploring the latent space of text-to-image diffusion models” compares linear, normalised and "
        "spherical interpolation of the noise, moves the noise about, and finds that the blurred linear "
        "path has the best InterpScore.",
        f"Model {model.name}, {recipe.scheduler}, {recipe.num_inference_steps} steps, guidance "
        f"{recipe.guidance_scale:g}, seed {seed} for both ends.",
    )
    return report("Latent walks, reproduced", intro, sections)


def _slider(labels: Sequence[str], frames: Sequence[Frame]) -> list[tuple[str, str]]:
    return [(label, inline(_large(frame.image))) for label, frame in zip(labels, frames, strict=True)]


def _large(image: Image.Image, side: int = 128) -> Image.Image:
    zoom = max(1, side // image.width)
    return image.resize((zoom * image.width, zoom * image.height), Image.Resampling.NEAREST)


def _spread(draw: Draw, start: Point) -> Section:
    points = [
        replace(start, tensors={**start.tensors, "latents": scaled(start.tensors["latents"], std)}) for std in _STDS
    ]
    return Section(
        "The same noise with another spread",
        text="std x z: too little of it blurs, too much clutters.",
        slider=_slider([f"std {std:g}" for std in _STDS], draw(points)),
    )


def _interpolations(draw: Draw, start: Point, end: Point) -> Section:
    us = spaced(0.0, 1.0, 9)
    points = [walk(start, end, by=rule)(u) for rule in _RULES for u in us]
    noise = [score_noise(walk(start, end, by=rule)(0.5).tensors["latents"]) for rule in _RULES]
    page = sheet(draw(points), columns=9, labels=[f"{u:.3g}" for u in us], rows=[_NAMES[r] for r in _RULES])
    rows = [
        [_NAMES[rule], *(f"{v:.3f}" for v in (n.norm, n.ks, n.neighbours))]
        for rule, n in zip(_RULES, noise, strict=True)
    ]
    head = ["half way", "relative norm", "KS from N(0, 1)", "correlation of neighbours"]
    return Section("Three interpolations", inline(page), "From one noise to the other under one prompt.", head, rows)


def _trajectories() -> Section:
    a, b = torch.randn((2, 2), generator=torch.Generator().manual_seed(3))
    figure, axis = pyplot().subplots(figsize=(5, 4), layout="constrained")
    for name, rule in (("linear", lerp), ("normalised", nlerp), ("slerp", slerp)):
        way = torch.stack([rule(a, b, u) for u in spaced(0.0, 1.0, 41)])
        axis.plot(way[:, 0], way[:, 1], label=name, marker=".", markevery=4)
    axis.plot([0], [0], "k+")
    axis.set_aspect("equal")
    axis.legend()
    text = (
        "Two samples of a 2-D normal distribution. Where they are at right angles and equally long, normalised and "
        "spherical interpolation are one circle at two speeds; in two dimensions they seldom are."
    )
    return Section("Trajectories in two dimensions", inline_svg(figure), text)


def _texts(model: Model, draw: Draw, seed: int) -> Section:
    us = spaced(0.0, 1.0, 9)
    way = walk(*(model.point(text, seed=seed) for text in _TEXTS))
    page = sheet(draw([way(u) for u in us]), labels=[f"{u:.3g}" for u in us])
    return Section(f"Text interpolation: “{_TEXTS[0]}” to “{_TEXTS[1]}”", inline(page), "The noise stays.")


def _moves(draw: Draw, start: Point, end: Point) -> list[Section]:
    width = start.tensors["latents"].shape[-1]
    columns = list(range(0, width + 1, max(1, width // 32)))
    moved = [pan(start, end)(t / width) for t in columns]
    mixed = [pan(start, end, by="columns")(1 - t / width) for t in columns]
    labels = [f"t = {t}" for t in columns]
    return [
        Section("Translation", text="The window moves over both noises.", slider=_slider(labels, draw(moved))),
        Section(
            "Slice mixing",
            text="The first t columns of one noise, the rest the other's, in their places.",
            slider=_slider(labels, draw(mixed)),
        ),
    ]


def _smoothness(clip: Clip, draw: Draw, start: Point, ways: int = 4) -> Section:
    frames = draw(neighbourhood(start, EPSILONS, ways=ways))
    pictures = to_tensor(frames).unflatten(0, (ways, len(EPSILONS)))
    far = [clip.between(pictures[:, 0], pictures[:, i]) for i in range(len(EPSILONS))]
    heads = [f"{e:g}" for e in EPSILONS]
    page = inline(sheet(frames[: len(EPSILONS)], labels=heads))
    rows = [["perceptual distance", *(f"{float(d.mean()):.3f}" for d in far)]]
    text = f"(z + e n) / sqrt(1 + e^2) for rising e, one way shown and the mean over {ways} ways below."
    return Section("Is the space smooth?", page, text, ["e", *heads], rows)


def _scores(model: Model, clip: Clip, draw: Draw, ends: tuple[Point, Point], n: int) -> list[Section]:
    drawn = {rule: draw(list(walk(*ends, by=rule).sample(n))) for rule in _RULES}
    found = {rule: asdict(score_pictures(shrunk(frames), clip, _SCORED)) for rule, frames in drawn.items()}
    names = [name for name in found["slerp"] if name != "fidelity"]
    rows = [[name, *(f"{found[rule][name]:.4g}" for rule in _RULES)] for name in names]
    video = inline_video(side_by_side(list(drawn.values()), [_NAMES[rule] for rule in _RULES]))
    text = (
        f"{n} frames each of “{_SCORED}”. InterpScore is the post's; ghosting is 1 for a cross-fade, and sharpness the "
        "edge energy of the weakest frame beside the ends'."
    )
    return [
        Section("InterpScore, and what it does not see", text=text, head=["score", *_NAMES.values()], rows=rows),
        Section("Side by side", text="Linear, normalised, slerp.", video=video),
    ]
