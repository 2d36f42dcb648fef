"""The post's direction (200 random draws, one prompt at a time) beside `contrast` (the complete grid, batched).

Same model, same process, warmed, interleaved; process CPU time, median of repeats. Run: python benchmarks/directions.py
"""

from __future__ import annotations

import random
import statistics

import torch
from clock import cpu_seconds
from torch import Tensor

import astrogate as ag
from astrogate.methods.edit.contrast import MEDIA, SUBJECTS

DRAWS, REPEATS = 200, 7


def state(model: ag.Model, prompt: str) -> Tensor:
    """The end-of-text state of one prompt, padded to full length, as the post's loop computes it."""
    encoded = model.encode([prompt])
    return encoded["prompt_embeds"][0, int(encoded["end"][0])]


def seed_loop(model: ag.Model, rng: random.Random) -> Tensor:
    """The post's loop: random media and subjects, one prompt at a time."""
    differences: list[Tensor] = []
    for _ in range(DRAWS):
        medium, subject = rng.choice(MEDIA), rng.choice(SUBJECTS)
        prompts = (f"a {medium} of a {word} {subject}" for word in ("fat", "thin"))
        a, b = (state(model, prompt) for prompt in prompts)
        differences.append(a - b)
    return torch.stack(differences).mean(0)


def full_grid(model: ag.Model) -> Tensor:
    """The complete grid's mean, one prompt at a time: what both should equal."""
    pairs = [[f"a {m} of a {word} {s}" for word in ("fat", "thin")] for m in MEDIA for s in SUBJECTS]
    return torch.stack([state(model, a) - state(model, b) for a, b in pairs]).mean(0)


def main() -> None:
    """Print the cost and the error of both."""
    model, rng = ag.load(device="cpu"), random.Random(0)
    truth, theirs = full_grid(model), seed_loop(model, rng)
    ours = ag.contrast(model, "fat", "thin").vectors["end"]
    times = [
        (cpu_seconds(lambda: seed_loop(model, rng)), cpu_seconds(lambda: ag.contrast(model, "fat", "thin")))
        for _ in range(REPEATS)
    ]
    loop, grid = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = [a / b for a, b in times]
    print(f"seed's loop {loop:.3f} s CPU, ours {grid:.4f} s CPU, threads {torch.get_num_threads()}")
    print(f"ours is {loop / grid:.1f} times cheaper (repeats {min(ratios):.1f} to {max(ratios):.1f})")
    for name, vector in (("ours", ours), ("the post's", theirs)):
        print(f"{name:10} relative error to the full grid's mean {float((vector - truth).norm() / truth.norm()):.1e}")


if __name__ == "__main__":
    main()
