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
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from astrogate.core import archive
from tests.checkpoints import clip_model
from tests.checkpoints.parts import vae
from tests.unclip_checkpoints import ours

LONG = int(os.environ.get("ASTROGATE_KILLS", "0"))
CALM = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def astrogate(folder: Path, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "astrogate", *args]
    return subprocess.Popen(command, cwd=folder, env=CALM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def content(folder: Path, *, but: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The files of a folder; those that hold times are left out, and so are the times in the state of a training."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix not in but)
    return {str(p.relative_to(folder)): tensors(p) if "state" in p.name else p.read_bytes() for p in files}


def tensors(path: Path) -> bytes:
    """The tensors of a file, without what is told of them."""
    found, _ = archive.read(path, what="a state", remedy="")
    return b"".join(name.encode() + found[name].contiguous().numpy().tobytes() for name in sorted(found))


def nothing(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)


def pictures(folder: Path, count: int = 6, side: int = 64) -> None:
    (folder / "data").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(folder / "data" / f"{i}.png")


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


def captioned(folder: Path, count: int = 6, side: int = 64) -> None:
    """Pictures with captions, a CLIP that sees them and the autoencoder of their latents."""
    pictures(folder, count, side)
    for path in sorted((folder / "data").glob("*.png")):
        path.with_suffix(".txt").write_text("a dog\n")
    clip_model(folder / "clip", 16)
    vae().save_pretrained(folder / "vae")


def listed(folder: Path) -> None:
    """Words to take a concept apart into, pictures of it, and a CLIP."""
    captioned(folder)
    (folder / "words.txt").write_text("\n".join(("cat", "horse", "painting", "photo", "fat", "thin", "happy")))


def planned(folder: Path) -> None:
    """A sweep's file."""
    listed(folder)
    (folder / "s.toml").write_text(
        'prompts = ["a dog", "a cat"]\npairs = [[1, 2], [3, 4]]\nways = [["lerp", "uniform"], ["slerp", "even"]]\n'
        'frames = 4\nsteps = 2\nmodel = "MODEL"\nclip = "clip"\n'
    )


DRAWN = ("--model", "MODEL", "--steps", "4")
WALKED = ("walk", "a fat dog", "--seed", "1", "--to-seed", "2", *DRAWN, "-n", "12")
SEEN = ("--clip", "clip", "--model", "MODEL")
LEARNT = ("--size", "16", "--run", "run")
TRAINED = ("--data", "data", *LEARNT, "--steps", "30", "--batch", "2")
LATENT = ("--clip", "clip", "--vae", "vae")
FITTED = ("direction", "fit", "--toward", "fat", "--away", "thin", "--model", "MODEL", "-o", "d.safetensors")
STUDIED = ("train", "student", "--data", "data", "--model", "MODEL", "--batch", "2", "--steps", "10")
EXPLAINED = (
    *("explain", "a dog", "--words", "words.txt", *SEEN, "-o", "out", "--train-pictures", "4"),
    *("--validation-pictures", "2", "--steps", "2", "--fit-steps", "20", "--every", "10", "--fit-batch", "2"),
)
#: The commands that write, by name.
COMMANDS: dict[str, tuple[str, ...]] = {
    "slide": ("slide", "a fat dog", "--direction", "fat:thin", *DRAWN, "-n", "9", "-o", "x.png"),
    "insert": ("insert", "a painting of a dog", "fat", "--before", "dog", *DRAWN, "-n", "9", "-o", "x.png"),
    "style": ("style", "a dog Monet style", "--phrase", "Monet style", *DRAWN, "-n", "5", "-o", "x.png"),
    "guide": ("guide", "a dog", "--phrase", "fat", *DRAWN, "-n", "5", "-o", "x.png"),
    "grid": ("grid", "a dog", "--across", "fat:thin", "--down", "happy:sad", *DRAWN, "-n", "3", "-o", "frames"),
    "frames": (*WALKED, "-o", "frames"),
    "mp4": (*WALKED, "--cache", "kept", "-o", "x.mp4"),
    "gif": (*WALKED, "-o", "x.gif"),
    "pan": ("pan", "a dog", *DRAWN, "-n", "8", "--cache", "kept", "-o", "x.webp"),
    "again": ("again", "d.png"),
    "imagine": ("imagine", "a dog", "--model", "STACK", "--steps", "4", "-n", "9", "-o", "x.png"),
    "vary": ("vary", "data/0.png", "--model", "STACK", "--steps", "4", "-n", "6", "-o", "x.png"),
    "fit": FITTED,
    "combine": ("direction", "combine", "d.safetensors", "d.safetensors", "-o", "c.safetensors"),
    "calibrate": ("direction", "calibrate", "d.safetensors", *SEEN, "--steps", "2", "-o", "c.safetensors"),
    "export": ("direction", "export", "d.safetensors", "--to", "condelta", "--model", "MODEL", "-o", "e.safetensors"),
    "sweep": ("sweep", "s.toml", "-o", "out", "--page", "page.md"),
    "explain": EXPLAINED,
    "explain-image": ("explain-image", "RUN", *SEEN, "-o", "x.png", "--save", "left"),
    "manipulate": ("manipulate", "RUN", "--token", "cat", *DRAWN, "-n", "5", "-o", "x.png"),
    "upsampler": ("train", "upsampler", *TRAINED),
    "second": ("train", "upsampler", "--second", *TRAINED),
    "prior": ("train", "prior", *LATENT, *TRAINED),
    "ar": ("train", "prior", "--kind", "ar", *LATENT, *TRAINED),
    "decoder": ("train", "decoder", *LATENT, *TRAINED),
    "stack": ("train", "stack", "--data", "data", *LATENT, *LEARNT, "-o", "stack"),
    "student": (*STUDIED, "--run", "run", "-o", "student", "--rank", "2"),
    "match": (*STUDIED, "--run", "second", "--init", "student", "--match", "-o", "matched"),
    "demo": ("demo", "-o", "demo"),
}
#: What is there before each: made files, and commands that were run.
BEFORE: dict[str, Callable[[Path], object]] = {
    **dict.fromkeys(("calibrate", "vary", "upsampler", "prior", "decoder", "stack"), captioned),
    **dict.fromkeys(("student", "match"), captioned),
    **dict.fromkeys(("explain", "explain-image", "manipulate"), listed),
    "sweep": planned,
    "second": partial(captioned, count=2, side=256),
    "ar": partial(captioned, count=24),
}
DONE: dict[str, tuple[tuple[str, ...], ...]] = {
    **dict.fromkeys(("combine", "calibrate", "export"), (FITTED,)),
    **dict.fromkeys(("explain-image", "manipulate"), (EXPLAINED,)),
    "again": (("slide", "a fat dog", "--direction", "fat:thin", *DRAWN, "-n", "9", "-o", "d.png"),),
    "stack": (COMMANDS["prior"], COMMANDS["decoder"]),
    "match": (COMMANDS["student"],),
}
#: The suffixes of files that hold times.
TIMED = {
    "sweep": (".md", ".toml"),
    "explain": (".json", ".md", ".html", ".svg"),
    **dict.fromkeys(("upsampler", "second", "prior", "ar", "decoder", "student", "match"), (".csv", ".json")),
}
#: Those that are killed in every run of the tests; the others with `ASTROGATE_KILLS` alone.
USUAL = ("slide", "frames")
TIMES = max(1, LONG // len(COMMANDS))


@pytest.mark.parametrize("name", COMMANDS if LONG else USUAL)
def test_a_killed_command_is_finished_by_the_next(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    ours(tmp_path / "STACK")
    models = {"MODEL": str(tiny_folder), "STACK": str(tmp_path / "STACK")}
    before = tmp_path / "before"
    BEFORE.get(name, nothing)(before)
    for path in before.glob("*.toml"):
        path.write_text(path.read_text().replace("MODEL", models["MODEL"]))
    for args in DONE.get(name, ()):
        assert astrogate(before, *(models.get(word, word) for word in args)).wait() == 0
    models["RUN"] = next((str(path.relative_to(before)) for path in before.glob("out/dog-*")), "")

    def made(folder: Path) -> None:
        shutil.copytree(before, folder)

    args = tuple(models.get(word, word) for word in COMMANDS[name])
    killed(tmp_path, args, made, times=max(1, TIMES // 10) if name == "demo" else TIMES, but=TIMED.get(name, ()))
