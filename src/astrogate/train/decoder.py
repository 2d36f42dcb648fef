"""Train a decoder: from an image embedding, and a caption if there is one, to latents (Ramesh et al. 2022, 2.1).

    loss = E w_t |eps(x_t, t, z', caption) - n|^2,  w = min(SNR, 5) / SNR (Hang et al. 2023)

z' is the embedding with noise of a level drawn up to `levels` (`models.image_conditions`). It is dropped 10 % of the
time and the caption 50 %, apart, so that sampling can be guided by either or both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from astrogate.models.image_conditions import ImageConditions
from astrogate.train.data import Batches, PictureData
from astrogate.train.embeddings import dropped, encode_texts
from astrogate.train.loop import Schedule, fit
from astrogate.train.unet import snr_weights


def train_decoder(
    unet: Any,
    conditions: ImageConditions,
    clip: Any,
    scheduler: Any,
    data: PictureData,
    moments: NDArray[np.float16],
    embeddings: NDArray[np.float16],
    schedule: Schedule,
    *,
    empty: Tensor,
    folder: Path,
    seed: int,
    device: str,
    drop_picture: float = 0.1,
    drop_caption: float = 0.5,
    levels: int = 300,
) -> tuple[Any, ImageConditions]:
    """Train a `UNet2DConditionModel` of class embedding "projection" and its conditions.

    `moments` are the latents' means and deviations (`unet.cache_moments`), `embeddings` [n, d] those of the pictures,
    `empty` [length] the tokens of no caption.
    """
    torch.manual_seed(seed)
    z = torch.from_numpy(embeddings.astype(np.float32))
    normalizer, projection = conditions.normalizer.to(device), conditions.projection.to(device)
    normalizer.mean.data.copy_(z.mean(0, keepdim=True))
    normalizer.std.data.copy_(z.std(0, keepdim=True))
    normalizer.requires_grad_(False)
    unet = unet.to(device, memory_format=torch.channels_last)
    clip = clip.to(device).eval().requires_grad_(False)
    order, weights = Batches(len(data), schedule.batch, seed), snr_weights(scheduler).to(device)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = order.at(step)
        n = len(index)
        mean, std = torch.from_numpy(moments[index].astype(np.float32)).to(device).unbind(1)
        latents = mean + std * torch.randn_like(mean)
        noise, t = torch.randn_like(latents), torch.randint(len(weights), (n,), device=device)
        text = encode_texts(clip, dropped(data.tokens(index, rng).to(device), empty, drop_caption))
        own, level = z[torch.from_numpy(index)].to(device), torch.randint(levels + 1, (n,), device=device)
        gone = torch.rand(n, device=device) < drop_picture
        level = level.masked_fill(gone, 0)
        own = torch.where(gone[:, None], conditions.missing(n), conditions.noised(own, level, torch.randn_like(own)))
        with torch.autocast(device, torch.bfloat16):
            context, labels = conditions(own, level, text.embeds, text.states)
            predicted = unet(scheduler.add_noise(latents, noise, t), t, context, class_labels=labels).sample.float()
        return (weights[t] * (predicted - noise).square().mean((1, 2, 3))).mean()

    modules = nn.ModuleDict({"unet": unet, "projection": projection, "normalizer": normalizer})
    average = fit(modules, loss, schedule, folder=folder, name="decoder", seed=seed)
    return average["unet"], ImageConditions(average["projection"], average["normalizer"])
