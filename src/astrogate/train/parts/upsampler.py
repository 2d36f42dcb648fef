"""Train an upsampler: a diffusion model of pixels, conditioned on a corrupted small picture (Ramesh et al. 2022, 2.1).

    loss = E |v(x_t, up(low), t) - (sqrt(a_t) n - sqrt(1 - a_t) x)|^2

x is a random crop, of a quarter of the side by default, `low` the crop reduced by four and then blurred, or degraded as
BSR does; neither caption nor attention, so it works above its crop's size. It predicts v (Salimans & Ho 2022), which
stays stable over the few steps that it is sampled with.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from astrogate.models.unclip.upsampling import condition
from astrogate.ops.degrade import bsr_light, gaussian_blur, resized
from astrogate.train.kit.data import Batches, PictureData
from astrogate.train.kit.loop import Schedule, fit

FACTOR = 4
Corruption = Literal["blur", "bsr", "none"]


def upsampler_scheduler(kind: Corruption = "blur") -> Any:
    """The paper's schedules: cosine for the first upsampler, linear for the second."""
    from diffusers import DDIMScheduler

    curve = "linear" if kind == "bsr" else "squaredcos_cap_v2"
    return DDIMScheduler(beta_schedule=curve, prediction_type="v_prediction", clip_sample=True, set_alpha_to_one=True)


def low_of(picture: Tensor, kind: Corruption, rng: np.random.Generator) -> Tensor:
    """What an upsampler is given for a picture [3, h, w] in [0, 1]: [3, h / 4, w / 4], corrupted."""
    if kind == "bsr":
        return bsr_light(picture, FACTOR, rng)
    low = resized(picture, picture.shape[1] // FACTOR, picture.shape[2] // FACTOR)
    return gaussian_blur(low).clamp(0, 1) if kind == "blur" else low


def train_upsampler(
    unet: Any,
    data: PictureData,
    schedule: Schedule,
    *,
    kind: Corruption = "blur",
    corrupted: float = 0.5,
    crop: int = 4,
    folder: Path,
    seed: int,
    device: str,
    name: str = "upsampler",
    of: str = "",
) -> Any:
    """Train a `UNet2DModel` of 6 channels in (noisy, condition) and 3 out, on crops of 1 in `crop` of a picture's side.

    A share `corrupted` of the crops is given as `kind` says, the others clean. `of` as in `loop.fit`.
    """
    torch.manual_seed(seed)
    unet = unet.to(device, memory_format=torch.channels_last)
    order, scheduler = Batches(len(data), schedule.batch, seed), upsampler_scheduler(kind)
    height = int(data.arrays["images"].shape[1])
    side, steps = height // crop, scheduler.config.num_train_timesteps
    places = (height - side) // FACTOR + 1

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        corners = FACTOR * rng.integers(places, size=(schedule.batch, 2))
        crops = [
            data.crop(int(item), int(top), int(left), side)
            for item, (top, left) in zip(order.at(step), corners, strict=True)
        ]
        low = torch.stack([low_of((crop + 1) / 2, kind if rng.random() < corrupted else "none", rng) for crop in crops])
        x, given = torch.stack(crops).to(device), condition(low.to(device), FACTOR)
        noise, t = torch.randn_like(x), torch.randint(steps, (len(x),), device=device)
        noisy = scheduler.add_noise(x, noise, t)
        found = unet(torch.cat([noisy, given], 1).contiguous(memory_format=torch.channels_last), t).sample
        return (found - scheduler.get_velocity(x, noise, t)).square().mean()

    return fit(nn.ModuleDict({name: unet}), loss, schedule, folder=folder, name=name, seed=seed, of=of)[name]
