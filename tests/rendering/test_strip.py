"""Laws of strips: evenly spaced scales with the point itself in the middle; one row per point; ranges that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.contrast import contrast
from astrogate.rendering.record import read_record
from astrogate.rendering.render import render
from astrogate.rendering.strip import Strip, along, grid, labels, spaced, span, strip
from tests.checkpoints import steered

RECIPE = Recipe(2)


def made(tiny: Model, seed: int = 0) -> tuple[Point, Edit, Edit]:
    point = tiny.point("a dog", seed=seed)
    few = {"media": ("painting",), "subjects": ("dog", "cat")}
    fat, happy = (contrast(tiny, *words, **few).at(point) for words in (("fat", "thin"), ("happy", "sad")))
    return point, fat, happy


def test_scales_are_even_and_a_middle_is_exactly_zero() -> None:
    assert spaced(-2, 2, 7)[3] == 0.0
    assert spaced(-1.1, 1.1, 5)[2] == 0.0
    assert spaced(0.5, 2, 1) == [2]
    assert spaced(-2, 2, 7) == pytest.approx([-s for s in reversed(spaced(-2, 2, 7))])
    assert labels([-1.25, 0.0, 0.5]) == ["-1.2", "0", "+0.5"]
    for low, high in ((float("nan"), 1), (0, float("inf")), (-1e9, 1)):
        with pytest.raises(AstrogateError, match="finite scales"):
            spaced(low, high, 3)
    for n in (0, 10_001):
        with pytest.raises(AstrogateError, match=f"{n} pictures"):
            spaced(-1, 1, n)


def test_the_middle_of_a_strip_is_the_point(tiny: Model) -> None:
    point, fat, _ = made(tiny)
    drawn = strip(tiny, point, fat, -2, 2, n=7, recipe=RECIPE)
    assert drawn.frames[3].point is point
    steers = [frame.point.steers for frame in drawn.frames]
    assert [s[0].scale for s in steers if s] == pytest.approx([-2, -4 / 3, -2 / 3, 2 / 3, 4 / 3, 2])
    assert drawn.columns == ("-2", "-1.3", "-0.67", "0", "+0.67", "+1.3", "+2")
    assert (drawn.rows, drawn.middle) == ((), 3)
    alone = next(render(tiny, point.apply(fat, 2.0), recipe=RECIPE)).image
    assert np.abs(np.asarray(drawn.frames[6].image, int) - np.asarray(alone, int)).max() <= 1


def test_edits_move_together_one_row_per_point(tiny: Model) -> None:
    point, fat, happy = made(tiny)
    other = tiny.point("a dog", seed=7)
    drawn = strip(tiny, [point, other], [fat, happy], n=3, recipe=RECIPE)
    assert drawn.rows == ("seed 0", "seed 7")
    assert [frame.point.seed for frame in drawn.frames] == [0] * 3 + [7] * 3
    scales = [[(edit.name, scale) for edit, scale in frame.point.edits] for frame in drawn.frames[:3]]
    assert scales == [[("fat - thin", -2), ("happy - sad", -2)], [], [("fat - thin", 2), ("happy - sad", 2)]]
    assert drawn.record["seeds"] == [0, 7]


def test_grid_is_row_by_row(tiny: Model) -> None:
    point, fat, happy = made(tiny)
    drawn = grid(tiny, point, fat, happy, n=3, recipe=RECIPE)
    assert len(drawn.frames) == 9
    assert drawn.frames[4].point is point
    assert (drawn.middle, drawn.rows, drawn.columns) == (4, ("-2", "0", "+2"), ("-2", "0", "+2"))
    assert [[edit.name for edit, _ in drawn.frames[i].point.edits] for i in (0, 1, 3)] == [
        ["fat - thin", "happy - sad"], ["happy - sad"], ["fat - thin"],
    ]  # fmt: skip


def test_the_range_is_what_the_edits_share_unless_asked_for(tiny: Model) -> None:
    point = tiny.point("a dog")
    wide = replace(steered(tiny, point), range=(-4.0, 2.0))
    turn = replace(steered(tiny, point), range=(0.0, 0.5), limits=(-1.0, 1.0), name="turn")
    known = replace(steered(tiny, point), calibration=(-3.0, 1.5), name="known")
    assert span([wide]) == (-4.0, 2.0)
    assert span([wide, turn]) == (0.0, 0.5)
    assert span([turn], -0.3, 0.7) == (-0.3, 0.7)
    assert [step.scale for step in along(point, [known, wide], -1.0).steers] == [-6.0, -2.0]
    with pytest.raises(AstrogateError, match="of turn: it goes from -1 to 1"):
        strip(tiny, point, [wide, turn], -2, 2, recipe=RECIPE)
    with pytest.raises(AstrogateError, match="of known: it is calibrated from -1 to 1"):
        grid(tiny, point, known, wide, -1, 1.5, recipe=RECIPE)
    with pytest.raises(AstrogateError, match="scales of 3 in all"):
        strip(tiny, point, [known] * 3, recipe=RECIPE)
    with pytest.raises(AstrogateError, match="no edit"):
        strip(tiny, point, [], recipe=RECIPE)


def test_a_strip_shows_and_saves_itself(tiny: Model, tmp_path: Path) -> None:
    point, fat, _ = made(tiny, seed=4)
    drawn = strip(tiny, point, fat, n=3, recipe=RECIPE)
    drawn.save(tmp_path / "fat.png", tile=16)
    with Image.open(tmp_path / "fat.png") as image:
        assert image.size == drawn.image(tile=16).size
    kept = read_record(tmp_path / "fat.png")
    assert (kept["scales"], kept["seeds"], kept["point"]["seed"]) == ([-2, 0, 2], [4], 4)
    assert ([edit["name"] for edit in kept["along"]], kept["edits"]) == (["fat - thin"], [])
    assert Recipe(**kept["recipe"]) == RECIPE
    assert drawn._repr_png_().startswith(b"\x89PNG")
    assert drawn._repr_html_().count("<img") == 3
    assert "+2" in repr(drawn)
    with pytest.raises(AstrogateError, match="one frame per column and row"):
        Strip(drawn.frames, drawn.columns, ("a", "b"))
