"""A 7-picture strip at 20 guided steps through `render`, beside plain diffusers called seven times; and start-up time.

Same weights, same process, warmed, interleaved; process CPU time, median of repeats. Run: python benchmarks/render.py
"""

from __future__ import annotations

import statistics
import sys

import torch
from clock import child_seconds, cpu_seconds

import astrogate as ag
from astrogate.models.loading.locate import shipped_folder

REPEATS = 7


def main() -> None:
    """Print both ratios."""
    from diffusers import StableDiffusionPipeline

    prompt = "a painting of a dog"
    pipe = StableDiffusionPipeline.from_pretrained(shipped_folder(), torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    model = ag.load(device="cpu")
    direction = ag.contrast(model, "fat", "thin")

    def plain() -> None:
        for _ in range(7):
            generator = torch.Generator("cpu").manual_seed(7)
            pipe(prompt, num_inference_steps=20, guidance_scale=4.0, generator=generator)

    def ours() -> None:
        point = model.point(prompt, seed=7)
        ag.strip(model, point, direction.at(point), -2.0, 2.0, n=7)

    plain(), ours()
    times = [(cpu_seconds(plain), cpu_seconds(ours)) for _ in range(REPEATS)]
    theirs, strip = (statistics.median(column) for column in zip(*times, strict=True))
    print(f"plain diffusers, seven calls: {theirs:.2f} s CPU; our strip: {strip:.2f} s CPU")
    print(f"ratio {strip / theirs:.2f} (to reach: 0.6 or less)")
    script = "from astrogate.app.cli.main import main; main()"
    runs = [
        (child_seconds([sys.executable, "-c", "import click"]), child_seconds([sys.executable, "-c", script, "--help"]))
        for _ in range(REPEATS)
    ]
    bare, help_ = (statistics.median(column) for column in zip(*runs, strict=True))
    print(f"import click {bare:.3f} s CPU, astrogate --help {help_:.3f} s CPU: {help_ / bare:.2f} times (to reach: 3)")


if __name__ == "__main__":
    main()
