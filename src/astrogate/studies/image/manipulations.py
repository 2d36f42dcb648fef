"""`astrogate reproduce unclip`: what DALL-E 2 does with a picture, on one page, with numbers beside the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Frame, Recipe
from astrogate.measure.scores import bootstrap, mean
from astrogate.menagerie.oracle import Oracle
from astrogate.menagerie.world import Scene
from astrogate.methods.image.blend import blend
from astrogate.methods.image.diff import diff
from astrogate.methods.image.encode import encode
from astrogate.methods.image.imagine import imagine
from astrogate.methods.image.probe import probe
from astrogate.methods.image.vary import vary
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.pixels import to_images
from astrogate.rendering.render import render
from astrogate.rendering.sheet import sheet
from astrogate.studies.image import measures as measures
from astrogate.studies.image.card import GUIDANCE, THETA, Table, survival_table
from astrogate.studies.image.typography import attacks, painted
from astrogate.studies.kit.report import Section, inline, report
from astrogate.studies.world.scenes import drawings

_ETAS = (0.0, 0.25, 0.5, 0.75, 1.0)
_DOG = Scene(subject="dog", colour="orange", hat="red", scene="meadow", medium="painting", seed=11)
_CAT = Scene(subject="cat", colour="blue", hat="none", scene="snow", medium="painting", mood=0.8, seed=12)
_WOMAN = Scene(subject="woman", colour="green", hat="none", scene="beach", medium="painting", mood=-0.8, seed=13)
_DIFFS = (
    (_DOG, "a dog", "a cat"),
    (_CAT, "a cat in the snow", "a cat on a beach"),
    (_WOMAN, "a sad woman", "a happy woman"),
)
_CAPTIONS = (
    "a painting of a dog with a red hat in the snow",
    "a drawing of a happy green cat on a beach",
    "a 3d render of a ladybug at night",
    "a photo of a castle, Monet style",
)


def unclip(
    stack: UnCLIP,
    text_model: Model,
    oracle: Oracle,
    *,
    count: int = 48,
    tell: Callable[[str], None] = lambda text: None,
) -> str:
    """The page as HTML, with every picture inline; the tables are over `count` held-out pictures."""
    shown = encode(stack, drawings([_DOG, _CAT, _WOMAN], stack.size)[0])
    scenes, captions = measures.plain_scenes(count, seed=31)
    sections: list[Section] = []
    for name, made in (
        ("variations", lambda: _variations(stack, oracle, shown[0], scenes)),
        ("interpolations", lambda: _interpolations(stack, *shown[:2])),
        ("text diffs", lambda: _diffs(stack, oracle, shown)),
        ("probing", lambda: _probing(stack, shown)),
        ("typography", lambda: _typography(stack, scenes)),
        ("priors", lambda: _priors(stack, text_model, oracle, scenes, captions)),
    ):
        sections += made()
        tell(name)
    intro = (
        "DALL-E 2 (Ramesh et al. 2022) draws a picture from CLIP's embedding z_i, which a prior makes of a "
        "caption, and the noise x_T. What z_i holds and what x_T holds can be told apart, and changed apart.",
        f"Model {stack.name}; pictures are encoded and drawn again with 50 steps, without guidance.",
    )
    return report("unCLIP, reproduced", intro, sections)


def _draw(stack: UnCLIP, points: Sequence[Point], recipe: Recipe | None = None) -> list[Frame]:
    return list(render(stack, points, recipe=recipe or measures.UNGUIDED, batch_size=16))


def _tabled(title: str, text: str, table: Table, source: str = "") -> Section:
    return Section(title, source, text, table[0], table[1])


def _variations(stack: UnCLIP, oracle: Oracle, point: Point, scenes: list[Scene]) -> list[Section]:
    several = vary(point, 3)
    columns = [_draw(stack, several, replace(measures.UNGUIDED, eta=eta)) for eta in _ETAS]
    frames = [column[row] for row in range(3) for column in columns]
    heads = [f"eta {eta:g}" for eta in _ETAS]
    encoded = encode(stack, drawings(scenes, stack.size)[0])
    table = survival_table(measures.survival(stack, oracle, encoded, scenes, _ETAS[1:]))
    text = (
        "The same z_i and x_T, with more and more of DDPM's noise; one row per seed. In the table: the share of "
        f"{len(scenes)} pictures in which a visible factor is read as in the reconstruction, and below what agrees "
        "between different pictures. What stays above that, CLIP kept."
    )
    page = inline(sheet(frames, columns=len(heads), labels=heads))
    return [_tabled("Variations (figure 3)", text, table, page)]


def _interpolations(stack: UnCLIP, a: Point, b: Point) -> list[Section]:
    us = [i / 6 for i in range(7)]
    ways = [blend(a, b), *(blend(a, b, seed=seed) for seed in (1, 2, 3))]
    frames = _draw(stack, [way(u) for way in ways for u in us])
    rows = ["both noises", *(f"noise {seed}" for seed in (1, 2, 3))]
    text = (
        "z_i turns by slerp from one picture's to the other's. In the first row the noise turns, too, and the ends are "
        "the reconstructions; below, one noise from end to end."
    )
    page = inline(sheet(frames, columns=7, labels=[f"{u:.2f}" for u in us], rows=rows))
    return [Section("Interpolations (figure 4)", page, text)]


def _diffs(stack: UnCLIP, oracle: Oracle, points: Sequence[Point]) -> list[Section]:
    thetas = [0.0, 0.125, 0.25, 0.375, 0.5]
    heads, sections = [f"{theta:g}" for theta in thetas], list[Section]()
    for point, (_, before, after) in zip(points, _DIFFS, strict=True):
        bases = (before, "a picture", "")
        frames = _draw(
            stack, [point.apply(edit, theta) for edit in [diff(stack, b, after) for b in bases] for theta in thetas]
        )
        rows = [f"from “{base}”" if base else "from nothing" for base in bases]
        page = inline(sheet(frames, columns=len(thetas), labels=heads, rows=rows))
        sections.append(Section(f"Text diff (figure 5): to “{after}”", page, "x_T is fixed; the columns are theta."))
    encoded = encode(stack, drawings(measures.scenes_of("dog", 32), stack.size)[0])
    still, table = measures.still_read(stack, oracle, encoded), list[list[str]]()
    for base in ("a dog", "a picture", ""):
        found = measures.text_diffs(stack, oracle, encoded, still, base, "a cat", "cat", THETA)
        table.append([base or "nothing", str(found.flipped), str(found.scene), str(found.medium)])
    head = ("from", "became a cat", "scene stays", "medium stays")
    text = f"32 drawn dogs towards “a cat”, theta {THETA:g}, against their reconstructions."
    return [*sections, _tabled("Text diffs, counted", text, (head, table))]


def _probing(stack: UnCLIP, points: Sequence[Point]) -> list[Section]:
    book = stack.components
    ranks = [rank for rank in (1, 2, 4, 8, 16, 32) if rank < len(book.basis)] + [len(book.basis)]
    drawn = [p for point in points for p in [*probe(point, book, ranks), point]]
    heads = [*(f"{rank}" for rank in ranks), "all"]
    text = (
        "Each picture's z_i through its first principal components, with its own noise. "
        f"The autoregressive prior speaks {len(book.basis)} of {len(book.mean)} components."
    )
    page = inline(sheet(_draw(stack, drawn), columns=len(heads), labels=heads))
    return [Section("Probing CLIP's space (figure 7)", page, text)]


def _typography(stack: UnCLIP, scenes: list[Scene]) -> list[Section]:
    picture = drawings([_DOG], stack.size)[0][0]
    labelled = torch.stack([picture, painted(picture, "cat", shown=False), painted(picture, "cat")])
    points = [vary(stack.point_at(z), 3) for z in stack.embed(labelled)]
    drawn = [_draw(stack, group, replace(measures.UNGUIDED, eta=1.0)) for group in points]
    frames = [shown for own, group in zip(to_images(labelled), drawn, strict=True) for shown in (own, *group)]
    words = ["cat" if scene.subject != "cat" else "dog" for scene in scenes]
    found = attacks(stack, drawings(scenes, stack.size)[0], [scene.subject for scene in scenes], words)
    rows = [[kind, str(attack.right), str(attack.word)] for kind, attack in found.items()]
    text = (
        "A word painted over a picture. Left what the encoder is shown, then variations of what it saw. DALL-E 2's "
        "CLIP read such words and was fooled; this one never saw a letter in training, so the word can do no more than "
        f"the paint. The table counts, over {len(scenes)} pictures, whom the encoder names."
    )
    page = inline(sheet(frames, columns=4, labels=["shown", "", "", ""], rows=["as it is", "empty label", "the word"]))
    head = ("picture", "named rightly", "named as the word")
    return [_tabled("Typographic attack (figure 6)", text, (head, rows), page)]


def _priors(
    stack: UnCLIP, text_model: Model, oracle: Oracle, scenes: list[Scene], captions: list[measures.Caption]
) -> list[Section]:
    recipe = Recipe(20, GUIDANCE)
    seeds, frames = range(len(_CAPTIONS)), list[Frame]()
    for kind in measures.KINDS:
        frames += _draw(stack, imagine(stack, _CAPTIONS, seeds=seeds, kind=kind), recipe)
    own = [text_model.point(text, seed=seed) for text, seed in zip(_CAPTIONS, seeds, strict=True)]
    frames += list(render(text_model, own, recipe=Recipe(20, 4.0)))
    rows = ["diffusion prior", "AR prior", "no prior", "text U-Net"]
    quality, against = measures.prior_quality(stack, scenes, captions)
    drawn = measures.drawn_by(stack, text_model, captions, guidance=GUIDANCE, unread=False)
    names = {"diffusion": "diffusion prior", "ar": "ar prior", "none": "no prior"}
    table = [
        [
            names[kind],
            str(q.to_picture),
            str(q.to_text),
            f"{q.seconds:.1f}",
            _agreed(oracle, drawn[names[kind]], scenes, captions),
        ]
        for kind, q in quality.items()
    ]
    table.append(["text U-Net", "", "", "", _agreed(oracle, drawn["text U-Net"], scenes, captions)])
    table.append(["another drawing of the caption", str(against["another drawing"]), "", "", ""])
    head = ("drawn by", "cosine to the true z_i", "cosine to z_t", "s for 100 (prior)", "agreement with the caption")
    text = (
        "The same captions by either prior, by none (z_t in the place of z_i), and by the text U-Net; in the table "
        f"over {len(scenes)} captions."
    )
    page = inline(sheet(frames, columns=len(_CAPTIONS), labels=_CAPTIONS, rows=rows))
    return [_tabled("Priors (section 5.1 and figure 8)", text, (head, table), page)]


def _agreed(oracle: Oracle, pictures: Tensor, scenes: list[Scene], captions: list[measures.Caption]) -> str:
    return str(bootstrap(mean, measures.agreeing(oracle.read(pictures), scenes, captions)))
