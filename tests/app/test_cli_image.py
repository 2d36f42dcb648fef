"""The commands of unCLIP, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from astrogate.actions.request import digest
from tests.app.test_cli import run
from tests.unclip_checkpoints import kandinsky, ours

QUICK = ("--steps", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ours")
    ours(path)
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> tuple[str, str]:
    paths = tmp_path / "a.png", tmp_path / "b.jpg"
    for path, colour in zip(paths, ("red", "blue"), strict=True):
        Image.new("RGB", (16, 16), colour).save(path)
    return str(paths[0]), str(paths[1])


def record(path: Path) -> dict[str, Any]:
    with Image.open(path) as image:
        return json.loads(image.info["astrogate"])


def asked(path: Path) -> dict[str, Any]:
    return record(path)["request"]


def test_imagine(folder: str, tmp_path: Path) -> None:
    out = tmp_path / "x.png"
    for kind in ("diffusion", "ar", "none"):
        code, text, _ = run("imagine", "a dog", "--prior", kind, "-n", "2", "-o", str(out), "--model", folder, *QUICK)
        assert (code, text.strip()) == (0, f"{out}: 2 pictures")
        assert asked(out)["prior"] == kind
    small = out.read_bytes()
    code, _, _ = run("imagine", "a dog", "--upscale", "-n", "2", "-o", str(out), "--model", folder, *QUICK)
    assert code == 0
    assert asked(out)["upscale"]
    assert out.read_bytes() != small


def test_a_walk_between_pictures_points_to_blend(folder: str, images: tuple[str, str], tmp_path: Path) -> None:
    given = ("--start-image", images[0], "-n", "3", "-o", str(tmp_path / "f"), "--cache", str(tmp_path / "cache"))
    code, _, err = run("walk", "a dog", *given, "--model", folder, *QUICK)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "blend its pictures instead" in err


def test_manipulations(folder: str, images: tuple[str, str], tmp_path: Path) -> None:
    a, b = images
    out, common = tmp_path / "x.png", ("-o", str(tmp_path / "x.png"), "--model", folder, *QUICK, "--iterations", "1")
    code, text, _ = run("vary", a, "--eta", "0:1", "-n", "3", "--seeds", "2", *common)
    assert (code, text.strip()) == (0, f"{out}: 6 pictures")
    assert record(out)["etas"] == [0.0, 0.5, 1.0]
    code, text, _ = run("blend", a, b, "-n", "3", "--noises", "1", *common)
    assert (code, text.strip()) == (0, f"{out}: 6 pictures")
    assert record(out)["files"] == {path: digest(Path(path)) for path in (a, b)}
    code, text, _ = run("diff", a, "--before", "a dog", "--after", "a cat", "--range", "0:0.5", "-n", "2", *common)
    assert (code, text.strip()) == (0, f"{out}: 2 pictures")
    assert asked(out)["before"] == "a dog"
    code, text, _ = run("probe", a, "--ranks", "1,6", *common)
    assert (code, text.strip()) == (0, f"{out}: 3 pictures")
    assert asked(out)["ranks"] == [1, 6]


def test_components_of_a_folder_of_pictures(folder: str, images: tuple[str, str], tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    for i in range(9):
        Image.new("RGB", (16, 16), (27 * i, 255 - 25 * i, (31 * i) % 256)).save(gallery / f"{i}.png")
    args = ("probe", images[0], "--pictures", str(gallery), "-o", str(tmp_path / "x.png"), "--model", folder, *QUICK)
    assert run(*args, "--ranks", "1,8")[0] == 0  # of more dimensions
    code, _, err = run(*args, "--ranks", "1,9")
    assert (code, err.strip()) == (2, "astrogate: 9 components of 9 pictures: name a folder of more")


def test_the_prior_of_kandinsky_is_named(images: tuple[str, str], tmp_path: Path) -> None:
    kandinsky(tmp_path / "k")
    args = ("imagine", "a dog", "-n", "1", "-o", str(tmp_path / "x.png"), "--model", str(tmp_path / "k"), *QUICK)
    code, _, err = run(*args)
    assert code == 2
    assert "name the folder of its prior" in err
    prior = ("--prior-model", str(tmp_path / "k" / "prior-pipeline"))
    assert run(*args, *prior)[0] == 0
    named = ("--model", str(tmp_path / "k"), *prior, "--steps", "1", "--guidance", "1", "--size", "16")
    walk = ("walk", "a dog", "--to-seed", "1", "-n", "2", "--cache", str(tmp_path / "c"), "-o", str(tmp_path / "f"))
    code, _, err = run(*walk, *named)
    assert code == 0, err
    code, _, err = run("slide", "a dog", "--direction", "fat:thin", "-n", "2", "-o", str(tmp_path / "x.png"), *named)
    assert (code, err.count("\n")) == (2, 1)
    assert "reads no text: move its image embedding" in err


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (("diff", "A", "--after", "a cat", "--range", "0:1.5"), "use shares from 0 to 1"),
        (("diff", "A", "--after", " "), "caption to go to is empty"),
        (("diff", "A", "--before", "a cat", "--after", "a cat"), "say the same"),
        (("vary", "A", "--eta", "0:2"), "eta 2"),
        (("vary", "A", "-n", "0"), "n 0: use 1 or more"),
        (("vary", "missing.png"), "is no picture"),
        (("vary", "BROKEN"), "is no picture"),
        (("blend", "A", "A"), "are the same picture: name two that differ"),
        (("probe", "A", "--ranks", "one"), "'one' are no whole numbers"),
        (("probe", "A", "--ranks", "0,99"), "ranks 0, 99: use numbers of 1 or more"),
        (("probe", "A", "--ranks", "1,99"), "choose from 1 to 6"),
        (("probe", "A", "--pictures", "A"), "is no folder"),
        (("imagine", "a dog", "--noise-level", "9999"), "noise level 9999: choose 0 to"),
        (("imagine", "a dog", "--candidates", "0"), "candidates 0: use 1 or more"),
        (("imagine", " "), "prompt is empty"),
    ],
)
def test_bad_input_is_one_line(
    args: tuple[str, ...], reason: str, folder: str, images: tuple[str, str], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(Path(images[0]).read_bytes()[:50])
    named = {"A": images[0], "BROKEN": str(broken)}
    code, _, err = run(*(named.get(arg, arg) for arg in args), "-o", str(tmp_path / "x.png"), "--model", folder, *QUICK)
    assert code == 2
    assert reason in err
    assert len(err.strip().splitlines()) == 1


def test_an_ordinary_checkpoint_is_refused(tiny_folder: Path, images: tuple[str, str], tmp_path: Path) -> None:
    code, _, err = run("vary", images[0], "-o", str(tmp_path / "x.png"), "--model", str(tiny_folder), *QUICK)
    assert code == 2
    assert "can't draw from an image embedding" in err


def test_a_large_picture_is_resized_with_a_word(folder: str, tmp_path: Path) -> None:
    Image.new("L", (40, 30)).save(tmp_path / "grey.png")
    args = ("vary", str(tmp_path / "grey.png"), "-n", "1", "-o", str(tmp_path / "x.png"), "--model", folder, *QUICK)
    code, _, err = run(*args)
    assert code == 0
    assert "resized to 16 x 16" in err
