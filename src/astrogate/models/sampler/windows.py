"""A picture larger than the model's own, denoised in overlapping windows (Bar-Tal et al. 2023, MultiDiffusion).

    eps(x) = sum_i F_i^-1 eps(F_i x) / count

with F_i the windows of the model's own size, `stride` apart, round the right side to the left. Schedulers' steps are
linear in eps at one x, so averaging eps averages the steps. While open, the denoiser's `forward` is the windowed one.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Recipe
from astrogate.models.sampler.hooks import forwarding


def own_side(denoiser: Any, pipe: Any = None) -> int:
    """The side of a denoiser's own latents; 0 where nothing says it, in numbers."""
    side: Any = denoiser.config.get("sample_size") or getattr(pipe, "default_sample_size", None) or 0
    first: Any = side[0] if isinstance(side, (list, tuple)) and side else side
    return first if isinstance(first, int) and first > 0 else 0


@contextmanager
def windows(pipe: Any, recipe: Recipe, latents: Tensor) -> Generator[None]:
    """Denoise latents [n, c, h, w] in windows, if the recipe has a stride and they are larger than the model's own."""
    if recipe.stride is None:
        yield
        return
    unet = pipe.unet
    if getattr(pipe, "controlnet", None) is not None:
        raise AstrogateError("a ControlNet does not draw in windows", "leave the stride out")
    side, stride = own_side(unet, pipe), recipe.stride // pipe.vae_scale_factor
    height, width = latents.shape[-2:]
    if not side:
        raise AstrogateError("this model does not say how large its pictures are", "leave the stride out")
    unit: int = pipe.vae_scale_factor
    if not 0 < stride <= side or recipe.stride % unit:
        raise AstrogateError(
            f"a stride of {recipe.stride} pixels", f"use a multiple of {unit} from {unit} to {side * unit}"
        )
    if max(height, width) <= side:
        yield
        return
    rows = _starts(height, min(side, height), stride)
    columns = range(0, width, stride) if width > side else [0]
    cells = [(r, c) for r in rows for c in columns]
    own: Any = unet.forward

    def forward(sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        total, count = torch.zeros_like(sample), torch.zeros_like(sample[:1, :1])
        out: Any = None
        for r, c in cells:
            down = torch.arange(r, r + min(side, height))[:, None]
            across = torch.arange(c, c + min(side, width)) % width
            out = own(sample[..., down, across], *args, **kwargs)
            total[..., down, across] += out[0]
            count[..., down, across] += 1
        mean = total / count
        return (mean,) if isinstance(out, tuple) else type(out)(mean)

    with forwarding(unet, forward):
        yield


def _starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start so that they cover `length`, the last at its end."""
    return [*range(0, length - window, stride), length - window]
