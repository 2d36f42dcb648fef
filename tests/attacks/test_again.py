"""Drawn again: whatever the model has otherwise is told; nothing that is read is written over, nothing is mixed."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import astrogate as ag
from astrogate.models.loading.load import load, wrap
from astrogate.rendering.record import save_png
from tests.app.test_cli import run

PROMPT, RECIPE = "a painting of a fat dog", ag.Recipe(2)
SLIDE = ("slide", "a painting of a dog", "--toward", "fat", "--away", "thin", "-n", "3", "--steps", "2")


def told(path: Path, **options: Any) -> list[str]:
    """What is said when a file is drawn again."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        ag.again(path, **options)
    return [str(warning.message) for warning in seen if issubclass(warning.category, ag.AstrogateWarning)]


def saved(model: Any, path: Path) -> Path:
    (frame,) = ag.render(model, model.point(PROMPT, seed=1), recipe=RECIPE)
    save_png(frame.image, path, frame=frame)
    return path


def other_scheduler(pipe: Any) -> None:
    from diffusers import EulerAncestralDiscreteScheduler

    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)


def other_decoder(pipe: Any) -> None:
    with torch.no_grad():
        pipe.vae.decoder.conv_out.weight.mul_(2)


def an_adapter(pipe: Any) -> None:
    from peft import LoraConfig

    pipe.unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_k"]))


def a_hook(pipe: Any) -> None:
    pipe.unet.mid_block.register_forward_hook(lambda module, args, out: out * 2)


@pytest.mark.parametrize("change", [other_scheduler, other_decoder, an_adapter])
def test_what_python_changed_is_told(tiny_folder: Path, tmp_path: Path, change: Callable[[Any], None]) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    change(pipe)
    path = saved(wrap(pipe, str(tiny_folder)), tmp_path / "x.png")
    (line,) = told(path)
    assert "decoder, adapters, scheduler, hooks or settings are not those that drew it" in line
    assert told(path, model=wrap(pipe, str(tiny_folder))) == []
    code, _, err = run("again", str(path), "-o", str(tmp_path / "y.png"))
    assert (code, line in err) == (0, True)


def test_code_of_others_is_told(tiny_folder: Path, tmp_path: Path) -> None:
    model: Any = load(str(tiny_folder), device="cpu")
    a_hook(model.pipe)
    path = saved(model, tmp_path / "x.png")
    for lines in (told(path), told(path, model=model)):
        assert ["code of others worked in the model" in line for line in lines] == [True]


def test_other_weights_are_told(tiny_folder: Path, tmp_path: Path) -> None:
    model = load(str(tiny_folder), device="cpu")
    point = model.point(PROMPT)
    with torch.no_grad():
        model.pipe.unet.conv_out.weight.mul_(3)  # type: ignore[attr-defined]
    (frame,) = ag.render(model, point, recipe=RECIPE)
    save_png(frame.image, tmp_path / "x.png", frame=frame)
    assert len(told(tmp_path / "x.png")) == 1


def test_a_dtype_comes_again(tiny_folder: Path, tmp_path: Path) -> None:
    half = load(str(tiny_folder), device="cpu", dtype="bfloat16")
    path = saved(half, tmp_path / "x.png")
    assert told(path) == []
    assert told(path, dtype="float32") == []
    assert "drawn in bfloat16" in told(path, model=load(str(tiny_folder), device="cpu"))[0]


@pytest.mark.parametrize("target", ["y.png", "y.gif", "y"])
def test_a_folder_whose_weights_changed_is_told(tiny_folder: Path, tmp_path: Path, target: str) -> None:
    folder, path = shutil.copytree(tiny_folder, tmp_path / "model"), tmp_path / "x.png"
    assert run(*SLIDE, "--model", str(folder), "--device", "cpu", "-o", str(path))[0] == 0
    assert run("again", str(path), "-o", str(tmp_path / "again.png"))[2] == ""
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["conv_out.weight"] *= 3
    save_file(tensors, file, {"format": "pt"})
    code, _, err = run("again", str(path), "-o", str(tmp_path / target))
    assert (code, len(err.splitlines())) == (0, 1)
    assert "the model's weights are not those that drew it" in err
    other = shutil.copytree(folder, tmp_path / "other")
    assert run("again", str(path), "--set", f"model={other}", "-o", str(tmp_path / "z.png"))[2] == ""


def test_what_python_drew_loses_nothing_in_silence(tiny: Any, tmp_path: Path) -> None:
    path = saved(tiny, tmp_path / "x.png")
    code, _, err = run("again", str(path), "-o", str(tmp_path / "y.gif"))
    assert (code, "it can't be drawn again" in err) == (0, True)
    assert run("again", str(path), "-o", str(tmp_path / "frames"))[::2] == (0, "")
    assert run("again", str(tmp_path / "frames"), "-o", str(tmp_path / "more"))[::2] == (0, "")
    first, second = (Image.open(place).tobytes() for place in (path, tmp_path / "more" / "00000.png"))
    assert first == second
    (tmp_path / "frames" / "00001.png").write_bytes((tmp_path / "y.gif").read_bytes())
    code, _, err = run("again", str(tmp_path / "frames"), "-o", str(tmp_path / "z.png"))
    assert (code, "00001.png has no record" in err) == (2, True)


