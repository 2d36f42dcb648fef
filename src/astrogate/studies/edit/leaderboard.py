"""Run the leakage leaderboard on Menagerie or any checkpoint, tune ours, and write its page.

On Menagerie the oracle reads. On another checkpoint CLIP does, zero-shot, by the same factors in words; how far CLIP's
choice of values agrees with the oracle's on Menagerie's own pictures is measured beside it (`reader_agreement`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.files import write_text
from astrogate.core.parts import Hold
from astrogate.core.plugins import named
from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip, clip_for, own_part
from astrogate.measure.scores import Estimate, bootstrap, mean
from astrogate.measure.zero_shot import ZeroShot
from astrogate.menagerie.captions import SCENE_WORDS
from astrogate.menagerie.factors import COLOURS, MEDIA, PATTERNS, SUBJECTS
from astrogate.menagerie.oracle import load_oracle
from astrogate.menagerie.world import Scene, visible
from astrogate.methods.edit.contrast import contrast
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.edit.editors import LATE, OTHERS, Attribute, Editor, Options, ours
from astrogate.studies.edit.floor import world_edit
from astrogate.studies.edit.leakage import PROMPT, REPORTED, SEEDS, TUNED, Bench, Row, ratio, run_cells, table
from astrogate.studies.kit.report import page, pyplot, svg
from astrogate.studies.world.scenes import drawings, held_out_scenes

#: What tuning on `TUNED` chose (docs/leakage.md).
OURS = Options()
_STRENGTHS = (0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 9)
_HOLDS = Hold(), Hold(1.0), Hold(0.5, 0.2)
_CANDIDATES = (
    *(Options("prompt", tokens, None, hold) for tokens in ("all", "words") for hold in _HOLDS),
    *(Options("grid", tokens, None, hold) for tokens in ("all", "words") for hold in _HOLDS[:1]),
    Options("prompt", "focus"),
    Options("grid", "focus"),
    Options("grid", "focus", "whiten"),
)


def zero_shot(clip: Clip) -> ZeroShot:
    """CLIP as the reader of Menagerie's factors, put into words."""
    texts = {
        "subject": {s: f"a picture of a {s}" for s in SUBJECTS},
        "colour": {c: f"a picture of a {c} animal" for c in COLOURS},
        "pattern": {p: f"a picture of a {p} animal" for p in PATTERNS},
        "scene": {name: f"a picture {words[0]}" for name, words in SCENE_WORDS.items()},
        "medium": {m: f"a {m}" for m in MEDIA},
    }
    poles = {"build": ("fat", "thin"), "height": ("tall", "short"), "mood": ("happy", "sad")}
    pairs = {factor: (f"a {high} one", f"a {low} one") for factor, (high, low) in poles.items()}
    return ZeroShot(clip, texts, pairs)


def readers(model_name: str, clip_folder: str | None, *, offline: bool = False) -> tuple[Reader, Clip]:
    """Who reads a model's pictures: its own oracle and CLIP, or the CLIP that is named; see `Clip` for `offline`."""
    clip = clip_for(model_name, clip_folder, offline=offline)
    oracle = None if clip_folder else own_part(model_name, "oracle")
    return (load_oracle(oracle) if oracle else zero_shot(clip)), clip


def editor_named(name: str) -> Editor:
    """The editor that "module:object", or an entry point of "astrogate.editors", names. Raises AstrogateError."""
    found = named(name, "astrogate.editors")
    if not isinstance(found, Editor):
        raise AstrogateError(f"{name!r} is no Editor", "let it name an `astrogate.studies.edit.editors.Editor`")
    return found


def reader_named(name: str) -> Reader:
    """The reader that "module:object", or an entry point of "astrogate.readers", names. Raises AstrogateError."""
    found = named(name, "astrogate.readers")
    reader = found() if isinstance(found, type) else found
    if not callable(getattr(reader, "read", None)):
        raise AstrogateError(f"{name!r} reads nothing", "let it name an object with a method `read`")
    return reader


