"""`astrogate demo`: four strips and a two-direction grid, read by the oracle, on one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from astrogate.core.files import write_text
from astrogate.core.point import Point
from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Recipe
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.edit.insert import insert
from astrogate.models.loading.load import load
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.strip import grid, strip
from astrogate.studies.kit.report import Section, reading_rows, report
from astrogate.studies.world.strips import PAIRS

#: What each strip changes, and the prompt's word that it is put before.
_STRIPS = {
    "build": ("a painting of a dog in a meadow", "dog"),
    "height": ("a painting of a man in the city", "man"),
    "mood": ("a digital painting of a boy in the snow", "boy"),
    "colour": ("a painting of a cat on a beach", "cat"),
}
_POLES = {**PAIRS, "colour": ("black", "white")}


def write_demo(folder: Path, *, seed: int = 7, device: str | None = None, tell: Callable[[str], None]) -> Path:
    """Write the sheets and `index.html` into `folder`; returns the page. `tell` hears what is done."""
    model, oracle, recipe = load(device=device), load_oracle(), Recipe()
    sections: list[Section] = []
    for factor, (prompt, on) in _STRIPS.items():
        sections.append(_strip(model, oracle, factor, model.point(prompt, seed=seed), on, folder, recipe))
        tell(f"{folder / sections[-1].source}")
    sections.append(_grid(model, oracle, folder, seed, recipe))
    tell(f"{folder / sections[-1].source}")
    target = folder / "index.html"
    intro = (
        f"Model {model.name}, seed {seed}, {recipe.num_inference_steps} steps, guidance {recipe.guidance_scale:g}.",
        "Each strip puts one word into a prompt by degrees, and its opposite to the left, and holds the rest; the "
        "picture at 0 is the unedited one. Below each, what the model's oracle reads in the pictures: the factor that "
        "should move, then some that should stay.",
    )
    write_text(target, report("Astrogate demo", intro, sections))
    return target


def _strip(model: Model, oracle: Reader, factor: str, point: Point, on: str, folder: Path, recipe: Recipe) -> Section:
    toward, away = _POLES[factor]
    prompt, name = point.origin["prompt"], f"{toward}-{away}.png"
    edit = insert(model, point, toward, before=on, against=away, recipe=recipe)
    drawn = strip(model, point, edit, n=7, recipe=recipe)
    drawn.save(folder / name)
    command = f'astrogate insert "{prompt}" {toward} --before {on} --against {away} --seed {point.seed} -o {name}'
    rows = reading_rows(oracle.read(to_tensor(drawn.frames)), factor, _POLES[factor])
    title = f"{away} to {toward}: “{prompt}”"
    return Section(title, name, head=["scale", *drawn.columns], rows=rows, command=command)


def _grid(model: Model, oracle: Reader, folder: Path, seed: int, recipe: Recipe) -> Section:
    prompt, name = "a painting of a cat in the snow", "fat-happy.png"
    point = model.point(prompt, seed=seed)
    across, down = (
        insert(model, point, there, before="cat", against=back, recipe=recipe)
        for there, back in (PAIRS["build"], PAIRS["mood"])
    )
    drawn = grid(model, point, across, down, n=5, recipe=recipe)
    heads, rows = (tuple(f"{word} {s}" for s in drawn.columns) for word in ("fat", "happy"))
    drawn = replace(drawn, columns=heads, rows=rows)
    drawn.save(folder / name)
    values = oracle.read(to_tensor(drawn.frames)).values
    pairs = [f"{b:+.2f} / {m:+.2f}" for b, m in zip(values["build"], values["mood"], strict=True)]
    table = [[row, *pairs[5 * i : 5 * i + 5]] for i, row in enumerate(rows)]
    title = f"thin to fat (across), sad to happy (down): “{prompt}”; read: build / mood"
    return Section(title, name, head=["", *heads], rows=table)
