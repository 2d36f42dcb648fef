"""What is drawn from Python and saved is drawn again from the points in its file, to the same bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from astrogate.actions.again import again, found
from astrogate.core import archive
from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.contrast import contrast
from astrogate.methods.edit.guidance import toward
from astrogate.methods.edit.insert import insert
from astrogate.methods.path.walk import walk
from astrogate.rendering import kept
from astrogate.rendering.record import read_points, read_record, save_png, versions
from astrogate.rendering.render import render
from astrogate.rendering.strip import Strip, grid, strip
from tests.app.test_cli import run

RECIPE, PROMPT = Recipe(2), "a painting of a dog"


def strips(model: Model) -> dict[str, Callable[[Path], None]]:
    """Files of every kind that Python saves."""
    points = [model.point(PROMPT, seed=seed, negative="a cat") for seed in (1, 2)]
    tall = insert(model, points[0], "tall", before="dog", against="short", recipe=RECIPE)
    fat = contrast(model, "fat", "thin").at(points[0], curve=((0.2, 0.0), (0.8, 1.0)))
    moved = points[0].held(0.5, 0.5).apply(tall, 0.5).apply(toward(model, "a cat"), 2.0)

    def made(frames: list[Point], path: Path) -> None:
        drawn = tuple(render(model, frames, recipe=RECIPE))
        Strip(drawn, tuple("abc"), record={"mine": 1}, middle=1).save(path)

    def one(point: Point, path: Path) -> None:
        (frame,) = render(model, point, recipe=RECIPE)
        save_png(frame.image, path, frame=frame, more={"mine": [1]})

    return {
        "strip": lambda path: strip(model, points, tall, n=3, recipe=RECIPE, batch_size=2).save(path, tile=32),
        "grid": lambda path: grid(model, points[0], tall, fat, -1, 1, n=2, recipe=RECIPE).save(path),
        "a path": lambda path: made([walk(*points)(u) for u in (0.0, 0.5, 1.0)], path),
        "one frame": lambda path: one(moved, path),
    }


def test_what_python_saves_comes_again(tiny: Model, tiny_folder: Path, tmp_path: Path) -> None:
    for name, save in strips(tiny).items():
        path = tmp_path / f"{name}.png"
        save(path)
        code, out, err = run("again", str(path), "--set", f"model={tiny_folder}", "--set", "device=cpu")
        assert (code, err) == (0, ""), name
        assert (tmp_path / f"again-{name}.png").read_bytes() == path.read_bytes(), (name, out)


def test_in_python_it_is_a_strip_or_a_frame(tiny: Model, tmp_path: Path) -> None:
    files = strips(tiny)
    for name in ("grid", "one frame"):
        files[name](tmp_path / f"{name}.png")
    whole, (frame,) = again(tmp_path / "grid.png", model=tiny), again(tmp_path / "one frame.png", model=tiny)
    assert isinstance(whole, Strip)
    assert (whole.columns, whole.rows, whole.middle) == (("-1", "+1"), ("-1", "+1"), 2)
    with Image.open(tmp_path / "one frame.png") as image:
        assert frame.image.tobytes() == image.tobytes()
    assert [round(scale, 9) for _, scale in frame.point.edits] == [0.5, 2.0]


def test_a_record_names_the_versions_and_survives_an_edit_by_hand(tiny: Model, tmp_path: Path) -> None:
    (frame,) = render(tiny, tiny.point(PROMPT), recipe=RECIPE)
    save_png(frame.image, tmp_path / "x.png", frame=frame)
    assert read_record(tmp_path / "x.png")["versions"] == versions()
    save_png(frame.image, tmp_path / "y.png", frame=frame, more={"versions": {"torch": "0"}, "batch_size": "many"})
    assert any(told.startswith("torch was 0") for told in found(tmp_path / "y.png").differs)
    with pytest.warns(AstrogateWarning, match="torch was 0"):
        (back,) = again(tmp_path / "y.png", model=tiny)
    assert back.image.tobytes() == frame.image.tobytes()


def test_a_folder_of_it_resumes(tiny: Model, tiny_folder: Path, tmp_path: Path) -> None:
    strips(tiny)["grid"](tmp_path / "x.png")
    asked = ("again", str(tmp_path / "x.png"), "--set", f"model={tiny_folder}", "-o", str(tmp_path / "out"))
    for _ in range(2):
        code, _, err = run(*asked)
        assert code == 0, err
    assert len(list((tmp_path / "out").glob("*.png"))) == 4


def test_what_repeats_is_kept_once(tiny: Model, tmp_path: Path) -> None:
    point, fat = tiny.point(PROMPT), contrast(tiny, "fat", "thin")
    few, many = (len(kept.packed(strip(tiny, point, fat.at(point), n=n, recipe=RECIPE).frames)) for n in (2, 9))
    assert many < 1.5 * few


def test_what_is_too_large_is_not_kept(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 1000)
    strips(tiny)["grid"](tmp_path / "x.png")
    assert read_points(tmp_path / "x.png") == b""
    with pytest.raises(AstrogateError, match="has no record of a request"):
        found(tmp_path / "x.png")


def test_damaged_points_are_one_line(tiny: Model, tmp_path: Path) -> None:
    (frame,) = render(tiny, tiny.point(PROMPT), recipe=RECIPE)
    whole = kept.packed([frame])
    assert kept.unpacked(whole, "x")[0][1] == frame.recipe
    for data in (whole[:100], whole[:-9], b"x", whole.replace(b'\\"hold\\"', b'\\"held\\"')):
        save_png(frame.image, tmp_path / "x.png", frame=frame, points=data)
        with pytest.raises(AstrogateError, match="are damaged: name the file as it was written"):
            found(tmp_path / "x.png")
    save_png(frame.image, tmp_path / "x.png", frame=frame, more={"strip": {"columns": 3}})
    with pytest.raises(AstrogateError, match="is damaged"):
        again(tmp_path / "x.png", model=tiny)
    save_png(frame.image, tmp_path / "x.png", frame=replace(frame, point=replace(frame.point, model="other")))
    with pytest.raises(AstrogateError, match="model"):
        again(tmp_path / "x.png", model=tiny)


def test_options_that_points_do_not_have_are_refused(tiny: Model, tmp_path: Path) -> None:
    strips(tiny)["grid"](tmp_path / "x.png")
    code, _, err = run("again", str(tmp_path / "x.png"), "--seed", "3")
    assert code == 2
    assert "choose from file, batch_size, model" in err


def test_a_tensor_that_was_read_is_not_the_files_own(tmp_path: Path) -> None:
    """Else a program that writes over the file changes what was read from it, or ends the reader."""
    path = tmp_path / "x"
    Direction({"end": torch.ones(64)}, "model").save(path)
    read = Direction.load(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(read.vectors["end"], torch.ones(64))
    archive.write(path, {"a": torch.ones(64)})
    found, _ = archive.read(path, what="x", remedy="x", copied=False)
    assert torch.equal(found["a"], torch.ones(64))
