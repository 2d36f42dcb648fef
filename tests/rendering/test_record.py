"""Files say how they were made: what is put into a file of any kind comes back, and what has no record is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.recipe import Frame, Recipe
from astrogate.rendering.record import read_record, record, save_png, versions
from astrogate.rendering.video import FORMATS, video

FRAME = Frame(
    Image.effect_noise((32, 32), 50).convert("RGB"), Point({}, "a model", seed=3, origin={"prompt": "été"}), Recipe(7)
)
MORE = {"note": "a long story. " * 100}


@pytest.mark.parametrize("kind", [".png", *sorted(FORMATS)])
def test_a_record_comes_back(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{kind}"
    if kind == ".png":
        save_png(FRAME.image, path, frame=FRAME, more=MORE)
    else:
        video([FRAME, replace(FRAME, image=FRAME.image.rotate(90))], path, tile=32, more=MORE)
    found = read_record(path)
    own = {"versions": versions()} if kind == ".png" else {}  # of what holds its points
    assert found == {**record(FRAME), **MORE, **own}
    assert found["point"] == {"prompt": "été", "seed": 3, "draw": 0, "fingerprint": "a model"}
    if kind in (".gif", ".webp"):
        with Image.open(path) as image:
            assert image.n_frames == 2
            image.seek(1)
            image.load()


def test_a_folder_has_that_of_its_first_frame(tmp_path: Path) -> None:
    save_png(FRAME.image, tmp_path / "00000.png", frame=FRAME)
    assert read_record(tmp_path) == {**record(FRAME), "versions": versions()}


def test_what_has_no_record_is_named(tmp_path: Path) -> None:
    bare, cut, damaged = (tmp_path / f"{name}.png" for name in ("bare", "cut", "damaged"))
    FRAME.image.save(bare)
    save_png(FRAME.image, cut, frame=FRAME)
    cut.write_bytes(cut.read_bytes()[:-200])
    info = PngInfo()
    info.add_text("astrogate", "{")
    FRAME.image.save(damaged, pnginfo=info)
    FRAME.image.save(tmp_path / "bare.gif")
    FRAME.image.save(tmp_path / "bare.webp")
    (tmp_path / "text.png").write_text("hello")
    for name, said in (
        ("bare.png", "has no record"), ("bare.gif", "has no record"), ("bare.webp", "has no record"),
        ("cut.png", "can't be read"), ("text.png", "it is no PNG"), ("damaged.png", "is damaged"),
        ("missing.png", "does not exist"), ("", "does not exist"),
    ):  # fmt: skip
        with pytest.raises(AstrogateError, match=said):
            read_record(tmp_path / name)
