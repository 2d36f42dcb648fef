"""Corruptions of pictures that upsamplers are conditioned on (Ramesh et al. 2022, section 2.1; Zhang et al. 2021, BSR).

    blur:      Gaussian, 3 x 3, sigma 0.6: for 64 -> 256
    bsr_light: blur, two reductions, noise and JPEG in random order, then JPEG: for 256 -> 1024

All take and give pictures [3, h, w] in [0, 1]; what is random comes from the generator alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from astrogate.ops.pixels import to_pictures, to_pixels


def gaussian_blur(
    picture: Tensor, *, size: int = 3, sigma: tuple[float, float] = (0.6, 0.6), angle: float = 0.0
) -> Tensor:
    """Blur by a Gaussian of standard deviations `sigma` along axes turned by `angle`, in pixels and radians."""
    half = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(half, half, indexing="ij")
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = torch.exp(-((along / sigma[0]) ** 2 + (across / sigma[1]) ** 2) / 2)
    weight = (kernel / kernel.sum()).to(picture).expand(3, 1, size, size)
    padded = F.pad(picture[None], [size // 2] * 4, mode="reflect")
    return F.conv2d(padded, weight, groups=3)[0]


def jpeg(picture: Tensor, quality: int) -> Tensor:
    """Through JPEG and back."""
    buffer = io.BytesIO()
    Image.fromarray(to_pixels(picture)).save(buffer, "JPEG", quality=quality)
    return to_pictures(Image.open(buffer)).to(picture)


def resized(picture: Tensor, height: int, width: int, mode: str = "bicubic") -> Tensor:
    """Another size, antialiased ("area", "bilinear" or "bicubic")."""
    if mode == "area":
        return F.interpolate(picture[None], (height, width), mode=mode)[0]
    return F.interpolate(picture[None], (height, width), mode=mode, antialias=True)[0].clamp(0, 1)


def bsr_light(picture: Tensor, scale: int, rng: Generator) -> Tensor:
    """A degraded picture [3, h / scale, w / scale]: BSRGAN's pipeline as latent diffusion made it lighter."""
    height, width = (side // scale for side in picture.shape[1:])
    if scale == 4 and rng.random() < 0.25:
        picture, scale = resized(picture, picture.shape[1] // 2, picture.shape[2] // 2, _mode(rng)), 2
    steps: list[Callable[[Tensor], Tensor]] = [
        lambda x: _random_blur(x, scale, rng),
        lambda x: _reduced(x, scale, rng),
        lambda x: (x + torch.as_tensor(rng.normal(0, rng.uniform(1, 2) / 255, x.shape)).to(x)).clamp(0, 1),
        lambda x: jpeg(x, int(rng.integers(80, 96))) if rng.random() < 0.9 else x,
        lambda x: resized(x, height, width, _mode(rng)),
    ]
    order = [int(i) for i in rng.permutation(len(steps))]
    first, last = order.index(1), order.index(4)
    if first > last:
        order[first], order[last] = order[last], order[first]
    for i in order:
        picture = steps[i](picture)
    return jpeg(picture, int(rng.integers(80, 96)))


def _random_blur(picture: Tensor, scale: int, rng: Generator) -> Tensor:
    """Half the time along two axes, by variances up to (4 + scale) / 4, else round, up to sigma (2 + scale / 5) / 4."""
    most = 2 * ((min(picture.shape[1:]) - 1) // 2) - 1
    if rng.random() < 0.5:
        a, b = np.sqrt(rng.uniform(0.01, (4 + scale) / 4, 2))
        size = min(most, 2 * int(rng.integers(2, 7)) + 1)
        return gaussian_blur(picture, size=size, sigma=(a, b), angle=rng.uniform(0, np.pi)).clamp(0, 1)
    s = rng.uniform(0.05, (2 + scale / 5) / 4)
    return gaussian_blur(picture, size=min(most, 2 * int(rng.integers(2, 4)) + 1), sigma=(s, s)).clamp(0, 1)


def _reduced(picture: Tensor, scale: int, rng: Generator) -> Tensor:
    height, width = picture.shape[1:]
    if rng.random() < 0.8:
        by = rng.uniform(1, 2 * scale)
        return resized(picture, max(8, round(height / by)), max(8, round(width / by)), _mode(rng))
    size = min(25, 2 * ((min(height, width) - 1) // 2) - 1)
    sigma = rng.uniform(0.1, 0.6 * scale)
    return gaussian_blur(picture, size=size, sigma=(sigma, sigma))[:, ::scale, ::scale].clamp(0, 1)


def _mode(rng: Generator) -> str:
    return ("area", "bilinear", "bicubic")[int(rng.integers(3))]
