"""Inputs of the faults' list by the command line, as they are typed, and further members of their kinds."""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import astrogate as ag
from astrogate.core import archive
from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Parts, Steer
from astrogate.core.texts import check_text
from astrogate.models.loading.load import load
from astrogate.rendering.video import video
from astrogate.studies.kit.jobs import Store
from astrogate.studies.path.sweep import read_sweep
from astrogate.train.kit.data import build_data, keep_rows, open_data
from astrogate.train.kit.pairs import picture_pairs
from astrogate.train.kit.pictures import captioned, picture_data
from tests.app.test_cli import run

PROMPT = "a painting of a dog"
VECTOR = torch.linspace(-1, 1, 32)


def refused(*args: str, match: str = "") -> str:
    """A command that is refused in one line, with exit 2."""
    code, out, err = run(*args)
    assert code == 2, (out, err)
    assert len(err.strip().splitlines()) == 1, err
    assert match in err, err
    return err


def drawing(folder: Path, *more: str) -> tuple[str, ...]:
    return ("slide", PROMPT, "--direction", "fat:thin", "--model", str(folder), "--steps", "1", "-n", "2", *more)


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


@pytest.fixture
def found(tmp_path: Path) -> Path:
    path = tmp_path / "d.safetensors"
    ag.Direction({"end": VECTOR}, "0123", "fat - thin", {"method": "contrast"}).save(path)
    return path


# checkpoints


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_part_without_weights_is_one_line(folder: Path, tmp_path: Path, part: str) -> None:
    for path in (folder / part).glob("*.safetensors"):
        path.unlink()
    ran = subprocess.run(
        [sys.executable, "-m", "astrogate", *drawing(folder, "-o", str(tmp_path / "x.png"))],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert ran.returncode == 2
    assert len(ran.stderr.strip().splitlines()) == 1, ran.stderr


def test_a_single_file_without_a_text_encoder(folder: Path, tmp_path: Path) -> None:
    source = folder / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(source, tmp_path / "unet.safetensors")
    args = drawing(folder)[:4]
    refused(*args, "--model", str(tmp_path / "unet.safetensors"), "--config", str(folder))


def test_a_single_files_config_imports_nothing_else(folder: Path, tmp_path: Path) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "unet": ["antigravity", "UNet2DConditionModel"]}))
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(AstrogateError, match="antigravity"):
        load(str(tmp_path / "x.safetensors"), config=str(folder), device="cpu")
    assert "antigravity" not in sys.modules


def test_a_sample_size_that_is_not_said(folder: Path, tmp_path: Path) -> None:
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": None}))
    out = str(tmp_path / "x.png")
    refused(*drawing(folder, "-o", out), match="size of its pictures")
    code, _, err = run(*drawing(folder, "--size", "16", "-o", out))
    assert code == 0, err
    refused("pan", PROMPT, "--model", str(folder), "--size", "16", "--steps", "1", "--stride", "8", "-o", out)


def test_a_config_inside_a_config_is_counted(tmp_path: Path) -> None:
    from tests.checkpoints import clip_model

    clip_model(tmp_path / "clip")
    config = tmp_path / "clip" / "config.json"
    settings = json.loads(config.read_text())
    for part, changes in (("text_config", {"num_hidden_layers": 10**6}), ("vision_config", {"patch_size": 0})):
        config.write_text(json.dumps({**settings, part: {**settings[part], **changes}}))
        started = time.monotonic()
        with pytest.raises(AstrogateError):
            ag.Clip(tmp_path / "clip")
        assert time.monotonic() - started < 10


# directions, bases, edits


@pytest.mark.parametrize(
    "origin",
    [
        {"quality": {"end": {}}},
        {"quality": "x"},
        {"quality": {"end": {"there": "x", "back": [1.0], "auc": 1.0, "standard_error": 0.1}}},
    ],
)
def test_show_of_an_odd_direction(tmp_path: Path, origin: dict[str, Any]) -> None:
    ag.Direction({"end": VECTOR}, "0123", "x", origin).save(tmp_path / "d")
    refused("direction", "show", str(tmp_path / "d"), match="quality")


