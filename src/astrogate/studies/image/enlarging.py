"""How near a stack's upsamplers come to large pictures that were reduced, beside bicubic and Lanczos.

PSNR in dB and SSIM (Wang et al. 2004) per picture, 95 % bootstrap intervals over pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from astrogate.measure.scores import Estimate, bootstrap, mean, psnr
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.ops.pixels import to_pictures, to_pixels
from astrogate.rendering.pixels import to_images, to_tensor
from astrogate.train.parts.upsampler import Corruption, low_of


@dataclass(frozen=True, slots=True)
class Enlarged:
    """A way to enlarge pictures: PSNR in dB, its gain over bicubic on the same pictures, SSIM, and seconds of the clock
    for one picture alone, the median."""

    psnr: Estimate
    gain: Estimate
    ssim: Estimate
    seconds: float


def enlarged_by(
    stack: UnCLIP, large: Tensor, *, stage: int = 0, corruption: Corruption = "none", steps: Sequence[int]
) -> dict[str, Enlarged]:
    """Pictures [n, 3, 4 h, 4 w] in [0, 1] reduced to a quarter, corrupted, and enlarged again by one of the upsamplers
    in each number of steps, beside bicubic and Lanczos; what all of them take and give has eight bits."""
    rng = np.random.default_rng(0)
    small = _eight_bits(torch.stack([low_of(picture, corruption, rng) for picture in large]).clamp(0, 1))

    def learned(small: Tensor, seed: int, count: int) -> Tensor:
        return _eight_bits(stack.upscale(small, seeds=[seed], num_inference_steps=count, stages=[stage]))

    def classic(small: Tensor, seed: int, method: Image.Resampling) -> Tensor:
        return to_tensor(image.resize((large.shape[-1], large.shape[-2]), method) for image in to_images(small))

    ways: dict[str, Callable[[Tensor, int], Tensor]] = {
        f"the stack, {count} steps": partial(learned, count=count) for count in steps
    }
    ways["bicubic"] = partial(classic, method=Image.Resampling.BICUBIC)
    ways["Lanczos"] = partial(classic, method=Image.Resampling.LANCZOS)
    made = {name: _enlarged(way, small) for name, way in ways.items()}
    decibels = {name: psnr(pictures, large) for name, (pictures, _) in made.items()}
    return {
        name: Enlarged(
            bootstrap(mean, decibels[name]),
            bootstrap(mean, decibels[name] - decibels["bicubic"]),
            bootstrap(mean, ssim(pictures, large)),
            seconds,
        )
        for name, (pictures, seconds) in made.items()
    }


def _eight_bits(pictures: Tensor) -> Tensor:
    return to_pictures(to_pixels(pictures))


def _enlarged(way: Callable[[Tensor, int], Tensor], small: Tensor) -> tuple[Tensor, float]:
    """The pictures that a way makes of small ones, one at a time, and the median of their seconds."""
    made, seconds = list[Tensor](), list[float]()
    for seed, one in enumerate(small):
        started = time.perf_counter()
        made.append(way(one[None], seed))
        seconds.append(time.perf_counter() - started)
    return torch.cat(made), median(seconds)


def ssim(a: Tensor, b: Tensor) -> list[float]:
    """Structural similarity of pictures [n, 3, h, w] in [0, 1], one per picture (Wang et al. 2004, by scikit-image)."""
    from skimage.metrics import structural_similarity

    of: Callable[..., Any] = structural_similarity
    options = {"channel_axis": 0, "data_range": 1.0, "gaussian_weights": True, "use_sample_covariance": False}
    return [float(of(x, y, **options)) for x, y in zip(a.numpy(), b.numpy(), strict=True)]
