"""`astrogate demo`: four strips and a two-direction grid, read by the oracle, on one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from astrogate.core.direction import place
from astrogate.core.files import write_text
from astrogate.core.protocols import Model, Readings
from astrogate.core.recipe import Recipe
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.contrast import contrast
from astrogate.methods.slide import grid, scales, slide
from astrogate.models.load import load
from astrogate.rendering.png import save_png
from astrogate.rendering.render import render, to_tensor
from astrogate.rendering.sheet import sheet
from astrogate.studies.report import page

_STRIPS = (
    ("fat", "thin", "build", "a painting of a dog"),
    ("tall", "short", "height", "a full-body picture of a woman"),
    ("happy", "sad", "mood", "a digital painting of a boy"),
    ("black", "white", "colour", "a 3d render of a cat"),
)
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
    sections: list[_Section] = []
    for toward, away, factor, prompt in _STRIPS:
        direction = contrast(model, toward, away)
        frames = list(render(model, slide(model.point(prompt, seed=seed), direction, *_RANGE, n=7), recipe=recipe))
        steps = scales(*_RANGE, 7)
        name = f"{toward}-{away}.png"
        labels = [f"{s:+.2g}" if s else "0" for s in steps]
        save_png(sheet(frames, labels=labels), folder / name, frame=frames[3], more={"scales": steps})
        command = f'astrogate slide "{prompt}" --toward {toward} --away {away} --seed {seed} -o {name}'
        rows = _read(oracle.read(to_tensor(frames)), factor, (toward, away))
        sections.append(_Section(f"{away} to {toward}: “{prompt}”", name, command, ["scale", *labels], rows))
        report(f"{folder / name}")
    sections.append(_grid(model, folder, seed, recipe))
    report(f"{folder / sections[-1].file}")
    target = folder / "index.html"
    write_text(target, page("demo.html", sections=sections, model=model.name, seed=seed, recipe=recipe))
    return target


def _grid(model: Model, folder: Path, seed: int, recipe: Recipe) -> _Section:
    prompt, steps = "a photo of a man", scales(*_RANGE, 5)
    point = model.point(prompt, seed=seed)
    fat, happy = (place(contrast(model, *pair), point) for pair in (("fat", "thin"), ("happy", "sad")))
    points = grid(point, [fat.scaled(s) for s in steps], [happy.scaled(s) for s in steps])
    frames = list(render(model, points, recipe=recipe))
    labels = [f"fat {s:+.2g}" if s else "0" for s in steps]
    rows = [f"happy {s:+.2g}" if s else "0" for s in steps]
    middle = frames[len(frames) // 2]
    save_png(sheet(frames, columns=5, labels=labels, rows=rows, tile=96), folder / "fat-happy.png", frame=middle)
    values = load_oracle().read(to_tensor(frames)).values
    pairs = [f"{b:+.2f} / {m:+.2f}" for b, m in zip(values["build"], values["mood"], strict=True)]
    table = [[row, *pairs[5 * i : 5 * i + 5]] for i, row in enumerate(rows)]
    title = f"thin to fat (across), sad to happy (down): “{prompt}”; read: build / mood"
    return _Section(title, "fat-happy.png", "", ["", *labels], table)


def _read(readings: Readings, factor: str, poles: tuple[str, str]) -> list[list[str]]:
    """Rows of the oracle's readings: the factor itself, then what should have stayed."""
    if factor in readings.values:
        own = [[factor, *(f"{v:+.2f}" for v in readings.values[factor])]]
    else:
        names = list(readings.classes[factor])
        own = [[f"P({p})", *(f"{v:.2f}" for v in readings.probabilities[factor][:, names.index(p)])] for p in poles]
    others = [name for name in ("subject", "medium", "scene") if name != factor]
    return own + [[name, *readings.labels(name)] for name in others]