@pytest.mark.parametrize("text", ["[1]", "null", "[" * 100_000, '"x"'])
def test_directions_whose_metadata_are_others(tmp_path: Path, text: str) -> None:
    told = json.dumps({"format": "astrogate-direction-1"})[:-1] + f', "origin": {text}}}'
    save_file({"end": VECTOR}, tmp_path / "d", {"astrogate": told})
    path = str(tmp_path / "d")
    refused("direction", "show", path)
    refused("direction", "combine", path, path, "-o", str(tmp_path / "e"))


@pytest.mark.parametrize("vector", [VECTOR * float("nan"), VECTOR / 0, VECTOR.to(torch.int32)])
def test_directions_of_no_numbers(tmp_path: Path, vector: torch.Tensor) -> None:
    told = {"model": "0", "name": "x", "origin": {}, "calibration": None}
    archive.write(tmp_path / "d", {"end": vector}, told, format="astrogate-direction-1")
    refused("direction", "show", str(tmp_path / "d"))


def test_weights_without_bounds(found: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "x.safetensors")
    refused("direction", "combine", str(found), str(found), "--weights", "1e308,1e308", "-o", out)
    assert not Path(out).exists()


def test_names_do_not_reach_the_terminal_raw(tmp_path: Path) -> None:
    ag.Direction({"end": VECTOR}, "0123", "\x1b]0;x\x07\x1b[2K", {}).save(tmp_path / "d")
    for args in (("show", "d"), ("combine", "d", "d", "-o", "e")):
        code, out, err = run("direction", args[0], *(str(tmp_path / a) if len(a) == 1 else a for a in args[1:]))
        assert code == 0
        assert "\x1b" not in out + err


@pytest.mark.parametrize(
    "place", [{"x": 1}, {"x": "y"}, {"before": "a ", "concept": "dog", "after": 7, "standin": "cat"}]
)
def test_a_basis_in_an_odd_place(tiny: Any, tiny_folder: Path, tmp_path: Path, place: dict[str, Any]) -> None:
    basis = Basis(("a",), torch.ones(1), {"x": VECTOR[None]}, {"x": 1.0}, 1, tiny.fingerprint, "b", {"place": place})
    basis.save(tmp_path / "b")
    refused("manipulate", str(tmp_path / "b"), "--token", "a", "--model", str(tiny_folder), match="place")


@pytest.mark.parametrize("half", ["Positive", "", "all", None])
def test_a_half_that_there_is_not(half: Any) -> None:
    with pytest.raises(AstrogateError, match="half"):
        Steer({"prompt_embeds": VECTOR}, half=half)


@pytest.mark.parametrize("shape", [(20, 32), (15, 32), (32,), (16, 31), (1, 16, 32)])
def test_moves_of_another_shape(tiny: Any, shape: tuple[int, ...]) -> None:
    edit = ag.Edit(Parts((Steer({"prompt_embeds": torch.ones(shape)}),)))
    with pytest.raises(AstrogateError, match="numbers in prompt_embeds"):
        tiny.denoise([tiny.point(PROMPT).apply(edit, 1.0)], ag.Recipe(1))


def test_templates_are_no_programs(tiny_folder: Path) -> None:
    for template in (
        "{medium!r:>1000000000} {word} {subject}",
        "{word.__class__}",
        "{}",
        "{0}",
        "{word:>9}",
        "{medium",
    ):
        refused("direction", "fit", "--toward", "fat", "--template", template, "--model", str(tiny_folder))


# texts


