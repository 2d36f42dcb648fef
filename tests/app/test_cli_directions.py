"""The commands that fit, keep and use directions, as a person types them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from astrogate.actions.request import digest
from astrogate.core.direction import Direction
from astrogate.core.protocols import Model
from tests.app.test_cli import run
from tests.checkpoints import clip_model

FEW = ("--media", "photo,painting", "--subjects", "dog,cat,horse")


@pytest.fixture
def using(tiny_folder: Path) -> tuple[str, ...]:
    return ("--model", str(tiny_folder), "--steps", "2", "--device", "cpu")


@pytest.fixture
def loading(tiny_folder: Path) -> tuple[str, ...]:
    return ("--model", str(tiny_folder), "--device", "cpu")


@pytest.fixture
def fat(loading: tuple[str, ...], tmp_path: Path) -> Path:
    path = tmp_path / "fat.safetensors"
    code, out, err = run("direction", "fit", "--toward", "fat", "--away", "thin", *FEW, "-o", str(path), *loading)
    assert (code, err) == (0, "")
    assert "fat - thin" in out
    return path


def record(path: Path) -> dict[str, Any]:
    return json.loads(Image.open(path).text["astrogate"])


def test_show_says_what_a_direction_is(fat: Path, tmp_path: Path) -> None:
    svg = tmp_path / "fat.svg"
    code, out, err = run("direction", "show", str(fat), "-o", str(svg))
    assert (code, err) == (0, "")
    quality = Direction.load(fat).origin["quality"]["end"]
    assert f"AUC {quality['auc']:.3f}" in out
    assert "toward |" in out
    assert svg.read_text().lstrip().startswith("<?xml")


def test_slide_takes_saved_directions_together(fat: Path, using: tuple[str, ...], tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    code, _, err = run(
        "slide", "a photo of a dog", "--direction", str(fat), "--direction", "happy:sad", "--also", "dog:cat=0.5",
        "--curve", "0:0,0.5:1", "-n", "3", "-o", str(target), *using
    )  # fmt: skip
    assert (code, err) == (0, "")
    kept = record(target)
    assert [edit["direction"]["toward"] for edit in kept["along"]] == ["fat", "happy"]
    assert [(edit["name"], edit["scale"]) for edit in kept["edits"]] == [("dog - cat", 0.5)]
    assert kept["request"]["also"] == [["dog:cat", 0.5]]
    assert kept["files"] == {str(fat): digest(fat)}


def test_combine_weighs_and_frees(fat: Path, loading: tuple[str, ...], tmp_path: Path) -> None:
    happy, both, free = (tmp_path / f"{name}.safetensors" for name in ("happy", "both", "free"))
    run("direction", "fit", "--toward", "happy", "--away", "sad", *FEW, "-o", str(happy), *loading)
    assert run("direction", "combine", str(fat), str(happy), "--weights", "1,-2", "-o", str(both))[0] == 0
    assert run("direction", "combine", str(fat), str(happy), "--orthogonal", "-o", str(free))[0] == 0
    a, b, c, d = (Direction.load(path).vectors["end"] for path in (fat, happy, both, free))
    assert torch.allclose(c, a - 2 * b, atol=1e-6)
    assert abs(float(d @ b)) < 1e-5 * float(d.norm() * b.norm())
    assert run("direction", "combine", str(fat), "--weights", "1,2", "-o", str(both))[0] == 2
    kept = free.read_bytes()
    for given, said in (
        ((str(fat), str(happy), "--weights", "1,2"), "--weights 1,2 does nothing beside --orthogonal"),
        ((str(fat),), "one file has no others to remove"),
    ):
        code, out, err = run("direction", "combine", *given, "--orthogonal", "-o", str(free))
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert said in err
    assert free.read_bytes() == kept


def test_an_exported_file_gives_the_same_conditioning(
    fat: Path, loading: tuple[str, ...], tiny: Model, tmp_path: Path
) -> None:
    """As ComfyUI's node reads it: states + strength * conditioning_delta."""
    target = tmp_path / "fat-condelta.safetensors"
    code, out, _ = run(
        "direction", "export", str(fat), "--to", "condelta", "--prompt", "a photo of a cat", "--scale", "1.5",
        "-o", str(target), *loading
    )  # fmt: skip
    assert code == 0
    assert "misses by 0.0%" in out
    file, point = load_file(target), tiny.point("a photo of a cat")
    assert set(file) == {"conditioning_delta", "pooled_output"}
    theirs = point.tensors["prompt_embeds"][None] + file["conditioning_delta"]
    states = point.tensors["prompt_embeds"].clone()
    states[1:] += 1.5 * Direction.load(fat).vectors["end"]
    assert theirs.shape == (1, 16, 32)
    assert file["pooled_output"].shape == (1, 32)
    assert (theirs[0] - states).abs().max() <= 1e-6


def test_a_pseudo_word_has_no_prompt(fat: Path, loading: tuple[str, ...], tmp_path: Path) -> None:
    target = tmp_path / "word.safetensors"
    for name, value in (("--prompt", "a cat"), ("--on", "dog")):
        given = ("--to", "textual-inversion", name, value, "-o", str(target), *loading)
        code, out, err = run("direction", "export", str(fat), *given)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert f"{name} '{value}': a word stands in any prompt" in err
    assert not target.exists()


