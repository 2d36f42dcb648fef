"""Commands that are killed at random moments leave the old or the new result whole, and the next run finishes it.

A few kills here; `ASTROGATE_KILLS=300 pytest tests/attacks/test_kills.py` for the long run.
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
import torch
from PIL import Image

from astrogate.core.direction import Direction

LONG = int(os.environ.get("ASTROGATE_KILLS", "0"))
CALM = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def astrogate(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "astrogate", *args]
    return subprocess.Popen(command, cwd=folder, env=CALM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def content(folder: Path, *, but: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The files of a folder; those that hold times are left out."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix not in but)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def nothing(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def pictures(folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(folder / "data" / f"{i}.png")


def killed(
    tmp_path: Path,
    args: tuple[str, ...],
    prepare: Callable[[Path], object],
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


def captioned(folder: Path) -> None:
    """Pictures with captions, a CLIP that sees them and the autoencoder of their latents."""
    from tests.checkpoints import clip_model

    pictures(folder)
    for path in sorted((folder / "data").glob("*.png")):
        path.with_suffix(".txt").write_text("a dog\n")
    clip_model(folder / "clip")


def listed(folder: Path) -> None:
    """Words to take a concept apart into, pictures of it, and a CLIP."""
    captioned(folder)
    (folder / "words.txt").write_text("\n".join(("cat", "horse", "painting", "photo", "fat", "thin", "happy")))


def planned(folder: Path, model: str) -> None:
    """A sweep's file."""
    from tests.checkpoints import clip_model

    clip_model(folder / "clip")
    (folder / "s.toml").write_text(
        f'prompts = ["a dog", "a cat"]\npairs = [[1, 2], [3, 4]]\nways = [["lerp", "uniform"], ["slerp", "even"]]\n'
        f'frames = 4\nsteps = 2\nmodel = "{model}"\nclip = "clip"\n'
    )


def found(folder: Path) -> None:
    """Two directions."""
    folder.mkdir(parents=True)
    for name in "ab":
        Direction({"end": torch.ones(32)}, "0123", name).save(folder / f"{name}.safetensors")


DRAWN = ("--model", "MODEL", "--steps", "4")
WALKED = ("walk", "a fat dog", "--seed", "1", "--to-seed", "2", *DRAWN, "-n", "12")
TRAINED = ("--data", "data", "--size", "16", "--steps", "30", "--batch", "2", "--run", "run")
#: The commands that write, by name.
COMMANDS: dict[str, tuple[str, ...]] = {
    "slide": ("slide", "a fat dog", "--direction", "fat:thin", *DRAWN, "-n", "9", "-o", "x.png"),
    "insert": ("insert", "a painting of a dog", "fat", "--before", "dog", *DRAWN, "-n", "9", "-o", "x.png"),
    "frames": (*WALKED, "-o", "frames"),
    "mp4": (*WALKED, "--cache", "kept", "-o", "x.mp4"),
    "gif": (*WALKED, "-o", "x.gif"),
    "fit": ("direction", "fit", "--toward", "fat", "--away", "thin", "--model", "MODEL", "-o", "d"),
    "combine": ("direction", "combine", "a.safetensors", "b.safetensors", "-o", "c.safetensors"),
    "sweep": ("sweep", "s.toml", "-o", "out", "--page", "page.md"),
    "explain": (
        *("explain", "a dog", "--words", "words.txt", "--clip", "clip", "--model", "MODEL", "-o", "out"),
        *("--train-pictures", "4", "--validation-pictures", "2", "--steps", "2"),
        *("--fit-steps", "20", "--every", "10", "--fit-batch", "2"),
    ),
    "upsampler": ("train", "upsampler", *TRAINED),
    "prior": ("train", "prior", "--clip", "clip", *TRAINED),
    "student": (
        *("train", "student", "--data", "data", "--model", "MODEL", "--run", "run", "-o", "student"),
        *("--steps", "10", "--batch", "2", "--rank", "2"),
    ),
    "demo": ("demo", "-o", "demo"),
}
#: What is there before, and the suffixes of files that hold times.
BEFORE: dict[str, Callable[[Path], object]] = {
    "combine": found,
    "explain": listed,
    "upsampler": pictures,
    "prior": captioned,
    "student": captioned,
}
TIMED = {
    "sweep": (".md", ".toml"),
    "explain": (".json", ".md", ".html", ".svg"),
    **dict.fromkeys(("upsampler", "prior", "student"), (".csv", ".json")),
}
#: Those that are killed in every run of the tests; the others with `ASTROGATE_KILLS` alone.
USUAL = ("slide", "frames")
TIMES = max(1, LONG // len(COMMANDS))


@pytest.mark.parametrize("name", COMMANDS if LONG else USUAL)
def test_a_killed_command_is_finished_by_the_next(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    args = tuple(str(tiny_folder) if word == "MODEL" else word for word in COMMANDS[name])

    def made(folder: Path) -> None:
        BEFORE.get(name, nothing)(folder)
        if name == "sweep":
            planned(folder, str(tiny_folder))

    times = max(1, TIMES // 10) if name == "demo" else TIMES
    killed(tmp_path, args, made, times=times, but=TIMED.get(name, ()))
