"""One decomposition on a page: its words as bars with a picture each, its pictures beside the concept's, its run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from astrogate.core.basis import Basis
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.concept.pseudo_point import basis_place, basis_points
from astrogate.rendering.letters import shown
from astrogate.rendering.render import render
from astrogate.rendering.sheet import sheet
from astrogate.studies.kit.report import Section, inline, inline_svg, pyplot, report

#: The most pixels per side of a picture on the page.
_TILE = 256
#: Seeds that no run learns from or is judged by.
SEEDS = range(900_000, 900_008)


def explanation(model: Model, basis: Basis, *, words: int = 10, recipe: Recipe | None = None, command: str = "") -> str:
    """The page as HTML, with every picture inline."""
    title = f"What “{basis.name}” is made of"
    prompt = basis_place(basis).prompt
    intro = (
        f"“{basis.name}” in “{prompt}”, model {basis.origin['model']}: the {basis.used} largest of {len(basis.names)} "
        f"words make the pseudo-word. The ten largest hold {basis.mass(10):.0%} of all weights, and there are "
        f"{basis.support:.1f} words in effect.",
        "Weights are shares of the sum over the dictionary. " + _ending(basis),
    )
    return report(title, intro, sections(model, basis, words=words, recipe=recipe, command=command))


def sections(
    model: Model, basis: Basis, *, words: int = 10, recipe: Recipe | None = None, command: str = ""
) -> list[Section]:
    """The bars, the pictures side by side, and the run."""
    recipe = recipe or model.recipe
    place, top = basis_place(basis), basis.top(words)
    texts = [place.saying(word) for word, _ in top]
    small = [
        frame.image for frame in render(model, [model.point(text, seed=SEEDS[0]) for text in texts], recipe=recipe)
    ]
    own = model.points(place.prompt, SEEDS)
    frames = list(render(model, [*own, *basis_points(model, basis, SEEDS)], recipe=recipe))
    frames = [replace(frame, image=_small(frame.image, _TILE)) for frame in frames]
    pictures = sheet(frames, columns=len(SEEDS), rows=["the word", "its words"], labels=[f"seed {s}" for s in SEEDS])
    rows = [
        [
            str(look["step"]),
            f"{look['score']:.4f}",
            "" if look["step"] == 0 else f"{look['loss']:.4f}",
            ", ".join(look["top"]),
        ]
        for look in basis.origin.get("history", [])
    ]
    return [
        Section(f"“{basis.name}”", inline_svg(bars(top, small)), command=command),
        Section("Drawn by the word, and by its words", inline(pictures), "The same seeds, new to the decomposition."),
        Section("The run", head=["step", "score", "loss", "largest weights"], rows=rows) if rows else Section("No run"),
    ]


def bars(top: Sequence[tuple[str, float]], pictures: Sequence[Image.Image]) -> Any:
    """A figure of the largest weights, each with a picture of its word."""
    plt = pyplot()
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    figure, axis = plt.subplots(figsize=(8, 0.5 * len(top) + 0.6), layout="constrained")
    places = np.arange(len(top))[::-1]
    axis.barh(places, [share for _, share in top], color="#4c6fb1")
    axis.set_yticks(places, [f"{shown(word)}          " for word, _ in top])
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(0, 1.15 * top[0][1])
    for place, (_, share), image in zip(places, top, pictures, strict=True):
        axis.text(share, place, f" {share:.1%}", va="center", fontsize=9)
        box = OffsetImage(np.asarray(_small(image, 64)), zoom=26 / min(64, image.width))
        at = (0, place)
        axis.add_artist(AnnotationBbox(box, at, (-18, 0), boxcoords="offset points", frameon=False, pad=0))
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.set_xlabel("share of all weights")
    return figure


def _small(image: Image.Image, side: int) -> Image.Image:
    """A picture of at most `side` pixels."""
    return image if image.width <= side else image.resize((side, round(image.height * side / image.width)))


def _ending(basis: Basis) -> str:
    stopped = basis.origin.get("stopped")
    return f"The run {stopped}." if stopped else ""