def test_style_grid_and_guide_draw(fat: Path, using: tuple[str, ...], tmp_path: Path) -> None:
    for args, columns, rows in (
        (("style", "a photo of a happy dog", "--phrase", "happy", "-n", "3", "--when", "late", "--in-span"), 3, 1),
        (("grid", "a dog", "--across", str(fat), "--down", "happy:sad", "-n", "3"), 3, 3),
        (("guide", "a dog", "--direction", str(fat), "-n", "2", "--window", "0:1"), 2, 1),
        (("guide", "a dog", "--phrase", "a cat", "-n", "2", "--seeds", "2"), 2, 2),
    ):
        target = tmp_path / "x.png"
        code, _, err = run(*args, "-o", str(target), *using)
        assert (code, err) == (0, ""), args
        width, height = Image.open(target).size
        assert width >= 16 * columns
        assert height >= 16 * rows
        assert record(target)["recipe"]["num_inference_steps"] == 2
        target.unlink()


BAD = {
    "a file that is not there": (("slide", "a dog", "--direction", "no.safetensors"), "does not exist"),
    "a phrase that is not in the prompt": (("style", "a dog", "--phrase", "cat", "--in-span"), "does not contain"),
    "strengths beyond reason": (("style", "a dog", "--phrase", "cat", "--range", "0:9"), "goes from -1 to 1"),
    "nothing to guide by": (("guide", "a dog"), "name one thing"),
    "unknown roles": (("direction", "fit", "--toward", "fat", "--away", "thin", "--roles", "toes", *FEW), "roles"),
    "poles that encode alike": (
        ("direction", "fit", "--toward", "fat", "--away", "f at", *FEW, "--roles", "subject",
         "--template", "a {medium} {subject} {word}"), "alike"
    ),
    "a template without a word": (
        ("direction", "fit", "--toward", "fat", "--away", "thin", *FEW, "--template", "a {medium} {subject}"),
        "has no {word}",
    ),
    "no CLIP for another model": (("direction", "calibrate", "fat.safetensors"), "CLIPModel folder or hub id (clip)"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_2(
    case: str,
    fat: Path,
    using: tuple[str, ...],
    loading: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    args, words = BAD[case]
    code, out, err = run(*args, *(loading if args[1] == "fit" else using))
    assert (code, out) == (2, "")
    assert len(err.strip().splitlines()) == 1, err
    assert words in err
    assert list(tmp_path.iterdir()) == [fat]


def test_a_calibration_says_how_it_was_made(fat: Path, using: tuple[str, ...], tmp_path: Path) -> None:
    clip_model(tmp_path / "clip")
    options = ("--clip", str(tmp_path / "clip"), "--ceiling", "0.01", "--window", "0.5:1", "--hold", "1")
    code, out, err = run("direction", "calibrate", str(fat), "--prompt", "a cat", *options, *using)
    assert (code, err) == (0, "")
    made = Direction.load(fat).origin["calibration"]
    assert f"scale 1 is {made['high']['strength']:+.3g}" in out
    assert [(point["prompt"], point["seed"]) for point in made["points"]] == [("a cat", seed) for seed in range(4)]
    assert (made["placing"], made["hold"]) == ({"on": None, "window": [0.5, 1.0]}, [1.0, 1.0])
    assert made["recipe"]["num_inference_steps"] == 2


def test_calibrated_directions_keep_to_their_range(fat: Path, using: tuple[str, ...], tmp_path: Path) -> None:
    """Each goes from -1 to 1; more than 2 in all is refused."""
    replace(Direction.load(fat), calibration=(-3.0, 1.5)).save(fat)
    target = tmp_path / "x.png"
    slide = ("slide", "a dog", "--direction", str(fat), "-n", "3", "-o", str(target), *using)
    assert run(*slide)[0] == 0
    assert record(target)["scales"] == [-1, 0, 1]
    target.unlink()
    for args, reason in (
        ((*slide, "--range=-3:3"), "is calibrated from -1 to 1"),
        ((*slide, "--also", f"{fat}=1.5"), "is calibrated from -1 to 1"),
        ((*slide, "--also", f"{fat}=1", "--direction", str(fat)), "2 together"),
        (
            ("grid", "a dog", "--across", str(fat), "--down", str(fat), "--range=-2:2", "-o", str(target), *using),
            "is calibrated from -1 to 1",
        ),
    ):
        code, _, err = run(*args)
        assert code == 2
        assert reason in err
        assert not target.exists()


def test_directions_of_another_model_and_cut_off_files_are_refused(
    fat: Path, tiny_folders: Any, tmp_path: Path
) -> None:
    other = ("--model", str(tiny_folders("stable_diffusion_xl")), "--device", "cpu", "-o", str(tmp_path / "x.png"))
    code, _, err = run("slide", "a dog", "--direction", str(fat), *other)
    assert code == 2
    assert "found in another model" in err
    fat.write_bytes(fat.read_bytes()[:200])
    code, _, err = run("direction", "show", str(fat))
    assert code == 2
    assert len(err.strip().splitlines()) == 1