def test_half_a_character_is_no_text(tiny: Any, clip: Any, tmp_path: Path, tiny_folder: Path) -> None:
    for bad in ("\udcff", "a \ud800 dog"):
        for use in (tiny.point, lambda text: tiny.encode([text]), tiny.segments, lambda text: clip.texts([text])):
            with pytest.raises(AstrogateError, match="is no text"):
                use(bad)
        with pytest.raises(AstrogateError, match="is no text"):
            tiny.point(PROMPT, negative=bad)
        refused("direction", "fit", "--toward", bad, "--model", str(tiny_folder), "-o", str(tmp_path / "d"))
    check_text("ő 猫 \U0001f600")


def test_captions_that_are_no_text_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    rows = [
        {"file_name": "a.png", "text": None},
        {"file_name": "b.png", "text": "a\u2028dog"},
        {"file_name": "c.png", "text": 7},
    ]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows] + ['{"file_name": "d.png", "text": "\\ud800"}']
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    assert [path.name for path in captioned(tmp_path)] == ["b.png"]


def test_a_dangling_link_is_left_out_by_every_training(tiny: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Image.new("RGB", (32, 32)).save(data / "a.png")
    (data / "b.png").symlink_to("/nonexistent")
    (data / "c.png").write_bytes(b"\x89PNG no picture")
    for name in "abc":
        (data / f"{name}.txt").write_text("a dog")
    with pytest.warns(UserWarning, match="2 left out"):
        assert len(picture_data(tmp_path / "made", data, size=16)) == 1
    with pytest.warns(UserWarning, match="2 left out"):
        assert len(picture_pairs(tiny, data, tmp_path / "run").captions) == 1
    assert "b.png" in (tmp_path / "run" / "left-out.txt").read_text()


# bounds


def test_sweeps_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    prompts, pairs = [f"a dog {i}" for i in range(2000)], [[i, i + 1] for i in range(2000)]
    ways = [["lerp", "uniform"], ["slerp", "even"], ["nlerp", "eased"]]
    path.write_text(f"prompts = {json.dumps(prompts)}\npairs = {pairs}\nways = {json.dumps(ways)}\n")
    with pytest.raises(AstrogateError, match="12,000,000 paths"):
        read_sweep(path)
    endless = tmp_path / "endless.toml"
    endless.symlink_to("/dev/zero")
    started = time.monotonic()
    refused("sweep", str(endless))
    assert time.monotonic() - started < 20


def test_counts_are_bounded_before_anything_is_loaded(tiny_folder: Path, tmp_path: Path) -> None:
    absent = str(tmp_path / "no-model")
    for args in (
        ("walk", PROMPT, "-n", "100000000"),
        ("walk", PROMPT, "--batch-size", "1000000"),
        ("slide", PROMPT, "--direction", "fat:thin", "-n", "100000"),
        ("imagine", PROMPT, "--candidates", "1000000000"),
        ("explain", PROMPT, "--batch-size", "1001"),
        ("explain", PROMPT, "--fit-batch", "1001"),
        ("train", "student", "--drawings", "5"),
    ):
        err = refused(*args, "--model", absent)
        assert "no-model" not in err
    with pytest.raises(AstrogateError, match="batch size 1000000"):
        ag.render(None, [], batch_size=1_000_000)  # type: ignore[arg-type]


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", None, 10**6])
def test_a_strip_has_a_whole_number_of_pictures(tiny: Any, n: Any) -> None:
    point = tiny.point(PROMPT)
    with pytest.raises(AstrogateError, match="pictures"):
        ag.strip(tiny, point, ag.Edit(Parts()), n=n)


def test_numbers_of_thousands_of_digits(tiny: Any) -> None:
    with pytest.raises(AstrogateError, match="seed"):
        tiny.point(PROMPT, seed=10**5000)


# pictures and files


def header(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, with hardly any pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")


def test_headers_that_claim_too_much(tmp_path: Path) -> None:
    cache = ag.FrameCache(tmp_path / "cache")
    cache.put("ab12", Image.new("RGB", (16, 16)))
    (kept,) = (tmp_path / "cache").rglob("*.png")
    kept.write_bytes(header(60_000, 60_000))
    assert cache.get("ab12") is None
    kept.unlink()
    os.mkfifo(kept)
    assert cache.get("ab12") is None
    bomb = tmp_path / "bomb.png"
    bomb.write_bytes(header(60_000, 60_000))
    for args in (("show", str(bomb)), ("again", str(bomb)), ("vary", str(bomb))):
        refused(*args)


def test_a_frame_under_another_name_is_not_that_frame(tmp_path: Path) -> None:
    cache, store = ag.FrameCache(tmp_path / "cache"), Store(tmp_path / "store")
    cache.put("ab12", Image.new("RGB", (16, 16)))
    store.put("ab12", {"a": 1}, {"b": 2})
    (kept,) = (tmp_path / "cache").rglob("*.png")
    shutil.copy(kept, kept.with_name("ab34.png"))
    shutil.copy(tmp_path / "store" / "ab12.json", tmp_path / "store" / "ab34.json")
    assert cache.get("ab12") is not None
    assert store.get("ab12") is not None
    assert cache.get("ab34") is None
    assert store.get("ab34") is None


@pytest.mark.parametrize(
    "args",
    [
        ("direction", "show", "d.safetensors", "-o", "x.png"),
        ("direction", "fit", "--toward", "fat", "-o", "x.png"),
        ("direction", "combine", "d.safetensors", "-o", "x.svg"),
        ("explain-image", "run", "-o", "x.jpg"),
        ("sweep", "s.toml", "--page", "x.json"),
        ("card", "-o", "x.json"),
        ("bench", "leakage", "-o", "x.json"),
    ],
)
def test_a_suffix_that_belies_the_format(args: tuple[str, ...], found: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text('prompts = ["a"]\npairs = [[1, 2]]\nways = [["lerp", "uniform"]]\n')
    refused(*args, match="let it end in")


@pytest.mark.parametrize("where", ["/proc/x.png", "/proc/1/x.png", "/sys/x.png"])
def test_a_link_to_where_nothing_can_be_written(tiny_folder: Path, tmp_path: Path, where: str) -> None:
    (tmp_path / "x.png").symlink_to(where)
    started = time.monotonic()
    refused(*drawing(tmp_path / "no-model", "-o", str(tmp_path / "x.png")), match="cannot write")
    assert time.monotonic() - started < 10


def test_a_cut_off_video_is_refused_or_read_whole(tiny: Any, tmp_path: Path) -> None:
    frames = list(ag.render(tiny, [tiny.point(PROMPT, seed=s) for s in range(8)], recipe=ag.Recipe(1)))
    video(frames, tmp_path / "x.mp4", tile=64)
    whole = (tmp_path / "x.mp4").read_bytes()
    for share in (0.2, 0.5, 0.9):
        (tmp_path / "cut.mp4").write_bytes(whole[: int(share * len(whole))])
        refused("score", str(tmp_path / "cut.mp4"))


def test_show_opens_files_alone(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipe:0").write_bytes(b"\0\0\0\x18ftypisom" + bytes(64))
    started = time.monotonic()
    refused("show", "pipe:0")
    assert time.monotonic() - started < 10


def test_a_command_without_an_error_stream(tiny_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "astrogate", *drawing(tiny_folder, "-o", str(tmp_path / "x.png"))]
    ran = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *command], capture_output=True, timeout=240)
    assert ran.returncode == 0
    assert Image.open(tmp_path / "x.png").width > 16


def test_labels_tell_scales_apart(tiny_folder: Path) -> None:
    from astrogate.rendering.strip import labels, spaced

    for low, high, n in ((0.5, 0.504, 3), (0, 0.001, 5), (1, 1.00001, 3)):
        assert len(set(labels(spaced(low, high, n), ""))) == n


# two at once, and what is kept


class Slow:
    """A chunk's arrays, slowly."""

    def __init__(self, items: range) -> None:
        self.items = items

    def __call__(self) -> dict[str, np.ndarray]:
        time.sleep(0.2)
        return {"images": np.full((len(self.items), 4, 4, 3), 1 + self.items.start % 200, np.uint8)}


def test_two_that_build_one_data_set(tmp_path: Path) -> None:
    failed = list[BaseException]()

    def build() -> None:
        try:
            build_data(tmp_path / "data", 40, {"a": 1}, Slow, workers=1, chunk=10)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=build) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    assert all(isinstance(error, AstrogateError) for error in failed), failed
    images = open_data(tmp_path / "data").arrays["images"]
    assert [int(image[0, 0, 0]) for image in images[::10]] == [1, 11, 21, 31]
    assert not [path for path in tmp_path.iterdir() if path.name != "data"]


def test_data_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    make = partial(build_data, tmp_path / "data", 20, {"a": 1}, Slow, workers=1, chunk=10)
    make()
    for name, content in (("images.npy", b"\x93NUMPY"), ("done.json", b"{"), ("images.npy", b"")):
        (tmp_path / "data" / name).write_bytes(content)
        assert int(make().arrays["images"][10, 0, 0, 0]) == 11
    rows = [np.ones((2, 3), np.float16)]
    for content in (b"", b"\x93NUMPY\x01\x00", b"x" * 300):
        (tmp_path / "rows.npy").write_bytes(content)
        assert keep_rows(tmp_path / "rows.npy", 2, rows).shape == (2, 3)


# the caller's state


@pytest.mark.parametrize(
    "state",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16), lambda: torch.device("meta")],
)
def test_what_learns_learns_whatever_the_caller_switched_off(
    tiny: Any, clip: Any, state: Callable[[], Any], monkeypatch: Any
) -> None:
    words: dict[str, Any] = {"media": ("painting",), "subjects": ("dog", "cat", "horse")}
    found = ag.contrast(tiny, "fat", "thin", media=("painting",), subjects=("dog", "cat"))
    dark = torch.zeros(1, 3, 32, 32)

    def both() -> tuple[Any, ...]:
        fitted = ag.textual_inversion(tiny, found, fit_steps=3, **words)
        *_, last = ag.clip_guided(tiny, clip, [tiny.point(PROMPT)], "a cat", recipe=ag.Recipe(3, scheduler="DDIM"))
        far = clip.between(dark, 1 - dark)
        return fitted.vectors[0], np.asarray(last.frames[0].image), far

    plain = both()
    with state():
        again = both()
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(plain, again, strict=True))