def test_one_frame_of_what_python_drew_comes_alone(tiny: Any, tmp_path: Path) -> None:
    edit = ag.contrast(tiny, "fat", "thin", media=("painting",), subjects=("dog",)).at(point := tiny.point(PROMPT))
    ag.strip(tiny, point, edit, -1, 1, n=3, recipe=RECIPE).save(tmp_path / "strip.png")
    assert run("again", str(tmp_path / "strip.png"), "-o", str(tmp_path / "frames"))[::2] == (0, "")
    last = tmp_path / "frames" / "00002.png"
    (frame,) = ag.again(last)
    assert np.abs(np.asarray(frame.image).astype(int) - np.asarray(Image.open(last))).max() <= 1  # drawn with no others


OVER = {
    "the picture": ("vary", "a.png", "-o", "a.png"),
    "by another name": ("vary", "a.png", "-o", "./sub/../a.png"),
    "a link to it": ("vary", "a.png", "-o", "link.png"),
    "the second one": ("blend", "a.png", "b.png", "-o", "b.png"),
    "the folder of it": ("diff", "00000.png", "--after", "a dog", "-o", "."),
    "the folder of pictures": ("probe", "sub/c.png", "--pictures", "pics", "--ranks", "1", "-o", "pics"),
    "where a walk starts": ("walk", "a dog", "--start-image", "a.png", "-o", "a.png"),
    "a direction": ("slide", "a dog", "--direction", "d.png", "-o", "d.png"),
}


@pytest.mark.parametrize("kind", OVER)
def test_what_is_read_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png", "00000.png", "sub/c.png", "pics/1.png", "pics/2.png", "d.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (len(name), 9, ord(name[0]))).save(name)
    Path("link.png").symlink_to("a.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    code, _, err = run(*OVER[kind])
    assert (code, len(err.splitlines())) == (2, 1)
    assert "which is read" in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


@pytest.mark.parametrize("name", ["cat.png", "1.png", "00007.jpg", "00007.png", "000001.png", "a.JPG"])
def test_frames_are_not_mixed_with_other_pictures(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / name)
    code, _, err = run(*SLIDE, "--model", str(tiny_folder), "--device", "cpu", "-o", str(tmp_path))
    assert (code, f"holds {name}, too" in err) == (2, True)
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [name]


@pytest.mark.parametrize(
    "asked",
    [
        ("blend", "a.png", "b.png", "--noises", "100", "-n", "1000"),
        ("vary", "a.png", "--seeds", "1000", "-n", "11"),
        (*SLIDE, "--seeds", "1000", "-n", "1000"),
        ("insert", "a dog", "fat", "--before", "dog", "--seeds", "1000", "-n", "50"),
    ],
    ids=["blend", "vary", "slide", "insert"],
)
def test_too_many_pictures_are_refused_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (16, 16), (i, i, i)).save(name)
    code, _, err = run(*asked, "--model", "nowhere", "-o", "frames")
    assert code == 2
    assert "ask for at most 10,000 at once" in err


def test_one_frame_of_a_folder_comes_alone(tiny_folder: Path, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    asked = (*SLIDE, "--model", str(tiny_folder), "--device", "cpu")
    assert run(*asked, "-o", str(frames))[0] == 0
    code, out, err = run("again", str(frames / "00001.png"), "-o", str(tmp_path / "one.png"))
    assert (code, err) == (0, "")
    assert out.strip().endswith("frame 1, the same bytes")
    assert run("again", str(frames / "00001.png"))[1].startswith(str(tmp_path / "again-frames-00001.png"))
    assert run(*asked, "-o", str(frames))[0] == 0
    (frame,) = ag.again(frames / "00002.png")
    assert frame.image.tobytes() == Image.open(frames / "00002.png").tobytes()
    code, _, err = run("again", str(frames / "00002.png"), "--set", "n=2", "-o", str(tmp_path / "x.png"))
    assert (code, "frame 2 of 2" in err) == (2, True)
    (frames / "notes.txt").write_text("mine")
    assert run("again", str(frames), "-o", str(tmp_path / "all"))[1].strip().endswith("the same bytes")


@pytest.mark.parametrize("name", ["model_index.json", "x.safetensors"])
def test_no_frames_among_the_files_of_a_checkpoint(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    code, _, err = run(*SLIDE, "--model", str(tiny_folder), "--device", "cpu", "-o", str(tmp_path))
    assert (code, f"holds {name}, too" in err) == (2, True)


def test_a_direction_that_is_read_is_not_written_over(tiny: Any, tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    ag.contrast(tiny, "fat", "thin", media=("painting",), subjects=("dog",)).save(path)
    before, model = path.read_bytes(), ("--model", str(tiny_folder))
    for asked in (("combine", str(path)), ("export", str(path), "--to", "condelta", *model)):
        code, _, err = run("direction", *asked, "-o", str(path))
        assert (code, "which is read" in err) == (2, True)
    assert path.read_bytes() == before
