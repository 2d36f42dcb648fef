"""Laws of calibration: a scale of 1 changes pictures by the ceiling, on both sides, unless the effect ends first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from astrogate.core.direction import Direction
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.leakage import Target
from astrogate.methods.edit.calibrate import calibrate
from astrogate.methods.edit.contrast import contrast
from astrogate.methods.edit.style import style
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.edit import calibration as study
from astrogate.studies.edit import leaderboard
from astrogate.studies.edit.calibration import calibration, variation
from astrogate.studies.edit.editors import Attribute
from astrogate.studies.edit.leakage import Bench
from tests.app.test_cli import run
from tests.studies.test_leaderboard import Brightness

RECIPE = Recipe(3)


class Pixels:
    """Mean absolute difference."""

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean((1, 2, 3))


def made(model: Model) -> tuple[Direction, list[Point]]:
    direction = contrast(model, "fat", "thin", media=("photo",), subjects=("dog", "cat"))
    return direction, [model.point("a photo of a dog", seed=s) for s in range(4)]


def far(model: Model, direction: Direction, points: list[Point], scale: float) -> float:
    return far_of(model, direction.at(points[0]), points, scale)


def far_of(model: Model, edit: Edit, points: list[Point], scale: float) -> float:
    moved = [point.apply(edit, scale) for point in points]
    a, b = (to_tensor(render(model, batch, recipe=RECIPE)) for batch in (points, moved))
    return float(Pixels().between(a, b).mean())


def test_a_scale_of_one_is_the_ceiling_on_both_sides(tiny: Model) -> None:
    direction, points = made(tiny)
    ceiling = far(tiny, direction, points, 3.0)
    calibrated = calibrate(tiny, direction, points, Pixels(), ceiling=ceiling, recipe=RECIPE)
    for scale in (-1.0, 1.0):
        assert far(tiny, calibrated, points, scale) == pytest.approx(ceiling, rel=0.06)
    found = calibrated.origin["calibration"]
    assert found["high"]["reached"]
    assert found["low"]["reached"]
    assert calibrated.calibration == (found["low"]["strength"], found["high"]["strength"])
    again = calibrate(tiny, calibrated, points, Pixels(), ceiling=ceiling, recipe=RECIPE)
    assert again.calibration == calibrated.calibration


def test_directions_of_any_length_come_to_the_same_scale(tiny: Model) -> None:
    direction, points = made(tiny)
    ceiling = far(tiny, direction, points, 3.0)
    ends = [
        calibrate(tiny, d, points, Pixels(), ceiling=ceiling, recipe=RECIPE).calibration[1] * factor
        for d, factor in ((direction, 1.0), (direction * 4.0, 4.0), (direction * 0.3, 0.3))
    ]
    assert ends == pytest.approx([ends[0]] * 3, rel=0.15)


def test_the_search_ends_where_the_effect_does(tiny: Model) -> None:
    """An effect that peaks: what is read falls once the pictures are far from the first ones."""
    direction, points = made(tiny)
    still = to_tensor(render(tiny, points, recipe=RECIPE))
    peak = far(tiny, direction, points, 1.2)

    def effect(pictures: Tensor) -> Tensor:
        return -(Pixels().between(still, pictures) - peak).abs()

    calibrated = calibrate(tiny, direction, points, Pixels(), effect=effect, ceiling=1.0, recipe=RECIPE)
    assert not calibrated.origin["calibration"]["high"]["reached"]
    assert calibrated.calibration[1] in (1.0, 2.0)


def test_placing_is_what_is_calibrated(tiny: Model) -> None:
    direction, points = made(tiny)
    ceiling = far(tiny, direction, points, 2.0)
    late = calibrate(tiny, direction, points, Pixels(), ceiling=ceiling, recipe=RECIPE, placing={"window": (0.5, 1.0)})
    assert late.calibration[1] > 2.0
    assert late.origin["calibration"]["placing"] == {"window": [0.5, 1.0]}


def test_an_edit_is_calibrated_as_a_direction_is(tiny: Model) -> None:
    """By whatever rule it moves; with its hold, its sides and its prompt."""
    direction, points = made(tiny)
    ceiling = far(tiny, direction, points, 3.0)
    plain = direction.at(points[0])
    found = calibrate(tiny, plain, points, Pixels(), ceiling=ceiling, recipe=RECIPE)
    whole = calibrate(tiny, direction, points, Pixels(), ceiling=ceiling, recipe=RECIPE)
    assert found.calibration == whole.calibration
    assert (found.above, found.segments, found.range) == (plain.above, plain.segments, (-1.0, 1.0))
    assert [far_of(tiny, found, points, s) for s in (-1.0, 1.0)] == pytest.approx([ceiling] * 2, rel=0.06)
    held = calibrate(tiny, plain.held(0.5, 0.4), points, Pixels(), ceiling=ceiling, recipe=RECIPE)
    assert held.origin["calibration"]["hold"] == [0.5, 0.4]
    sides = replace(plain, below=plain.above.scaled(-2.0))
    low, high = calibrate(tiny, sides, points, Pixels(), ceiling=ceiling, recipe=RECIPE).calibration
    assert high == whole.calibration[1]
    assert low == pytest.approx(whole.calibration[0] / 2, rel=0.15)


def test_a_search_goes_no_further_than_the_edit(tiny: Model) -> None:
    direction, points = made(tiny)
    short = replace(direction.at(points[0]), limits=(-0.7, 0.3), range=(-0.5, 0.3))
    found = calibrate(tiny, short, points, Pixels(), ceiling=1.0, recipe=RECIPE)
    assert found.calibration == (-0.7, 0.3)
    assert not found.origin["calibration"]["low"]["reached"]
    assert points[0].apply(found, -1.0).steers[0].scale == -0.7
    phrased = calibrate(tiny, style(tiny, points[0], "happy"), points, Pixels(), ceiling=1.0, recipe=RECIPE)
    assert phrased.calibration == (-1.0, 1.0)


def test_bad_calibrations_are_refused(tiny: Model) -> None:
    direction, points = made(tiny)
    with pytest.raises(AstrogateError, match="four or more"):
        calibrate(tiny, direction, points[:3], Pixels(), recipe=RECIPE)
    with pytest.raises(AstrogateError, match="ceiling"):
        calibrate(tiny, direction, points, Pixels(), ceiling=0, recipe=RECIPE)
    one_sided = replace(direction.at(points[0]), limits=(0.0, 1.0), range=(0.0, 1.0))
    with pytest.raises(AstrogateError, match="placed already"):
        calibrate(tiny, direction.at(points[0]), points, Pixels(), recipe=RECIPE, placing={"on": "dog"})
    with pytest.raises(AstrogateError, match="acts on one side alone"):
        calibrate(tiny, one_sided, points, Pixels(), recipe=RECIPE)
    nothing = replace(direction, vectors={"end": torch.zeros(32)})
    with pytest.raises(AstrogateError, match="does not change"):
        calibrate(tiny, nothing, points, Pixels(), recipe=RECIPE)


def test_the_study_calibrates_on_other_subjects_than_it_measures(tiny: Model, tmp_path: Path) -> None:
    """On held-out subjects a scale of 1 comes near the ceiling, from both sides, however long the direction."""
    bench = Bench(
        tiny, Brightness(), lambda subject: frozenset({"build"}), {"build": 0.001}, tmp_path,
        subjects=("dog", "cat"), seeds=(1, 2, 3, 4), recipe=RECIPE,
    )  # fmt: skip
    direction, points = made(tiny)
    ceiling = far(tiny, direction, points, 3.0)
    attributes = [Attribute("fat", "thin", Target("build")), Attribute("thin", "fat", Target("build", sign=-1))]
    rows = calibration(
        bench, Pixels(), list(zip(attributes, (direction, direction * 5.0), strict=True)), ceiling=ceiling
    )
    assert [(r.word, r.scale) for r in rows] == [("fat", -1), ("fat", 1), ("thin", -1), ("thin", 1)]
    after, before = (variation([getattr(r, when) for r in rows]) for when in ("after", "before"))
    assert after < 0.3 < before
    assert all(r.after == pytest.approx(ceiling, rel=0.5) for r in rows)
    assert variation([1.0, 3.0]) == pytest.approx(2**0.5 / 2)


def test_the_command_prints_both_sides(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the options to the lines, with the tiny model's own grid and a reader and a distance of the test."""
    few = {"media": ("painting",), "subjects": ("dog", "cat")}
    monkeypatch.setattr(study, "WORDS", ("fat",))
    monkeypatch.setattr(study, "FIT_SUBJECTS", ("dog",))
    monkeypatch.setattr(leaderboard, "contrast", lambda model, a, b: contrast(model, a, b, **few))
    monkeypatch.setattr(leaderboard, "readers", lambda name, clip, *, offline: (Brightness(), Pixels()))

    def made_of(model: Model, reader: Brightness, folder: Path, recipe: Recipe) -> Bench:
        return Bench(
            model, reader, lambda s: frozenset({"build"}), {"build": 0.001}, folder, ("cat",), (1,), recipe=RECIPE
        )

    monkeypatch.setattr(leaderboard, "bench_of", made_of)
    code, out, err = run(
        "bench", "calibration", "--ceiling", "0.01", "--model", str(tiny_folder), "--cells", str(tmp_path)
    )
    assert (code, err) == (0, "fat\n")
    lines = out.splitlines()
    assert [line.split(" is ")[0].split() for line in lines[:2]] == [["fat", "-1"], ["fat", "+1"]]
    assert lines[2].startswith("coefficient of variation of the distance: ")
