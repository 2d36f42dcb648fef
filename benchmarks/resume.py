"""A walk that is killed at random moments and started again, beside one that is not; and its memory by length.

Twenty SIGKILLs, then the last run to its end: frames equal within 1/255, no finished frame drawn again, and at most one
batch lost at each kill. A run notes every batch that it begins; lost is what was begun and is not in the cache.
Run: python benchmarks/resume.py
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

    from astrogate.core.point import Point
    from astrogate.core.recipe import Recipe

KILLS, FRAMES, BATCH, STEPS = 20, 300, 8, 20


def command(folder: Path, name: str, n: int, steps: int = STEPS) -> list[str]:
    """A walk of `n` frames into a folder of its own, with its own cache."""
    given = ["-n", n, "--steps", steps, "--batch-size", BATCH, "--cache", folder / f"{name}-cache", "-o", folder / name]
    ends = ["walk", "a painting of a cat", "--from-seed", 1, "--to-seed", 2, "--device", "cpu"]
    return [sys.executable, __file__, *map(str, [folder / f"{name}.log", *ends, *given])]


def watched(log: Path, arguments: list[str]) -> None:
    """The command line, with a line in `log` for every batch that is begun."""
    from astrogate.app.cli.main import main as command_line
    from astrogate.models.adapter import PipelineModel

    draw = PipelineModel.denoise

    def denoise(model: PipelineModel, points: Sequence[Point], recipe: Recipe) -> Tensor:
        with log.open("a") as file:
            file.write(f"{len(points)}\n")
        return draw(model, points, recipe)

    PipelineModel.denoise = denoise  # type: ignore[method-assign]
    sys.argv[1:] = arguments
    command_line()


def begun(folder: Path) -> int:
    """Rows of all batches that were begun."""
    return sum(map(int, (folder / "broken.log").read_text().split()))


def cached(folder: Path) -> dict[str, int]:
    """When every finished frame was written."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "broken-cache").rglob("[!.]*.png")}


def peak(call: list[str]) -> float:
    """The most memory of a child process, in MB."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, stdout=2); "
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code, *call], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def main() -> None:
    """Print what was lost, what differs, and the memory at both lengths."""
    rng = random.Random(0)
    with TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(command(folder, "whole", FRAMES), check=True)
        again, kills, lost = 0, 0, [0]
        while kills < KILLS:
            before = cached(folder)
            run = subprocess.Popen(command(folder, "broken", FRAMES))
            while len(cached(folder)) < len(before) + BATCH and run.poll() is None:
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 1.5))
            if run.poll() is not None:
                break
            run.send_signal(signal.SIGKILL)
            run.wait()
            kills += 1
            after = cached(folder)
            again += sum(after.get(frame) != written for frame, written in before.items())
            lost.append(begun(folder) - len(after))
        before = cached(folder)
        subprocess.run(command(folder, "broken", FRAMES), check=True)
        again += sum(cached(folder).get(frame) != written for frame, written in before.items())
        pairs = [(folder / kind / f"{i:05}.png" for kind in ("whole", "broken")) for i in range(FRAMES)]
        apart = max(
            int(np.abs(np.subtract(*(np.asarray(Image.open(p), np.int16) for p in pair))).max()) for pair in pairs
        )
        print(f"{kills} kills: finished frames drawn again: {again}; frames differ by {apart}/255 at most")
        print(f"frames lost at a kill: {max(b - a for a, b in pairwise(lost))} at most (a batch: {BATCH})")
        short, long = (peak(command(folder, f"n{n}", n, steps=1)) for n in (FRAMES, 10 * FRAMES))
        print(f"peak memory: {short:.0f} MB at {FRAMES} frames, {long:.0f} at {10 * FRAMES}: {long / short:.3f} times")


if __name__ == "__main__":
    watched(Path(sys.argv[1]), sys.argv[2:]) if sys.argv[1:] else main()
