"""`astrogate demo`: four strips and a two-direction grid, read by the oracle, on one page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from astrogate.core.direction import Direction, place
from astrogate.core.files import write_text
from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Recipe
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.contrast import contrast
from astrogate.methods.slide import grid, labels, scales, slide
from astrogate.models.load import load
from astrogate.rendering.png import save_png
from astrogate.rendering.render import render, to_tensor
from astrogate.rendering.sheet import sheet
from astrogate.studies.report import Section, reading_rows, report
from astrogate.studies.strips import PAIRS

#: Prompts that say what should stay: what they leave open, the plain mean difference moves too.
_STRIPS = {
    "build": "a painting of a white dog in a meadow",
    "height": "a photo of a woman in blue on a beach",
    "mood": "a digital painting of a boy in red in the snow",
    "colour": "a 3d render of a cat in the city",
}
_POLES = {**PAIRS, "colour": ("black", "white")}
_RANGE = (-1.5, 1.5)


def write_demo(folder: Path, *, seed: int = 7, device: str | None = None, tell: Callable[[str], None]) -> Path:
    """Write the sheets and `index.html` into `folder`; returns the page. `tell` hears what is done."""
    model, oracle, recipe = load(device=device), load_oracle(), Recipe()
    directions = {factor: contrast(model, *poles) for factor, poles in _POLES.items()}
    sections: list[Section] = []
    for factor, prompt in _STRIPS.items():
        sections.append(_strip(model, oracle, directions[factor], factor, prompt, folder, seed, recipe))
        tell(f"{folder / sections[-1].source}")
    sections.append(_grid(model, oracle, directions["build"], directions["mood"], folder, seed, recipe))
    tell(f"{folder / sections[-1].source}")
    target = folder / "index.html"
    intro = (
        f"Model {model.name}, seed {seed}, {recipe.num_inference_steps} steps, guidance {recipe.guidance_scale:g}.",
        "Each strip adds one direction to the text states of one prompt, from -1.5 to +1.5; the picture at 0 is the "
        "unedited one. Below each, what the model's oracle reads in the pictures: the factor that should move, then "
        "some that should stay.",
    )
    write_text(target, report("Astrogate demo", intro, sections))
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
) -> Section:
    toward, away = _POLES[factor]
    frames = list(render(model, slide(model.point(prompt, seed=seed), direction, *_RANGE, n=7), recipe=recipe))
    steps, name = scales(*_RANGE, 7), f"{toward}-{away}.png"
    more = {"direction": dict(direction.origin), "scales": steps}
    save_png(sheet(frames, labels=labels(steps)), folder / name, frame=frames[3], more=more)
    command = f'astrogate slide "{prompt}" --toward {toward} --away {away} --scales=-1.5:1.5 --seed {seed} -o {name}'
    rows = reading_rows(oracle.read(to_tensor(frames)), factor, _POLES[factor])
    title = f"{away} to {toward}: “{prompt}”"
    return Section(title, name, head=["scale", *labels(steps)], rows=rows, command=command)


def _grid(
    model: Model, oracle: Reader, across: Direction, down: Direction, folder: Path, seed: int, recipe: Recipe
) -> Section:
    prompt, steps, name = "a photo of a man in green in the snow", scales(*_RANGE, 5), "fat-happy.png"
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
    return Section(title, name, head=["", *heads], rows=table)