def bench_of(model: Model, reader: Reader, folder: Path, recipe: Recipe, seeds: Sequence[int] = SEEDS) -> Bench:
    """The bench that a reader from `readers` makes."""
    made = clip_bench if isinstance(reader, ZeroShot) else menagerie_bench
    return made(model, reader, folder, recipe, seeds)


def contrasts(model: Model, words: Sequence[str]) -> list[tuple[Attribute, Direction]]:
    """The attributes of the benches that `words` name, with the direction from each one's opposite to it."""
    attributes = {a.word: a for a in (*TUNED, *REPORTED)}
    return [(attributes[w], contrast(model, w, attributes[w].opposite)) for w in words]


def menagerie_bench(model: Model, reader: Reader, folder: Path, recipe: Recipe, seeds: Sequence[int]) -> Bench:
    """The oracle reads every factor that a painting of a subject can show; spreads are those of held-out drawings."""
    values = reader.read(drawings(held_out_scenes(400)[0], model.size)[0]).values
    spread = {factor: round(float(v.std()), 4) for factor, v in values.items()}

    def shown(subject: str) -> frozenset[str]:
        return visible(Scene(subject=subject, medium="painting", style="none")) - {"strength"}

    return Bench(model, reader, shown, spread, folder, seeds=seeds, recipe=recipe)


def clip_bench(model: Model, reader: Reader, folder: Path, recipe: Recipe, seeds: Sequence[int]) -> Bench:
    """CLIP reads; spreads are those of the model's own pictures of the subjects."""
    points = [model.point(PROMPT.format(subject=s), seed=seed) for s in SUBJECTS for seed in seeds[:2]]
    readings = reader.read(to_tensor(render(model, points, recipe=recipe)))
    spread = {factor: round(float(v.std()), 4) for factor, v in readings.values.items()}
    factors = frozenset({*readings.classes, *readings.values})
    return Bench(model, reader, lambda subject: factors, spread, folder, seeds=seeds, recipe=recipe)


def tune(bench: Bench, report: Callable[[str], None], keep: int = 4) -> list[tuple[Options, Row]]:
    """The best candidates on the tuning half with the matched start, the best first: most cells reached, least leakage.

    All candidates are screened on two subjects and two seeds; the `keep` best are compared on the whole bench.
    """
    screen = replace(bench, subjects=bench.subjects[::3], seeds=bench.seeds[:2])
    best = [options for options, _ in _ranked(screen, _CANDIDATES, report)[:keep]]
    return _ranked(bench, best, report)


def _ranked(bench: Bench, candidates: Sequence[Options], report: Callable[[str], None]) -> list[tuple[Options, Row]]:
    named = {json.dumps(asdict(o), sort_keys=True): o for o in candidates}
    editors = {name: Editor(ours(o), _STRENGTHS, LATE) for name, o in named.items()}
    rows = table(run_cells(bench, editors, TUNED, matched=True, report=report), matched=True)
    most = max(row.reached for row in rows)
    ranked = sorted(rows, key=lambda row: (row.reached < 0.9 * most, row.leakage.value))
    return [(named[row.editor], row) for row in ranked]


