"""Requests for paths: options that would do nothing, and strides that no canvas has, are refused early."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from astrogate.actions.paths import Pan, Walk
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"how": "canvas", "seeds": 3}, "seeds 3 does nothing on a canvas"),
        ({"wide": 2}, "wide 2 does nothing without a canvas"),
        ({"how": "columns", "stride": 16}, "stride 16 does nothing without a canvas"),
        ({"how": "canvas", "stride": 13}, "13 pixels: choose a multiple of 8"),
    ],
)
def test_pans_take_what_acts(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(AstrogateError, match=said):
        Pan.of(prompt="a cat", cache=tmp_path, **given).check()


def test_pans_that_are_asked_for_in_full(tiny: Model, tmp_path: Path) -> None:
    Pan.of(prompt="a cat", how="canvas", wide=2, stride=16, cache=tmp_path).check()
    for seeds in (2, 3):
        pan = Pan.of(prompt="a cat", seed=5, seeds=seeds, steps=1, n=3, cache=tmp_path)
        pan.check()
        told = next(pan.plan(tiny).frames()).point.origin["pan"]
        assert told["seeds"] == [*range(5, 5 + seeds)]
    assert Pan.of(prompt="a cat").seeds == 2


@pytest.mark.parametrize(("seed", "image"), [("to_seed", "end_image"), ("from_seed", "start_image")])
def test_an_end_has_a_seed_or_a_picture(seed: str, image: str, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    given = {"prompt": "a cat", image: tmp_path / "x.png", "cache": tmp_path}
    Walk.of(**given).check()
    with pytest.raises(AstrogateError, match=f"{seed.replace('_', '-')} 3 does nothing beside a picture"):
        Walk.of(**given, **{seed: 3}).check()