def test_a_compiled_or_subfoldered_part_is_the_same_model(tiny_folder: Path) -> None:
    from diffusers import UNet2DConditionModel

    model: Any = load(str(tiny_folder), device="cpu")
    own = model.fingerprint
    pipe: Any = load(str(tiny_folder), device="cpu").pipe  # type: ignore[attr-defined]
    pipe.unet = UNet2DConditionModel.from_pretrained(tiny_folder, subfolder="unet", torch_dtype=torch.float16)
    assert ag.wrap(pipe).fingerprint == own
    pipe.unet = torch.compile(load(str(tiny_folder), device="cpu").pipe.unet)  # type: ignore[attr-defined]
    assert ag.wrap(pipe).fingerprint == own
    before = model.weights
    model.pipe.vae.register_to_config(scaling_factor=0.5)
    assert model.weights != before


def test_upsamplers_are_looked_at_too() -> None:
    from astrogate.models.unclip.upsampling import Upsampler
    from astrogate.train.parts.upsampler import upsampler_scheduler

    class Broken(torch.nn.Module):
        device, dtype = torch.device("cpu"), torch.float32

        def forward(self, x: torch.Tensor, t: Any) -> Any:
            return type("Out", (), {"sample": x[:, :3] * float("nan")})

    upsample = Upsampler(Broken(), upsampler_scheduler(), num_inference_steps=2)
    with pytest.raises(AstrogateError, match="enlarged pictures are not finite"):
        upsample(torch.zeros(1, 3, 8, 8), seeds=[0])
