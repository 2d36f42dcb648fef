"""The leakage leaderboard: every editor on the same attributes, subjects and seeds, read at equal effect.

Options of ours are tuned on `TUNED`, and everything is reported on `REPORTED`. Cells are kept as files by the hash of
what made them (`studies.kit.jobs`), so that an interrupted run resumes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from astrogate.core.keys import key_of
from astrogate.core.parts import Window
from astrogate.core.point import Point
from astrogate.core.protocols import Model, Reader, Readings
from astrogate.core.recipe import Recipe
from astrogate.measure.leakage import Cell, Target, effect, leak, outside
from astrogate.measure.scores import Estimate, bootstrap
from astrogate.models.identity import digest_of
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.edit.editors import LATE, Attribute, Editor, Find
from astrogate.studies.kit.jobs import Store

#: Raise it when an editor's formula or a reading changes: every cell is then made again.
_VERSION = 1
SUBJECTS = ("dog", "cat", "horse", "man", "woman")
SEEDS = tuple(range(200, 208))
PROMPT = "a painting of a {subject}"


def _pair(word: str, opposite: str, factor: str, value: str | None = None, sign: int = 1) -> Attribute:
    return Attribute(word, opposite, Target(factor, value, sign))


#: Tuned on, and reported on: of each factor one half here and the other there.
TUNED = (
    _pair("fat", "thin", "build"),
    _pair("short", "tall", "height", sign=-1),
    _pair("happy", "sad", "mood"),
    _pair("black", "white", "colour", "black"),
    _pair("yellow", "blue", "colour", "yellow"),
    _pair("striped", "plain", "pattern", "striped"),
)
REPORTED = (
    _pair("thin", "fat", "build", sign=-1),
    _pair("tall", "short", "height"),
    _pair("sad", "happy", "mood", sign=-1),
    _pair("white", "black", "colour", "white"),
    _pair("blue", "yellow", "colour", "blue"),
    _pair("red", "green", "colour", "red"),
    _pair("spotted", "plain", "pattern", "spotted"),
    _pair("winding", "plain", "pattern", "winding"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One editor's result: over cells (attribute x subject) that it reached, and how many it did not."""

    editor: str
    matched: bool
    leakage: Estimate
    background: Estimate
    reached: int
    cells: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What every editor is measured on.

    `visible` names the factors that the picture of a subject can show, `spread` the continuous factors' standard
    deviations, `folder` keeps the cells.
    """

    model: Model
    reader: Reader
    visible: Callable[[str], frozenset[str]]
    spread: Mapping[str, float]
    folder: Path
    subjects: Sequence[str] = SUBJECTS
    seeds: Sequence[int] = SEEDS
    prompt: str = PROMPT
    recipe: Recipe = field(default_factory=Recipe)

    def starts(self, subject: str) -> tuple[list[Point], Tensor, Readings]:
        """The unedited points of a subject, their pictures and readings."""
        points = self.model.points(self.prompt.format(subject=subject), self.seeds)
        pictures = to_tensor(render(self.model, points, recipe=self.recipe))
        return points, pictures, self.reader.read(pictures)


def run_cells(
    bench: Bench,
    editors: Mapping[str, Editor],
    attributes: Iterable[Attribute],
    *,
    matched: bool,
    report: Callable[[str], None] = lambda text: None,
) -> dict[tuple[str, str, str], Cell]:
    """The cells of every editor, attribute and subject; with `matched`, every editor starts at `LATE`."""
    cells: dict[tuple[str, str, str], Cell] = {}
    store, digest = Store(bench.folder), f"{_VERSION} {bench.model.weights} {_reader(bench.reader)}"
    starts: dict[str, tuple[list[Point], Tensor, Readings]] = {}
    for attribute in attributes:
        for name, editor in editors.items():
            window = LATE if matched else editor.window
            find = None
            for subject in bench.subjects:
                spec = _spec(bench, name, editor, attribute, subject, window)
                key = key_of(spec, digest, _code(editor.make))
                if (kept := store.get(key)) is None:
                    starts[subject] = starts.get(subject) or bench.starts(subject)
                    find = find or editor.make(bench.model, attribute)
                    cell = _cell(bench, attribute, subject, starts[subject], find, editor, window)
                    store.put(key, spec, asdict(cell))
                else:
                    cell = _cell_of(kept[1])
                cells[name, attribute.word, subject] = cell
            report(f"{name}, {attribute.word}{', matched' if matched else ''}")
    return cells


def _reader(reader: Reader) -> list[str]:
    """What names a reader: its code, if it is somebody else's, and its weights."""
    owners = (reader, getattr(reader, "clip", reader))
    held = [part for owner in owners for part in getattr(owner, "__dict__", {}).values()]
    return [_code(type(reader)), *(digest_of(part) for part in held if isinstance(part, nn.Module))]


