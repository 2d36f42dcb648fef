"""Faster sampling of many frames: bfloat16, larger batches and torch.compile (Ansel et al. 2024), where they pay.

bfloat16 pays on GPUs and on processors with bfloat16 arithmetic; compiling takes a minute or two of the processor, so
only a long run earns it back. Pictures differ slightly from those in float32: `benchmarks/walk.py` says by how much.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from shutil import which
from typing import Any

import torch

from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.sampler.hooks import forwarding

#: From how many frames on compiling is earned back, by kind of device.
_LONG = {"cuda": 300, "cpu": 2000}
_BATCH = {"cuda": 16, "cpu": 32}


@contextmanager
def fast(model: Model, recipe: Recipe, frames: int) -> Generator[tuple[Recipe, int]]:
    """The recipe and the batch size for `n` frames; while open, the denoiser's `forward` may be compiled.

    Steers and guides stay outside of what is compiled, so each call sees its own. While it is compiled, other threads
    wait.
    """
    denoiser: Any = model.denoiser
    device = denoiser.device.type
    if denoiser.dtype == torch.float32 and has_bfloat16(device):
        recipe = replace(recipe, dtype="bfloat16")
    compiled = frames >= _LONG.get(device, frames + 1) and (device != "cpu" or which("g++") is not None)
    with ExitStack() as stack:
        if compiled:
            stack.enter_context(model.lock)
            stack.enter_context(forwarding(denoiser, torch.compile(denoiser.forward)))
        yield recipe, min(frames, _BATCH.get(device, 8))


def has_bfloat16(device: str) -> bool:
    """Whether a kind of device computes in bfloat16 itself."""
    if device == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device == "cuda" and torch.cuda.is_bf16_supported()