def run_leaderboard(
    bench: Bench,
    report: Callable[[str], None],
    options: Options = OURS,
    more: Mapping[str, Editor] = MappingProxyType({}),
) -> dict[str, Any]:
    """Every editor on the reported half, as published and with the matched start, and ours against each other one.

    `more` are editors of somebody else's, by the names that they have in the tables.
    """
    name = f"ours {json.dumps(asdict(options), sort_keys=True)}"
    editors = {name: Editor(ours(options), _STRENGTHS, LATE), **OTHERS, **more}
    result: dict[str, Any] = {"options": asdict(options), "attributes": [a.word for a in REPORTED]}
    result |= {"seeds": len(bench.seeds), "subjects": list(bench.subjects), "recipe": bench.recipe.to_json()}
    if not isinstance(bench.reader, ZeroShot):
        result["floor"] = asdict(floor(bench))
    for key, matched in (("published", False), ("matched", True)):
        cells = run_cells(bench, editors, REPORTED, matched=matched, report=report)
        named = {("ours" if e == name else e, a, s): cell for (e, a, s), cell in cells.items()}
        result[key] = {
            "rows": [asdict(row) for row in table(named, matched=matched)],
            "ratios": {other: asdict(ratio(named, "ours", other)) for other in (*OTHERS, *more)},
            "cells": [
                {"editor": e, "attribute": a, "subject": s, "reached": c.reached, "leakage": _number(c.leakage),
                 "background": _number(c.background), "there": c.effects[0] >= c.level}
                for (e, a, s), c in named.items()
            ],
        }  # fmt: skip
    return result


def floor(bench: Bench) -> Row:
    """What edits of the world itself leak, as the bench reads them."""
    edits = {("the world itself", a.word, s): world_edit(bench, a, s) for a in REPORTED for s in bench.subjects}
    return table(edits, matched=True)[0]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def reader_agreement(model: Model, clip: Clip, recipe: Recipe, count: int = 200) -> dict[str, Estimate]:
    """Where CLIP reads Menagerie's pictures as the oracle does: shares of equal values, correlations of pairs."""
    scenes, captions = held_out_scenes(count)
    points = [model.point(c.text, seed=i) for i, c in enumerate(captions)]
    pictures = to_tensor(render(model, points, recipe=recipe, batch_size=50))
    a, b = load_oracle().read(pictures), zero_shot(clip).read(pictures)
    shown = [visible(scene) for scene in scenes]
    out: dict[str, Estimate] = {}
    for factor in b.classes:
        labels = zip(a.labels(factor), b.labels(factor), shown, strict=True)
        out[factor] = bootstrap(mean, np.asarray([x == y for x, y, v in labels if factor in v], float))
    for factor in b.values:
        kept = torch.tensor([factor in v for v in shown])
        out[factor] = bootstrap(
            lambda x, y: float(np.corrcoef(x, y)[0, 1]), a.values[factor][kept], b.values[factor][kept]
        )
    return out


def write_leaderboard(result: Mapping[str, Any], agreement: Mapping[str, Estimate], output: Path) -> None:
    """The page, with the numbers as JSON and the figure beside it; `agreement` is from `reader_agreement`."""
    kept = {**result, "agreement": {factor: asdict(estimate) for factor, estimate in agreement.items()}}
    write_text(output.with_suffix(".json"), json.dumps(kept, indent=1))
    write_text(output.with_suffix(".svg"), _figure(result))
    write_text(output, page("leakage.md", **kept, figure=output.with_suffix(".svg").name))


def _figure(result: Mapping[str, Any]) -> str:
    """Leakage and background of every editor, as published and with the matched start, with intervals."""
    figure, axes = pyplot().subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    names = [row["editor"] for row in result["matched"]["rows"]][::-1]
    for axis, measure in zip(axes, ("leakage", "background"), strict=True):
        for key, shift, colour in (("published", -0.15, "tab:gray"), ("matched", 0.15, "tab:blue")):
            rows = {row["editor"]: row[measure] for row in result[key]["rows"]}
            kept = [(i + shift, rows[n]) for i, n in enumerate(names) if not math.isnan(rows[n]["value"])]
            axis.errorbar(
                [r["value"] for _, r in kept],
                [y for y, _ in kept],
                xerr=[[r["value"] - r["low"] for _, r in kept], [r["high"] - r["value"] for _, r in kept]],
                fmt="o",
                color=colour,
                label="as published" if key == "published" else "matched start",
            )
        axis.set_yticks(range(len(names)), names)
        axis.set_xlabel({"leakage": "other factors, standard deviations", "background": "outside the subject"}[measure])
        axis.set_xlim(left=0)
    axes[0].legend()
    return svg(figure)
