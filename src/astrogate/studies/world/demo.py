"""`astrogate demo`: four strips and a two-direction grid, read by the oracle, on one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from astrogate.core.files import write_text
from astrogate.core.point import Point
from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Recipe
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.edit.insert import HOLDS, insert, inserted
from astrogate.methods.edit.slide import grid, labels, scales
from astrogate.models.loading.load import load
from astrogate.rendering.png import save_png
from astrogate.rendering.render import render, to_tensor
from astrogate.rendering.sheet import sheet
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
_RANGE = (-1.5, 1.5)


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
    prompt, seed = point.origin["prompt"], point.origin["seed"]
    steps, name = scales(*_RANGE, 7), f"{toward}-{away}.png"
    there, back = (insert(model, point, word, on=on, recipe=recipe) for word in (toward, away))
    frames = list(render(model, [inserted(point, there if s > 0 else back, abs(s)) for s in steps], recipe=recipe))
    more = {"insert": toward, "against": away, "on": on, "scales": steps}
    save_png(sheet(frames, labels=labels(steps)), folder / name, frame=frames[3], more=more)
    command = f'astrogate insert "{prompt}" {toward} --on {on} --against {away} --seed {seed} -o {name}'
    rows = reading_rows(oracle.read(to_tensor(frames)), factor, _POLES[factor])
    title = f"{away} to {toward}: “{prompt}”"
    return Section(title, name, head=["scale", *labels(steps)], rows=rows, command=command)


def _grid(model: Model, oracle: Reader, folder: Path, seed: int, recipe: Recipe) -> Section:
    prompt, steps, name = "a painting of a cat in the snow", scales(*_RANGE, 5), "fat-happy.png"
    point = model.point(prompt, seed=seed)
    axes = [[insert(model, point, word, on="cat", recipe=recipe) for word in PAIRS[f]] for f in ("build", "mood")]
    across, down = ([(there if s > 0 else back).scaled(abs(s)) for s in steps] for there, back in axes)
    frames = list(render(model, grid(point.held(*HOLDS["all"]), across, down), recipe=recipe))
    heads, rows = ([f"{word} {s}" for s in labels(steps)] for word in ("fat", "happy"))
    more = {"across": PAIRS["build"], "down": PAIRS["mood"], "scales": steps}
    page_of_all = sheet(frames, columns=5, labels=heads, rows=rows, tile=96)
    save_png(page_of_all, folder / name, frame=frames[len(frames) // 2], more=more)
    values = oracle.read(to_tensor(frames)).values
    pairs = [f"{b:+.2f} / {m:+.2f}" for b, m in zip(values["build"], values["mood"], strict=True)]
    table = [[row, *pairs[5 * i : 5 * i + 5]] for i, row in enumerate(rows)]
    title = f"thin to fat (across), sad to happy (down): “{prompt}”; read: build / mood"
    return Section(title, name, head=["", *heads], rows=table)