def _code(made: Any) -> str:
    """The key of the module that somebody else's code is in; "" for ours, which `_VERSION` stands for."""
    while isinstance(made, partial):
        made = made.func
    module = inspect.getmodule(made)
    if module is None or module.__name__.startswith("astrogate."):
        return ""
    try:
        return key_of(inspect.getsource(module))
    except OSError:  # typed by hand
        return key_of(id(made))


def _cell(
    bench: Bench,
    attribute: Attribute,
    subject: str,
    start: tuple[list[Point], Tensor, Readings],
    find: Find,
    editor: Editor,
    window: Window,
) -> Cell:
    """Sweep the strengths until the effect is there, and no further."""
    points, pictures, before = start
    edits = [(point, find(point, window)) for point in points]
    target, factors = attribute.target, bench.visible(subject)
    rows = [(0.0, float(effect(target, before, before, bench.spread).mean()), 0.0, 0.0)]
    for strength in editor.strengths:
        moved = [point.apply(edit, strength) for point, edit in edits]
        drawn = to_tensor(render(bench.model, moved, recipe=bench.recipe))
        after = bench.reader.read(drawn)
        rows.append(
            (
                strength,
                float(effect(target, before, after, bench.spread).mean()),
                float(leak(target, before, after, bench.spread, factors).mean()),
                float(outside(pictures, drawn, before.mask).mean()),
            )
        )
        if rows[-1][1] >= target.level:
            break
    strengths, effects, leaks, outsides = zip(*rows, strict=True)
    return Cell(strengths, effects, leaks, outsides, target.level)


def _spec(
    bench: Bench, name: str, editor: Editor, attribute: Attribute, subject: str, window: Window
) -> dict[str, Any]:
    """All that makes a cell, beside the model."""
    return {
        "recipe": bench.recipe.to_json(),
        "prompt": bench.prompt,
        "seeds": list(bench.seeds),
        "spread": dict(bench.spread),
        "editor": name,
        "strengths": list(editor.strengths),
        "window": list(window),
        "attribute": asdict(attribute),
        "subject": subject,
    }


def _cell_of(kept: Mapping[str, Any]) -> Cell:
    rows = {name: tuple(kept[name]) for name in ("strengths", "effects", "leaks", "outsides")}
    return Cell(**rows, level=kept["level"])


def table(cells: Mapping[tuple[str, str, str], Cell], *, matched: bool) -> list[Row]:
    """One row an editor, the least leakage first. Cells whose target is there before any edit are left out."""
    rows: list[Row] = []
    for name in dict.fromkeys(editor for editor, _, _ in cells):
        own = [cell for (editor, _, _), cell in cells.items() if editor == name and cell.effects[0] < cell.level]
        reached = [cell for cell in own if cell.reached is not None]
        leakage, background = (
            bootstrap(lambda x: float(np.mean(x)), values)
            for values in ([c.leakage for c in reached], [c.background for c in reached])
        )
        rows.append(Row(name, matched, leakage, background, len(reached), len(own)))
    return sorted(rows, key=lambda row: math.inf if math.isnan(row.leakage.value) else row.leakage.value)


def ratio(cells: Mapping[tuple[str, str, str], Cell], ours: str, other: str) -> Estimate:
    """Our leakage over another editor's, on the cells that both reach: the ratio of means, with its interval."""
    pairs = [
        (cell.leakage, cells[other, word, subject].leakage)
        for (editor, word, subject), cell in cells.items()
        if editor == ours and cell.effects[0] < cell.level
    ]
    both = [(a, b) for a, b in pairs if not math.isnan(a) and not math.isnan(b)]
    return bootstrap(lambda a, b: float(np.mean(a) / np.mean(b)), [a for a, _ in both], [b for _, b in both])
