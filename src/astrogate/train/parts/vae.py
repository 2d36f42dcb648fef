"""Train an AutoencoderKL: L1 + L1 of the image gradient + beta KL (Kingma & Welling 2013; Rombach et al. 2022).

Where the data set has subject masks, errors on the subject count `focus` times as much: faces are small, and matter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from astrogate.train.kit.data import Batches, PictureData
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.precision import reduced


def train_vae(
    vae: Any,
    data: PictureData,
    schedule: Schedule,
    *,
    folder: Path,
    seed: int,
    device: str,
    of: str = "",
    beta: float = 5e-4,
    focus: float = 3.0,
) -> Any:
    """Train `vae` and set its `scaling_factor` so that latents have unit standard deviation; returns the average.

    It runs in bfloat16 autocast; weights and losses are float32.
    """
    torch.manual_seed(seed)
    vae = vae.to(device, memory_format=torch.channels_last)
    order = Batches(len(data), schedule.batch, seed)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = order.at(step)
        x = data.images(index, device)
        weight = 1 + (focus - 1) * data.masks(index).to(device)
        with reduced(device):
            posterior = vae.encode(x).latent_dist
            y = vae.decode(posterior.sample()).sample.float()
        mean, logvar = posterior.mean.float(), posterior.logvar.float()
        kl = 0.5 * (mean.pow(2) + logvar.exp() - 1 - logvar).mean()
        error = weight * (y - x)
        return error.abs().mean() + 0.5 * edges(error) + beta * kl

    vae = fit(nn.ModuleDict({"vae": vae}), loss, schedule, folder=folder, name="vae", seed=seed, of=of)["vae"]
    with torch.no_grad():
        sample = torch.cat([vae.encode(data.images(order.at(i), device)).latent_dist.mean for i in range(16)])
    vae.register_to_config(scaling_factor=round(1 / float(sample.std()), 5))
    return vae


def edges(d: Tensor) -> Tensor:
    """Mean absolute difference between neighbours of an error picture [b, c, h, w]."""
    return (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
