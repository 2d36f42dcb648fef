"""Commands that are killed at random moments leave the old or the new result whole, and the next run finishes it.

A few kills here; `ASTROGATE_KILLS=300 pytest -m slow tests/attacks/test_kills.py` for the long run.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LONG = int(os.environ.get("ASTROGATE_KILLS", "0"))
CALM = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def astrogate(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "astrogate", *args]
    return subprocess.Popen(command, cwd=folder, env=CALM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def content(folder: Path, *, but: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The files of a folder; those that hold times are left out."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix not in but)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def pictures(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / "data" / f"{i}.png")


def killed(
    tmp_path: Path,
    args: tuple[str, ...],
    prepare: Callable[[Path], object] = lambda folder: folder.mkdir(parents=True, exist_ok=True),
    *,
    times: int,
    but: tuple[str, ...] = (),
) -> None:
    """Run a command to its end, then again and again from where a kill left it; what it leaves is the same."""
    whole = tmp_path / "whole"
    prepare(whole)
    started = time.monotonic()
    first = astrogate(whole, *args)
    assert first.wait() == 0, first.stderr and first.stderr.read()
    needed, expected, rng = time.monotonic() - started, content(whole, but=but), random.Random(str(args))
    for i in range(times):
        folder = tmp_path / f"{i}"
        prepare(folder)
        for _ in range(rng.randint(1, 2)):
            process = astrogate(folder, *args)
            time.sleep(rng.uniform(0.3, 1.05) * needed)
            process.send_signal(rng.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGINT)))
            process.wait()
        last = astrogate(folder, *args)
        assert last.wait() == 0, last.stderr and last.stderr.read()
        found = content(folder, but=but)
        assert found.keys() == expected.keys(), sorted(found.keys() ^ expected.keys())
        assert [name for name in found if found[name] != expected[name]] == []
        shutil.rmtree(folder)


TIMES = max(1, LONG // 6)


def test_strips(tiny_folder: Path, tmp_path: Path) -> None:
    asked = ("slide", "a fat dog", "--direction", "fat:thin", "--model", str(tiny_folder), "--steps", "4", "-n", "9")
    killed(tmp_path, (*asked, "-o", "x.png"), times=TIMES)


def test_folders_of_frames(tiny_folder: Path, tmp_path: Path) -> None:
    asked = (
        "walk",
        "a fat dog",
        "--seed",
        "1",
        "--to-seed",
        "2",
        "--model",
        str(tiny_folder),
        "--steps",
        "4",
        "-n",
        "12",
    )
    killed(tmp_path, (*asked, "-o", "frames"), times=TIMES)


@pytest.mark.slow
def test_videos(tiny_folder: Path, tmp_path: Path) -> None:
    asked = (
        "walk",
        "a fat dog",
        "--seed",
        "1",
        "--to-seed",
        "2",
        "--model",
        str(tiny_folder),
        "--steps",
        "4",
        "-n",
        "12",
    )
    killed(tmp_path, (*asked, "--cache", "kept", "-o", "x.mp4"), times=TIMES)


@pytest.mark.slow
def test_directions(tiny_folder: Path, tmp_path: Path) -> None:
    asked = (
        "direction",
        "fit",
        "--toward",
        "fat",
        "--away",
        "thin",
        "--model",
        str(tiny_folder),
        "-o",
        "d.safetensors",
    )
    killed(tmp_path, asked, times=TIMES)


@pytest.mark.slow
def test_trainings(tmp_path: Path) -> None:
    asked = ("train", "upsampler", "--data", "data", "--size", "16", "--steps", "30", "--batch", "2", "--run", "run")
    killed(tmp_path, asked, pictures, times=TIMES, but=(".csv", ".json"))


@pytest.mark.slow
def test_stacks(tmp_path: Path) -> None:
    killed(tmp_path, ("demo", "-o", "demo"), times=max(1, TIMES // 10))
