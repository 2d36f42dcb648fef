"""What a direction costs the denoiser: calls and rows, and process CPU time, beside no direction at all.

Same model, points and recipe, warmed, interleaved; median of repeats. Run: python benchmarks/steering.py
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from clock import cpu_seconds

import astrogate as ag

REPEATS, BATCH = 5, 8


def rows_of(model: ag.Model, points: Sequence[ag.Point], recipe: ag.Recipe) -> list[int]:
    """The rows of every call of the denoiser."""
    rows: list[int] = []

    def count(module: torch.nn.Module, args: tuple[Any, ...], out: Any) -> None:
        rows.append(args[0].shape[0])

    handle = model.denoiser.register_forward_hook(count)
    try:
        model.denoise(points, recipe)
    finally:
        handle.remove()
    return rows


def main() -> None:
    """Print calls, rows and the ratio of CPU times."""
    model, recipe = ag.load(device="cpu"), ag.Recipe()
    plain = [model.point("a painting of a dog", seed=s) for s in range(BATCH)]
    direction = ag.contrast(model, "fat", "thin")
    steered = [point.apply(direction.at(point), 1.5) for point in plain]
    rows = [rows_of(model, points, recipe) for points in (plain, steered)]
    print(f"calls {len(rows[0])} and {len(rows[1])}, rows {sum(rows[0])} and {sum(rows[1])}")
    plainly, moved = (partial(model.denoise, points, recipe) for points in (plain, steered))
    times = [(cpu_seconds(plainly), cpu_seconds(moved)) for _ in range(REPEATS)]
    ratios = [b / a for a, b in times]
    print(
        f"{BATCH} pictures: plain {statistics.median(a for a, _ in times):.2f} s CPU, with a direction "
        f"{statistics.median(b for _, b in times):.2f} s, threads {torch.get_num_threads()}"
    )
    print(f"ratio {statistics.median(ratios):.3f} (repeats {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
