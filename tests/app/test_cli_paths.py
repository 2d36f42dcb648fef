"""The commands that travel, as a person types them."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from PIL import Image

from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.adapter import PipelineModel
from astrogate.models.sampler.fast import fast, has_bfloat16
from tests.app.test_cli import run
from tests.checkpoints import clip_model


@pytest.fixture
def using(tiny_folder: Path, tmp_path: Path) -> tuple[str, ...]:
    common = ("--model", str(tiny_folder), "--steps", "2", "--device", "cpu", "--batch-size", "4")
    return (*common, "--cache", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("clip")
    clip_model(folder)
    return str(folder)


def record(path: Path) -> dict[str, Any]:
    return json.loads(Image.open(path).text["astrogate"])


def seeds_of(folder: Path) -> list[Any]:
    return [record(path)["point"] for path in sorted(folder.glob("*.png"))]


def walked(*given: str) -> None:
    code, _, err = run("walk", *given)
    assert (code, err) == (0, "")


def test_from_seed_to_seed_into_a_video(using: tuple[str, ...], tmp_path: Path) -> None:
    import av

    target = tmp_path / "walk.mp4"
    walked("a cat", "--from-seed", "1", "--to-seed", "2", "-n", "6", "--fps", "6", "-o", str(target), *using)
    with av.open(str(target)) as video:
        assert len(list(video.decode(video=0))) == 6


def test_both_ends_come_from_one_generator_by_default(using: tuple[str, ...], tmp_path: Path) -> None:
    walked("a cat", "--seed", "3", "-n", "3", "--by", "nlerp", "-o", str(tmp_path / "frames"), *using)
    first, middle, last = seeds_of(tmp_path / "frames")
    assert first["seed"] == last["seed"] == 3
    assert last["draw"] == 1
    assert middle["walk"]["u"] == 0.5
    assert middle["walk"]["by"] == "nlerp"
    assert middle["walk"]["to"]["draw"] == 1


def test_several_prompts_hold_their_noise_or_move_it(using: tuple[str, ...], tmp_path: Path) -> None:
    three = ("--prompts", "a dog", "--prompts", "a cat", "--prompts", "a man")
    walked(*three, "-n", "5", "-o", str(tmp_path / "held"), *using)
    points = seeds_of(tmp_path / "held")
    assert [p["prompt"] for p in points[::2]] == ["a dog", "a cat", "a man"]
    assert {p["seed"] for p in points} == {0}
    walked(*three, "--from-seed", "1", "--to-seed", "2", "-n", "5", "-o", str(tmp_path / "moved"), *using)
    moved = seeds_of(tmp_path / "moved")
    assert [p["seed"] for p in moved[::4]] == [1, 2]
    assert (moved[2]["prompt"], moved[2]["noise"]["u"], moved[2]["noise"]["to"]["seed"]) == ("a cat", 0.5, 2)


def test_loops_come_back(using: tuple[str, ...], tmp_path: Path) -> None:
    walked("a cat", "--loop", "-n", "4", "-o", str(tmp_path / "circle"), *using)
    assert [p.get("circle", {"u": 0})["u"] for p in seeds_of(tmp_path / "circle")] == [0, 0.25, 0.5, 0.75]
    walked("--prompts", "a dog", "--prompts", "a cat", "--loop", "-n", "4", "-o", str(tmp_path / "back"), *using)
    assert [p["prompt"] for p in seeds_of(tmp_path / "back")[::2]] == ["a dog", "a cat"]


def test_a_second_run_takes_every_frame_from_the_cache(using: tuple[str, ...], tmp_path: Path) -> None:
    walked("a cat", "-n", "5", "-o", str(tmp_path / "a"), *using)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.png")}
    assert len(kept) == 5
    walked("a cat", "-n", "9", "-o", str(tmp_path / "b"), *using)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.png")}
    assert len(after) == 9
    assert kept.items() <= after.items()


@pytest.mark.parametrize("timing", ["eased", "even", "retimed"])
def test_timings(timing: str, using: tuple[str, ...], clip_folder: str, tmp_path: Path) -> None:
    out = tmp_path / "frames"
    walked("a cat", "--timing", timing, "-n", "6", "--clip", clip_folder, "-o", str(out), *using)
    assert len(list(out.glob("*.png"))) == 6
    if timing == "retimed":
        assert len(list((tmp_path / "cache").rglob("*.png"))) == 6


@pytest.mark.parametrize(("given", "drawn"), [((), 6), (("--batch-size", "2"), 2)])
def test_fast_takes_its_own_batch_unless_one_is_named(
    given: tuple[str, ...], drawn: int, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    denoise = PipelineModel.denoise
    monkeypatch.setattr(
        PipelineModel,
        "denoise",
        lambda self, points, recipe: sizes.append(len(points)) or denoise(self, points, recipe),
    )
    quick = ("--fast", "--model", str(tiny_folder), "--steps", "2", "--device", "cpu", "--cache", str(tmp_path / "c"))
    walked("a cat", "-n", "6", "-o", str(tmp_path / "fast"), *quick, *given)
    assert set(sizes) == {drawn}


def test_fast_walks_leave_no_trace(using: tuple[str, ...], tiny: Model, tmp_path: Path) -> None:
    walked("a cat", "--fast", "-n", "4", "-o", str(tmp_path / "fast"), *using)
    drawn = {record(path)["recipe"]["dtype"] for path in (tmp_path / "fast").glob("*.png")}
    assert drawn == {"bfloat16" if has_bfloat16("cpu") else None}
    unet = tiny.module("unet")
    with fast(tiny, Recipe(2), 3) as (recipe, batch):
        assert (batch, recipe.num_inference_steps) == (3, 2)
        assert "forward" not in vars(unet)
    with fast(tiny, Recipe(2), 5000):
        assert "forward" in vars(unet) or which("g++") is None
    assert "forward" not in vars(unet)


def test_pictures_as_ends(using: tuple[str, ...], tiny_folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "start.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(picture)
    given = ("--start-image", str(picture), "--guidance", "1", "-n", "3", "-o", str(tmp_path / "f"))
    code, out, err = run("walk", "a cat", *given, *using)
    assert code == 0
    assert "resized" in err
    assert "start.png comes back at" in err
    assert "dB: expect another picture" in err
    assert out.strip() == f"{tmp_path / 'f'}: 3 frames"
    assert record(tmp_path / "f" / "00000.png")["recipe"]["scheduler"] == "DDIM"
    assert seeds_of(tmp_path / "f")[0]["iterations"] == 10
    code, _, err = run("walk", "a cat", "--start-image", str(picture), "--scheduler", "EulerDiscrete", *using)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "draw a picture back" in err


@pytest.mark.parametrize("how", ["noise", "columns", "canvas"])
def test_pans(how: str, using: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "frames"
    given = ("--wide", "2") if how == "canvas" else ("--seeds", "2")
    code, _, err = run("pan", "a cat", "--how", how, *given, "-n", "5", "-o", str(out), *using)
    assert (code, err) == (0, "")
    assert len(list(out.glob("*.png"))) == 5
    assert len({path.read_bytes()[-500:] for path in out.glob("*.png")}) == 5


def test_a_canvas_as_one_picture(using: tuple[str, ...], tmp_path: Path) -> None:
    target = tmp_path / "canvas.png"
    code, _, err = run("pan", "a cat", "--how", "canvas", "--wide", "3", "-o", str(target), *using)
    assert (code, err) == (0, "")
    image = Image.open(target)
    assert image.width == 3 * image.height
    assert record(target)["recipe"]["stride"] == 8


def test_score_reads_folders_and_videos(using: tuple[str, ...], clip_folder: str, tmp_path: Path) -> None:
    for target in (tmp_path / "frames", tmp_path / "walk.mp4"):
        walked("a cat", "-n", "5", "-o", str(target), *using)
        code, out, err = run("score", str(target), "--clip", clip_folder, "--text", "a cat", "--json")
        assert (code, err) == (0, "")
        found = json.loads(out)
        assert found["ppl"] > 0
        assert 0 <= found["ghosting"] <= 1
        assert found["read"] == {}
    code, out, err = run("score", str(tmp_path / "frames"))
    assert (code, err) == (0, "")
    assert "subject" in out


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("walk",), "a walk needs a prompt, or several"),
        (("walk", "a dog", "--prompts", "a cat"), "a walk needs a prompt, or several"),
        (("walk", "a cat", "--loop", "--by", "lerp"), "circle"),
        (("pan", "a cat", "--how", "columns", "--loop"), "leave loop out"),
        (("walk", "a cat", "-n", "1"), "n 1: use 2 or more"),
        (("walk", "a cat", "--from-seed", "1"), "only one end has a seed"),
        (("walk", "a cat", "--from-seed", "1", "--to-seed", "1"), "the same"),
        (("walk", "a cat", "-o", "walk.avi"), "no video"),
        (("walk", "a cat", "--start-image", "nowhere.png"), "no picture"),
        (("walk", "a cat", "--timing", "even"), "CLIPModel folder or hub id (clip)"),
        (("walk", "a cat", "--fps", "0"), "fps 0: use 0.1 or more"),
        (("pan", "a cat", "--how", "canvas", "--wide", "1"), "wide 1: use 2 or more"),
    ],
)
def test_bad_input_is_one_line(given: tuple[str, ...], problem: str, using: tuple[str, ...], tmp_path: Path) -> None:
    target = () if "-o" in given else ("-o", str(tmp_path / "x.mp4"))
    code, _, err = run(*given, *target, *using)
    assert (code, len(err.splitlines())) == (2, 1)
    assert problem in err
    assert not list(tmp_path.glob("*.mp4"))


def test_a_folder_of_another_walk_is_not_mixed_with_this_one(using: tuple[str, ...], tmp_path: Path) -> None:
    walked("a cat", "-n", "4", "-o", str(tmp_path / "frames"), *using)
    code, _, err = run("walk", "a cat", "-n", "3", "-o", str(tmp_path / "frames"), *using)
    assert code == 2
    assert "holds 00003.png, too" in err
    kept = (tmp_path / "frames" / "00001.png").read_bytes()
    walked("a cat", "-n", "4", "-o", str(tmp_path / "frames"), *using)
    assert (tmp_path / "frames" / "00001.png").read_bytes() == kept
    code, _, err = run("walk", "a cat", "--by", "nlerp", "-n", "4", "-o", str(tmp_path / "frames"), *using)
    assert code == 2
    assert "is of something else" in err
    assert (tmp_path / "frames" / "00001.png").read_bytes() == kept


def test_a_full_disk_and_control_c(using: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "walk.mp4"
    given = ("walk", "a cat", "-n", "4", "-o", str(target), *using)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("astrogate.core.files.os.fsync", full)
        code, _, err = run(*given)
    assert (code, len(err.splitlines())) == (2, 1)
    assert ".png: No space left on device" in err
    with monkeypatch.context() as patch:
        patch.setattr("astrogate.models.adapter.PipelineModel.decode", _interrupted)
        code, _, err = run(*given)
    assert (code, err.strip()) == (130, "astrogate: stopped")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    walked(*given[1:])


def _interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_scores_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "cut.mp4").write_bytes(b"no video at all")
    for path in (tmp_path, tmp_path / "absent.mp4", tmp_path / "cut.mp4"):
        code, _, err = run("score", str(path))
        assert (code, len(err.splitlines())) == (2, 1)
