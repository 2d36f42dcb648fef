"""`astrogate reproduce style-strength`: Qi (2023) on one page, figures 5 to 9 and where the style breaks down."""

from __future__ import annotations

from collections.abc import Callable

from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.style import style
from astrogate.methods.path.walk import walk
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.rendering.sheet import sheet
from astrogate.rendering.strip import labels, spaced
from astrogate.studies.edit.styles import CASES, SEEDS, STRENGTHS, Case, Strip, full_strength, strips, summary
from astrogate.studies.kit.report import Section, inline, report

_ENDS = ("a dog", "a cat")


def style_strength(
    model: Model,
    reader: Reader,
    *,
    seed: int = 7,
    seeds: tuple[int, ...] = SEEDS,
    recipe: Recipe | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """The page as HTML, with every picture inline. The first of `seeds` is shown, all of them are counted."""
    recipe = recipe or model.recipe
    sections = [_interpolation(model, reader, seed, recipe)]
    found: list[dict[str, list[Strip]]] = []
    for number, case in enumerate(CASES, 6):
        found.append(strips(model, reader, case, seeds, recipe))
        sections.extend(_figures(f"Figure {number}", case, found[-1]))
        tell(case.phrase)
    sections.append(_weakening(model, reader, CASES[2], seeds[0], recipe))
    rows = [
        [name, str(reached), f"{broke:.0%}"]
        for name, (reached, broke) in sorted(summary(found).items(), key=lambda item: -item[1][0].value)
    ]
    text = (
        "A strip breaks at the first strength where another subject is read than at 0, or the edge energy falls below "
        "80 % of that at 0. The style's strength is the reader's (probability of the style times its strength), "
        f"the largest before breakdown, mean over {len(CASES)} prompts x {len(seeds)} seeds with a 95 % interval. "
        "The world's own drawings of these subjects at full strength, put through the autoencoder, read "
        f"{full_strength(model, reader)}."
    )
    head = ["method", "style reached before breakdown", "strips that broke"]
    sections.append(Section("Where each method breaks down", text=text, head=head, rows=rows))
    intro = (
        "Qi (2023) strengthens a style by slerp of the prompt's text states towards states + phrase. It finds "
        "that pictures break down above 0.4, and proposes to enhance later, during the diffusion.",
        f"Model {model.name}, {recipe.num_inference_steps} steps, guidance {recipe.guidance_scale:g}, "
        f"seeds {seeds[0]} to {seeds[-1]}.",
    )
    return report("Style strength, reproduced", intro, sections)


def _interpolation(model: Model, reader: Reader, seed: int, recipe: Recipe) -> Section:
    """The paper's figure 5: from prompt to prompt, with the noise of the first."""
    us = spaced(0.0, 1.0, 9)
    start, stop = (model.point(text, seed=seed) for text in _ENDS)
    frames = list(render(model, map(walk(start, stop), us), recipe=recipe, batch_size=9))
    readings = reader.read(to_tensor(frames))
    names = list(readings.classes["subject"])
    rows = [
        [f"P({word})", *(f"{p:.2f}" for p in readings.probabilities["subject"][:, names.index(word)])]
        for word in ("dog", "cat")
    ]
    heads = [f"{u:.2f}" for u in us]
    return Section(
        "Figure 5: from “a dog” to “a cat”", inline(sheet(frames, labels=heads)), head=["theta", *heads], rows=rows
    )


def _figures(number: str, case: Case, found: dict[str, list[Strip]]) -> list[Section]:
    """One strip of every method, the first seed's."""
    sections: list[Section] = []
    for name, own in found.items():
        strip = own[0]
        heads = labels(strip.strengths)
        rows: list[list[str]] = [
            ["style", *(f"{v:.2f}" for v in strip.styles)],
            ["subject", *strip.subjects],
            ["edge energy", *(f"{v / strip.edges[0]:.2f}" for v in strip.edges)],
        ]
        broken = "does not break" if strip.broken is None else f"breaks at {strip.broken:g}"
        sections.append(
            Section(
                f"{number}: “{case.prompt}”, {name}",
                inline(sheet(strip.images, labels=heads)),
                f"“{case.phrase}” strengthened; this strip {broken}.",
                ["strength", *heads],
                rows,
            )
        )
    return sections


def _weakening(model: Model, reader: Reader, case: Case, seed: int, recipe: Recipe) -> Section:
    """The paper's figure 9: the style weakened, by -v and by the text difference that it recommends."""
    point = model.point(case.prompt, seed=seed)
    ways = {"-v": False, "text difference": True}
    points = [
        point.apply(style(model, point, case.phrase, difference=difference), -s)
        for difference in ways.values()
        for s in STRENGTHS
    ]
    frames = list(render(model, points, recipe=recipe, batch_size=len(points)))
    readings = reader.read(to_tensor(frames))
    seen = readings.probabilities["style"][:, list(readings.classes["style"]).index(case.style)]
    n, heads = len(STRENGTHS), labels([-s for s in STRENGTHS])
    rows = [[f"P({case.style}), {way}", *(f"{v:.2f}" for v in seen[n * i : n * i + n])] for i, way in enumerate(ways)]
    return Section(
        f"Figure 9: “{case.prompt}”, weakened",
        inline(sheet(frames, columns=n, labels=heads, rows=list(ways))),
        head=["strength", *heads],
        rows=rows,
    )
