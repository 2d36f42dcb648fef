"""Again: the same bytes for every kind of file, what is changed and nothing else; one line for what is no record."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from astrogate.actions.again import again, found
from astrogate.actions.table import REQUESTS
from astrogate.core.direction import Direction
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Frame, Recipe
from astrogate.measure.clip import Clip
from astrogate.methods.concept.cutoffs import Cutoffs
from astrogate.methods.edit.contrast import contrast
from astrogate.rendering.record import read_record, save_png
from astrogate.rendering.strip import Strip
from astrogate.rendering.video import video
from tests.app.test_cli import run
from tests.methods.concept.test_explain_image import decomposed
from tests.unclip_checkpoints import ours

QUICK = ("--steps", "2", "--device", "cpu")
SLIDE = ("slide", "a painting of a dog", "--toward", "fat", "--away", "thin", "-n", "3")
#: A file's name, and what draws it; words in capitals stand for files.
KINDS = {
    "strip": ("x.png", *SLIDE, "--seeds", "2"),
    "folder of a strip": ("x", *SLIDE),
    "insert": ("x.png", "insert", "a painting of a dog", "fat", "--before", "dog", "--against", "thin", "-n", "3"),
    "grid": ("x.png", "grid", "a dog", "--across", "fat:thin", "--down", "happy:sad", "-n", "2"),
    "style": ("x.png", "style", "a dog", "--phrase", "happy", "-n", "2", "--hold", "0.5:0.2"),
    "guide": ("x.png", "guide", "a dog", "--phrase", "a cat", "-n", "2", "--window", "noise:1:0.1"),
    "walk MP4": ("x.mp4", "walk", "a cat", "-n", "4", "--cache", "CACHE"),
    "walk WebM": ("x.webm", "walk", "a cat", "-n", "3", "--fast", "--cache", "CACHE"),
    "walk GIF": ("x.gif", "walk", "--prompts", "a cat", "--prompts", "a dog", "-n", "4", "--cache", "CACHE"),
    "walk WebP": ("x.webp", "walk", "a cat", "--loop", "-n", "4", "--cache", "CACHE"),
    "walk folder": ("x", "walk", "a cat", "--timing", "eased", "-n", "4", "--cache", "CACHE"),
    "walk sheet": ("x.png", "walk", "a cat", "--from-seed", "1", "--to-seed", "2", "-n", "4", "--cache", "CACHE"),
    "pan": ("x.mp4", "pan", "a cat", "--how", "columns", "-n", "4", "--cache", "CACHE"),
    "canvas": ("x.png", "pan", "a cat", "--how", "canvas", "--wide", "2", "-n", "4", "--cache", "CACHE"),
    "imagine": ("x.png", "imagine", "a dog", "-n", "2"),
    "vary": ("x.png", "vary", "PICTURE", "-n", "2", "--seeds", "2", "--iterations", "1"),
    "blend": ("x.png", "blend", "PICTURE", "OTHER", "-n", "3", "--noises", "1", "--iterations", "1"),
    "diff": ("x.png", "diff", "PICTURE", "--after", "a cat", "-n", "2", "--iterations", "1"),
    "probe": ("x.png", "probe", "PICTURE", "--ranks", "1,6", "--iterations", "1"),
    "manipulate": ("x.png", "manipulate", "BASIS", "--token", "WORD", "-n", "3", "--most", "3"),
}
STACKED = ("imagine", "vary", "blend", "diff", "probe")


@pytest.fixture(scope="module")
def draw(
    tiny: Model, tiny_folder: Path, clip: Clip, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Path], Path]:
    """Draws a kind of file into a folder."""
    shared = tmp_path_factory.mktemp("shared")
    ours(shared / "stack")
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (16, 16), colour).save(shared / f"{name}.png")
    basis = decomposed(tiny, clip, Cutoffs())
    basis.save(shared / "basis.safetensors")
    named = {
        "PICTURE": str(shared / "a.png"),
        "OTHER": str(shared / "b.png"),
        "BASIS": str(shared / "basis.safetensors"),
        "WORD": basis.top(1)[0][0],
    }

    def drawn(kind: str, folder: Path) -> Path:
        file, *args = KINDS[kind]
        model = shared / "stack" if args[0] in STACKED else tiny_folder
        given = [{**named, "CACHE": str(folder / "cache")}.get(arg, arg) for arg in args]
        code, _, err = run(*given, "-o", str(folder / file), "--model", str(model), *QUICK)
        assert (code, err) == (0, ""), (kind, err)
        return folder / file

    return drawn


@pytest.fixture
def strip(draw: Callable[[str, Path], Path], tmp_path: Path) -> Path:
    return draw("strip", tmp_path)


def contents(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of all files in a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name if path.is_dir() else "": file.read_bytes() for file in files}


def test_every_kind_is_drawn_here() -> None:
    assert {args[0] for _, *args in KINDS.values()} == set(REQUESTS)


@pytest.mark.parametrize("kind", KINDS)
def test_again_gives_the_same_bytes(kind: str, draw: Callable[[str, Path], Path], tmp_path: Path) -> None:
    """Drawn anew: what the cache kept is thrown away."""
    path = draw(kind, tmp_path)
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    code, out, err = run("again", str(path))
    assert (code, err) == (0, "")
    target = path.with_name(f"again-{path.name}")
    assert out.strip().endswith(", the same bytes")
    assert out.startswith(f"{target}: ")
    assert contents(target) == contents(path)


def test_what_is_changed_changes_and_nothing_else(strip: Path, tmp_path: Path) -> None:
    first, target = read_record(strip), tmp_path / "other.png"
    for options, name, value in (
        (("--set", "n=5"), "n", 5),
        (("--seed", "3"), "seed", 3),
        (("--set", "batch-size=2"), "batch_size", 2),
        (("--set", "also=happy:sad=0.5"), "also", [["happy:sad", 0.5]]),
    ):
        code, out, err = run("again", str(strip), *options, "-o", str(target))
        assert (code, err) == (0, "")
        assert "bytes" not in out
        record = read_record(target)
        assert record["request"] == {**first["request"], name: value}
        assert (record["versions"], record["files"], record["along"]) == (
            first["versions"], first["files"], first["along"]
        )  # fmt: skip
        same = [key for key in ("scales", "seeds") if record[key] == first[key]]
        assert same == {"n": ["seeds"], "seed": ["scales"]}.get(name, ["scales", "seeds"])
        assert np.array_equal(Image.open(target), Image.open(strip)) == (name == "batch_size")


def test_again_in_python_is_a_strip_of_the_same_pictures(strip: Path, tiny: Model) -> None:
    made = again(strip, model=tiny)
    assert isinstance(made, Strip)
    assert np.array_equal(made.image(), Image.open(strip))
    assert len(again(strip, model=tiny, n=2).frames) == 4
    with pytest.raises(AstrogateError, match="path 'x': choose from prompt"):
        found(strip, path="x")


def test_a_path_in_python_is_its_frames(draw: Callable[[str, Path], Path], tiny: Model, tmp_path: Path) -> None:
    assert len(again(draw("walk folder", tmp_path), model=tiny)) == 4
    (canvas,) = again(draw("canvas", tmp_path), model=tiny)
    assert canvas.image.size == (32, 16)


def test_again_goes_on_where_it_is(draw: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: Any) -> None:
    """A folder by its dot, a file onto itself, and another kind of file than it was."""
    path = draw("walk folder", tmp_path)
    monkeypatch.chdir(path)
    code, out, err = run("again", ".")
    assert (code, err) == (0, "")
    assert out.strip().endswith("again-x: 4 frames, the same bytes")
    before = contents(path)
    assert run("again", str(path), "-o", str(path))[1].strip().endswith("the same bytes")
    assert contents(path) == before
    code, out, err = run("again", str(path), "-o", str(tmp_path / "y.gif"))
    assert (code, err, out.strip()) == (0, "", f"{tmp_path / 'y.gif'}: 4 frames")


def test_a_folder_goes_on_however_it_is_spelled(draw: Callable[[str, Path], Path], tmp_path: Path) -> None:
    """The command line is told as it was when the folder was begun."""
    path = draw("walk folder", tmp_path)
    for file in path.iterdir():
        rewrite(file, {**read_record(file), "command": "astrogate walk ..."})
    (path / "00003.png").unlink()
    assert draw("walk folder", tmp_path) == path
    assert [read_record(file)["command"] for file in sorted(path.iterdir())] == ["astrogate walk ..."] * 4


def test_files_that_are_gone_or_changed(tiny: Model, tiny_folder: Path, tmp_path: Path) -> None:
    file, target = tmp_path / "fat.safetensors", tmp_path / "x.png"
    contrast(tiny, "fat", "thin").save(file)
    args = ("slide", "a dog", "--direction", str(file), "-n", "2", "-o", str(target), "--model", str(tiny_folder))
    assert run(*args, *QUICK)[0] == 0
    replace(Direction.load(file), name="fatter").save(file)
    code, out, err = run("again", str(target))
    assert (code, err.strip()) == (0, f"astrogate: warning: the file {file} has changed")
    assert ", not the same bytes" in out
    file.unlink()
    (tmp_path / "again-x.png").unlink()
    code, out, err = run("again", str(target))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert f"{target} was made with the file {file}, which is not there" in err
    assert not (tmp_path / "again-x.png").exists()
    assert run("again", str(target), "--set", "direction=fat:thin")[::2] == (0, "")


def fatter(model: Model, point: Point) -> Edit:
    """A method of another package."""
    return contrast(model, "fat", "thin").at(point)


def nothing(model: Model, point: Point) -> None:
    """What finds no edit."""


def test_code_of_others_runs_when_it_is_named_again(tiny_folder: Path, tmp_path: Path) -> None:
    target, method = tmp_path / "x.png", f"{__name__}:fatter"
    args = ("slide", "a dog", "--method", method, "-n", "2", "-o", str(target), "--model", str(tiny_folder))
    assert run(*args, *QUICK)[::2] == (0, "")
    code, out, err = run("again", str(target))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert f"runs code of others, {method}" in err
    code, out, err = run("again", str(target), "--set", f"method={method}")
    assert (code, err) == (0, "")
    assert out.strip().endswith(", the same bytes")
    code, _, err = run(*args[:2], "--method", f"{__name__}:nothing", *args[4:], *QUICK)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "nothing' finds no edit" in err


def test_other_versions_are_warned_about(strip: Path) -> None:
    record = read_record(strip)
    rewrite(strip, {**record, "versions": {**record["versions"], "torch": "1.0", "gone": "2"}})
    code, _, err = run("again", str(strip))
    assert code == 0
    assert [line.split(" and is ")[0] for line in err.splitlines()] == [
        "astrogate: warning: torch was 1.0", "astrogate: warning: gone was 2"
    ]  # fmt: skip


def test_again_in_python_warns_of_what_has_changed(strip: Path, tiny: Model) -> None:
    record = read_record(strip)
    rewrite(strip, {**record, "versions": {**record["versions"], "torch": "1.0", "gone": "2"}})
    with pytest.warns(AstrogateWarning) as told:
        again(strip, model=tiny)
    assert [str(one.message).split(" and is ")[0] for one in told] == ["torch was 1.0", "gone was 2"]


def rewrite(path: Path, record: object, key: str = "astrogate") -> Path:
    """Give a PNG file another record; text is taken as it is."""
    info = PngInfo()
    info.add_text(key, record if isinstance(record, str) else json.dumps(record))
    with Image.open(path) as image:
        image.load()
    image.save(path, pnginfo=info)
    return path


def asking(record: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**record, "request": {**record["request"], **options}}


def chunked(path: Path, kind: bytes, data: bytes) -> Path:
    """Put a chunk behind a PNG file's header."""
    whole, chunk = path.read_bytes(), kind + data
    packed = struct.pack(">I", len(data)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(whole[:33] + packed + whole[33:])
    return path


FRAMES = [
    Frame(Image.effect_noise((16, 16), 50).convert("RGB"), Point({}, "a model", origin={"prompt": "a"}), Recipe(2))
] * 3
#: What a record asks for that no request takes, beside what is said of it.
ASKED: dict[str, tuple[Any, str]] = {
    "a list": ([1, 2], "has no record of a request"),
    "nothing": (None, "has no record of a request"),
    "an empty object": ({}, "has no record of a request"),
    "no kind": ({"kind": None}, "asks for None, which is unknown"),
    "an unknown kind": ({"kind": "dream"}, "asks for 'dream', which is unknown: choose from slide"),
    "a kind that is a list": ({"kind": [["slide"]]}, "asks for [['slide']], which is unknown"),
    "an unknown option": ({"colour": "red"}, "colour 'red': choose from prompt"),
    "an option of Python's own": ({"cls": 1}, "cls 1: choose from prompt"),
    "another one": ({"self": 1}, "self 1: choose from prompt"),
    "too many pictures": ({"n": 1001}, "n 1001: use 1000 or less"),
    "no pictures": ({"n": 0}, "n 0: use 1 or more"),
    "half a picture": ({"n": 2.5}, "n 2.5: give a whole number"),
    "too large a seed": ({"seed": 2**63}, "use whole numbers from 0"),
    "no number": ({"guidance": float("nan")}, "guidance nan: use a finite number"),
    "a range of one": ({"range": [1]}, "range"),
    "a range of text": ({"range": "up"}, "'up' is not a range"),
    "a wrong type": ({"prompt": {"a": 1}}, "prompt {'a': 1}"),
    "a deep one": ({"prompt": json.loads("[" * 300 + "]" * 300)}, "prompt [[[[[["),
    "an unknown choice": ({"half": "third"}, "half 'third': choose"),
    "no steps": ({"steps": 0}, "0 steps"),
    "no direction": ({"toward": None, "away": None}, "no direction is named"),
    "half of a surrogate": ({"prompt": "\ud800"}, "'\\ud800' is no text"),
    "a byte that ends names": ({"also": [["a\0", 1]]}, "is no text"),
    "a model that is gone": ({"model": "/nowhere/gone"}, "unknown model '/nowhere/gone'"),
    "a file that is gone": ({"direction": ["gone.safetensors"]}, "gone.safetensors does not exist"),
    "a device": ({"direction": ["/dev/zero"]}, "/dev/zero is no ordinary file"),
    "code of others": ({"method": ["os:abort"]}, "runs code of others, os:abort: set method=os:abort if you trust it"),
    "escapes": ({"kind": "\x1b[31mred"}, "'\\x1b[31mred', which is unknown"),
    "escapes in a name": ({"\x1b[31m\nred": 1}, "\\x1b[31m\\nred 1: choose from"),
}


def damaged(folder: Path, record: dict[str, Any]) -> dict[str, tuple[Path, str]]:
    """Files that hold no request, written into a folder, each beside what is said of it."""
    made: dict[str, tuple[Path, str]] = {}

    def put(name: str, said: str, write: Callable[[Path], object], suffix: str = ".png") -> None:
        path = folder / f"{name}{suffix}"
        write(path)
        made[name] = (path, said)

    def picture(path: Path) -> Path:
        Image.new("RGB", (8, 8)).save(path)
        return path

    def cut(path: Path, share: float = 0.6) -> None:
        video(FRAMES, path, more=record)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    put("no record", "has no record", picture)
    put("A1111's", "has no record", lambda p: rewrite(picture(p), "a dog\nSteps: 20, Seed: 1", "parameters"))
    put("a JPEG", "no PNG, MP4, WebM, GIF or WebP", picture, ".jpg")
    put("a text", "no PNG, MP4, WebM, GIF or WebP", lambda p: p.write_text("hello"))
    put("an empty file", "no PNG, MP4, WebM, GIF or WebP", lambda p: p.touch())
    put("a folder without frames", "00000.png does not exist", Path.mkdir, "")
    put("an absent file", "does not exist", lambda p: None)
    put("an absent folder", "does not exist", lambda p: None, "")
    put("a pipe", "no ordinary file", os.mkfifo)
    put("a device", "no ordinary file", lambda p: p.symlink_to("/dev/zero"))
    put("a circle", "", lambda p: p.symlink_to(p))
    put("no JSON", "is damaged", lambda p: rewrite(picture(p), "steps 20"))
    put("deep JSON", "is damaged", lambda p: rewrite(picture(p), "[" * 100_000))
    put("a deep object", "is damaged", lambda p: rewrite(picture(p), '{"a":' * 100_000))
    put("a list", "is damaged", lambda p: rewrite(picture(p), [record]))
    put("an endless number", "is damaged", lambda p: rewrite(picture(p), '{"request": ' + "9" * 10_000 + "}"))
    put("compressed garbage", "is damaged", lambda p: chunked(picture(p), b"zTXt", b"astrogate\0\0garbage"))
    bomb = b"astrogate\0\0" + zlib.compress(bytes(10**8))
    put("a bomb", "can't be read", lambda p: chunked(picture(p), b"zTXt", bomb))
    put("a cut PNG", "can't be read", lambda p: p.write_bytes(rewrite(picture(p), record).read_bytes()[:-30]))
    put("a cut MP4", "", cut, ".mp4")
    put("a cut WebM", "", lambda p: cut(p, 0.05), ".webm")
    put("a cut GIF", "has no record", lambda p: cut(p, 0.2), ".gif")
    put("a GIF with half a record", "", lambda p: cut(p, 0.95), ".gif")
    put("a cut WebP", "has no record", lambda p: cut(p, 0.1), ".webp")
    put("a WebP with half a record", "is damaged", lambda p: cut(p, 0.95), ".webp")
    put("no request", "has no record of a request", lambda p: rewrite(picture(p), {"point": {}}))
    gone = {**record, "files": {"gone.safetensors": "0"}}
    put("a file that is gone", "the file gone.safetensors, which is not there", lambda p: rewrite(picture(p), gone))
    for name, (asked, said) in ASKED.items():
        whole = asked if not isinstance(asked, dict) else {**record["request"], **asked} if asked else {}
        put(f"asked for {name}", said, lambda p, whole=whole: rewrite(picture(p), {**record, "request": whole}))
    return made


def test_what_can_not_be_drawn_again_is_one_line(strip: Path, tmp_path: Path) -> None:
    target, folder = tmp_path / "out.png", tmp_path / "bad"
    folder.mkdir()
    cases = damaged(folder, read_record(strip))
    assert len(cases) > 45
    for name, (path, said) in cases.items():
        code, out, err = run("again", str(path), "-o", str(target))
        assert (code, out, len(err.splitlines())) == (2, "", 1), (name, err)
        assert said in err, (name, err)
        assert err.startswith("astrogate: "), name
        assert err.strip().isprintable(), name
        assert len(err) < 1000, name
        assert not target.exists(), name
        code, out, err = run("show", str(path))
        assert (code, bool(out), len(err.splitlines())) in ((2, False, 1), (0, True, 0)), (name, err)


def test_a_file_cut_off_anywhere_is_whole_or_refused(tmp_path: Path) -> None:
    for suffix in (".png", ".mp4", ".webm", ".gif", ".webp"):
        path = tmp_path / f"x{suffix}"
        if suffix == ".png":
            save_png(FRAMES[0].image, path, frame=FRAMES[0])
        else:
            video(FRAMES, path)
        data, record = path.read_bytes(), read_record(path)
        for part in range(40):
            path.write_bytes(data[: part * len(data) // 40])
            with suppress(AstrogateError):
                assert read_record(path) == record


def test_show_prints_a_record_and_no_escapes(strip: Path) -> None:
    record = read_record(strip)
    code, out, err = run("show", str(strip))
    assert (code, err, json.loads(out)) == (0, "", record)
    record |= {"command": "astrogate slide '\x1b[31m\x9bred\u202e' \"été\"", "note": {"\x1b]0;": "\x1b[2J\x7f\u202e"}}
    code, out, err = run("show", str(rewrite(strip, record)))
    assert (code, err) == (0, "")
    first, rest = out.split("\n", 1)
    assert first == "$ astrogate slide '\\x1b[31m\\x9bred\\u202e' \"été\""
    assert json.loads(rest) == record
    assert all(line.isprintable() for line in out.splitlines())
