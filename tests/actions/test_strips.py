"""Requests for strips: options that would do nothing are refused early, and defaults fit what moves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from astrogate.actions.strips import Guide, Insert, Slide
from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.methods.edit.contrast import contrast
from astrogate.methods.edit.guidance import MOST, MOST_TOWARD

DIRECTED: dict[str, Any] = {"on": "dog", "window": "0.2:1", "curve": "0:1,0.5:0", "half": "both"}


@pytest.fixture
def fat(tiny: Model, tmp_path: Path) -> Path:
    path = tmp_path / "fat.safetensors"
    contrast(tiny, "fat", "thin", media=("photo",), subjects=("dog", "cat")).save(path)
    return path


@pytest.mark.parametrize("name", DIRECTED)
@pytest.mark.parametrize("moving", [{"edit": "x.safetensors"}, {"method": "mine:edit"}])
def test_what_is_for_directions_is_refused_without_one(name: str, moving: dict[str, str]) -> None:
    given = {name: DIRECTED[name]}
    Slide.of(prompt="a dog", **moving).check()
    with pytest.raises(AstrogateError, match=f"{name} .* does nothing without a direction that slides: leave it out"):
        Slide.of(prompt="a dog", **moving, **given).check()
    Slide.of(prompt="a dog", direction="fat:thin", **moving, **given).check()
    beside = Slide.of(prompt="a dog", also="fat:thin=1", **moving, **given)
    if name == "curve":
        with pytest.raises(AstrogateError, match="curve"):
            beside.check()
    else:
        beside.check()


def test_a_guide_shows_its_own_range_and_scale(tiny: Model, fat: Path) -> None:
    phrase = Guide.of(prompt="a dog", phrase="a cat", n=2).plan(tiny)
    assert phrase.facts["scales"] == [0, MOST_TOWARD]
    for calibration, scale in ((None, 2.0), ((-3.0, 1.5), 1.0)):
        replace(Direction.load(fat), calibration=calibration).save(fat)
        plan = Guide.of(prompt="a dog", direction=str(fat), n=2).plan(tiny)
        assert plan.facts["scales"] == [0, MOST]
        assert plan.facts["along"][0]["at"] == scale


@pytest.mark.parametrize("given", [{"scale": 1}, {"on": "dog"}])
def test_a_phrase_takes_nothing_of_a_direction(given: dict[str, Any]) -> None:
    with pytest.raises(AstrogateError, match=r"(scale|on) .* does nothing beside a phrase: leave it out"):
        Guide.of(prompt="a dog", phrase="a cat", **given).check()
    Guide.of(prompt="a dog", direction="fat:thin", **given).check()


def test_a_range_beyond_an_edit_is_refused_before_words_are_drawn() -> None:
    with pytest.raises(AstrogateError, match="scale 60 of fat: it goes from -50 to 50"):
        Insert.of(prompt="a dog", word="fat", before="dog", range="0:60").check()
    Insert.of(prompt="a dog", word="fat", before="dog", range="-50:50").check()


@pytest.mark.parametrize(
    "window", ["1:0", "noise:0:1", "noise:2:0", "noise:1", "steps:0:1", "0.2", "noise:a:0", (1, 2, 3)]
)
def test_windows_that_are_none_are_refused_before_anything_is_loaded(window: Any) -> None:
    with pytest.raises(AstrogateError, match=r"window|noise"):
        Slide.of(prompt="a dog", direction="fat:thin", window=window)


def test_a_window_by_noise_reaches_the_edit(tiny: Model, fat: Path) -> None:
    for given in ("noise:0.8:0.1", ["noise", 0.8, 0.1]):
        plan = Slide.of(prompt="a dog", direction=str(fat), n=2, window=given).plan(tiny)
        (frame, *_) = plan.frames()
        ((edit, _),) = frame.point.edits
        assert edit.above.steers[0].window == ("noise", 0.8, 0.1)
