"""`astrogate reproduce conceptor`: Chefer et al. (2024) on one page, with each concept's planted truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from astrogate.core.basis import Basis
from astrogate.core.protocols import Model, Reader
from astrogate.measure.clip import Clip
from astrogate.methods.concept.explain import concepts
from astrogate.methods.concept.explain_image import explain_image
from astrogate.methods.concept.plan import Plan
from astrogate.methods.concept.pseudo_point import basis_place, basis_points
from astrogate.methods.concept.vocabulary import vocabulary
from astrogate.rendering.render import render
from astrogate.rendering.sheet import sheet
from astrogate.studies.concept.explanation import sections
from astrogate.studies.concept.planted import (
    CONCEPTS,
    RECIPE,
    SPARSE,
    TOP,
    WAYS,
    named,
    recall,
    truth_of,
    without_facts,
)
from astrogate.studies.concept.sculpture import FACTORS, PROMPT, SEEDS, WORD, manipulated, sculpture
from astrogate.studies.kit.report import Section, inline, report

_PICTURE_OF = "snail"


def conceptor(
    model: Model,
    reader: Reader,
    clip: Clip,
    folder: Path,
    *,
    plan: Plan = WAYS[SPARSE],
    seed: int = 0,
    names: tuple[str, ...] = CONCEPTS,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """The page as HTML, with every picture inline; runs in `folder` are resumed."""
    prompts = {name: f"a photo of a {name}" for name in names}
    plan = replace(plan, fit_seed=seed)
    words = without_facts(named(vocabulary(model, clip, folder=folder)))
    found = concepts(model, prompts, clip=clip, words=words, folder=folder, plan=plan, tell=tell)
    parts: list[Section] = []
    for name, basis in found.items():
        truth = truth_of(name)
        told = ", ".join(" or ".join(sorted(group)) for group in truth)
        top = [word for word, _ in basis.top(TOP)]
        share = recall(top, truth)
        head, pictures, _ = sections(model, basis, recipe=RECIPE)
        parts.append(replace(head, text=f"Planted: {told}. {share:.0%} of it is among the ten largest weights."))
        parts.append(replace(pictures, title=f"“{name}”, drawn by the word, and by its words"))
    if _PICTURE_OF in found:
        parts.append(_one_picture(model, clip, found[_PICTURE_OF], tell))
    parts.append(_sculptures(model, reader, sculpture(model, clip, folder, plan)))
    intro = (
        "Chefer et al. (2024) take a word apart into the words that a model draws it from. Menagerie's world "
        "says what its words stand for; CLIP and the U-Net learnt it from pictures and captions alone.",
        f"Model {model.name}, {plan.fit_steps} steps per concept, seed {seed}. No run saw the pictures' seeds.",
    )
    return report("Conceptor, reproduced", intro, parts)


def _one_picture(model: Model, clip: Clip, basis: Basis, tell: Callable[[str], None]) -> Section:
    """The words that one picture needs."""
    seed = SEEDS[0]
    left = explain_image(model, basis, seed=seed, clip=clip, recipe=RECIPE, tell=tell)
    points = [model.point(basis_place(basis).prompt, seed=seed)]
    points += [basis_points(model, one, [seed])[0] for one in (basis, left)]
    labels = ["the word", "all its words", f"{left.used} of them"]
    rows = [[word, f"{share:.0%}"] for word, share in left.top(left.used)]
    page = sheet(render(model, points, recipe=RECIPE), labels=labels, tile=192)
    wanted = truth_of(basis.name)
    text = (
        "From the smallest weight up, words were left out while CLIP sees the same picture. Planted: "
        f"{', '.join(' or '.join(sorted(group)) for group in wanted)}; "
        f"{recall([word for word, _ in left.top(left.used)], wanted):.0%} of it is left."
    )
    return Section(f"One picture of “{basis.name}”", inline(page), text, ["word", "share"], rows)


def _sculptures(model: Model, reader: Reader, basis: Basis) -> Section:
    """A sculpture, less and more abstract."""
    found = manipulated(model, reader, basis)
    labels = [f"{factor:g}" for factor in FACTORS]
    rows = [f"seed {seed}" for seed in SEEDS]
    text = (
        f"The weight of “{WORD}” in “{PROMPT}”, times 0 to {FACTORS[-1]:g}. Within a seed, the oracle's reading of the "
        f"style follows the factor with Spearman {found.correlation}; the scene stays in {found.scene}."
    )
    page = sheet(found.frames, columns=len(FACTORS), labels=labels, rows=rows)
    readings = [["P(abstract), mean", *(f"{value:.2f}" for value in found.readings)]]
    first = zip(labels, found.frames, strict=False)
    slider = [(f"{WORD} x {label}", inline(sheet([frame], tile=256))) for label, frame in first]
    title = "A sculpture, less and more abstract"
    return Section(title, inline(page), text, ["factor", *labels], readings, slider=slider)
