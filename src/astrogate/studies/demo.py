"""`astrogate demo`: four strips and a two-direction grid, read by the oracle, on one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from astrogate.core.direction import Direction, place
from astrogate.core.files import write_text
from astrogate.core.protocols import Model, Reader, Readings
from astrogate.core.recipe import Recipe
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.contrast import contrast
from astrogate.methods.slide import grid, labels, scales, slide
from astrogate.models.load import load
from astrogate.rendering.png import save_png
from astrogate.rendering.render import render, to_tensor
from astrogate.rendering.sheet import sheet
from astrogate.studies.report import page
from astrogate.studies.strips import PAIRS

_STRIPS = {
    "build": "a painting of a dog",
    "height": "a full-body picture of a woman",
    "mood": "a digital painting of a boy",
    "colour": "a 3d render of a cat",
}
_POLES = {**PAIRS, "colour": ("black", "white")}
_RANGE = (-2.0, 2.0)


@dataclass(frozen=True, slots=True)
class _Section:
    """One picture file of the page, with what the oracle read: a table of rows under the heads."""

    title: str
    file: str
    command: str
    head: list[str]
    rows: list[list[str]]


def write_demo(folder: Path, *, seed: int = 7, device: str | None = None, report: Callable[[str], None]) -> Path:
    """Write the sheets and `index.html` into `folder`; returns the page. `report` is told what is done."""
    model, oracle, recipe = load(device=device), load_oracle(), Recipe()
    directions = {factor: contrast(model, *poles) for factor, poles in _POLES.items()}
    sections: list[_Section] = []
    for factor, prompt in _STRIPS.items():
        sections.append(_strip(model, oracle, directions[factor], factor, prompt, folder, seed, recipe))
        report(f"{folder / sections[-1].file}")
    sections.append(_grid(model, oracle, directions["build"], directions["mood"], folder, seed, recipe))
    report(f"{folder / sections[-1].file}")
    target = folder / "index.html"
    write_text(target, page("demo.html", sections=sections, model=model.name, seed=seed, recipe=recipe))
    return target


def _strip(
    model: Model,
    oracle: Reader,
    direction: Direction,
    factor: str,
    prompt: str,
    folder: Path,
    seed: int,
    recipe: Recipe,
) -> _Section:
    toward, away = _POLES[factor]
    frames = list(render(model, slide(model.point(prompt, seed=seed), direction, *_RANGE, n=7), recipe=recipe))
    steps, name = scales(*_RANGE, 7), f"{toward}-{away}.png"
    more = {"direction": dict(direction.origin), "scales": steps}
    save_png(sheet(frames, labels=labels(steps)), folder / name, frame=frames[3], more=more)
    command = f'astrogate slide "{prompt}" --toward {toward} --away {away} --seed {seed} -o {name}'
    rows = _read(oracle.read(to_tensor(frames)), factor)
    return _Section(f"{away} to {toward}: “{prompt}”", name, command, ["scale", *labels(steps)], rows)


def _grid(
    model: Model, oracle: Reader, across: Direction, down: Direction, folder: Path, seed: int, recipe: Recipe
) -> _Section:
    prompt, steps, name = "a photo of a man", scales(*_RANGE, 5), "fat-happy.png"
    point = model.point(prompt, seed=seed)
    fat, happy = (place(direction, point) for direction in (across, down))
    points = grid(point, [fat.scaled(s) for s in steps], [happy.scaled(s) for s in steps])
    frames = list(render(model, points, recipe=recipe))
    heads, rows = ([f"{word} {s}" for s in labels(steps)] for word in ("fat", "happy"))
    more = {"directions": [dict(across.origin), dict(down.origin)], "scales": steps}
    page_of_all = sheet(frames, columns=5, labels=heads, rows=rows, tile=96)
    save_png(page_of_all, folder / name, frame=frames[len(frames) // 2], more=more)
    values = oracle.read(to_tensor(frames)).values
    pairs = [f"{b:+.2f} / {m:+.2f}" for b, m in zip(values["build"], values["mood"], strict=True)]
    table = [[row, *pairs[5 * i : 5 * i + 5]] for i, row in enumerate(rows)]
    title = f"thin to fat (across), sad to happy (down): “{prompt}”; read: build / mood"
    return _Section(title, name, "", ["", *heads], table)


def _read(readings: Readings, factor: str) -> list[list[str]]:
    """Rows of the oracle's readings: the factor itself, then what should have stayed."""
    if factor in readings.values:
        own = [[factor, *(f"{v:+.2f}" for v in readings.values[factor])]]
    else:
        names, poles = list(readings.classes[factor]), _POLES[factor]
        own = [[f"P({p})", *(f"{v:.2f}" for v in readings.probabilities[factor][:, names.index(p)])] for p in poles]
    others = [name for name in ("subject", "medium", "scene") if name != factor]
    return own + [[name, *readings.labels(name)] for name in others]
