"""Train a decoder: from an image embedding, and a caption if there is one, to latents (Ramesh et al. 2022, 2.1).

    loss = E w_t |eps(x_t, t, z', caption) - n|^2,  w = min(SNR, 5) / SNR (Hang et al. 2023)

z' is the embedding with noise of a level drawn up to `levels` (`models.unclip.conditions`), or a third of the time as
it is. It is dropped 10 % of the time and the caption 50 %, apart, so that sampling can be guided by either or both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from astrogate.models.unclip.conditions import FORGIVEN, ImageConditions
from astrogate.train.kit.denoising import drawn_latents, for_training, snr_weights
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.precision import reduced
from astrogate.train.parts.embeddings import Embedded


def train_decoder(
    unet: Any,
    conditions: ImageConditions,
    scheduler: Any,
    moments: NDArray[np.float16],
    on: Embedded,
    schedule: Schedule,
    *,
    drop_picture: float = 0.1,
    drop_caption: float = 0.5,
    levels: int = FORGIVEN,
) -> tuple[Any, ImageConditions]:
    """Train a `UNet2DConditionModel` of class embedding "projection" and its conditions.

    `moments` are the latents' means and deviations (`denoising.cache_moments`).
    """
    torch.manual_seed(on.seed)
    device = on.device
    normalizer, projection = conditions.normalizer.to(device), conditions.projection.to(device)
    normalizer.mean.data.copy_(on.z.mean(0, keepdim=True))
    normalizer.std.data.copy_(on.z.std(0, keepdim=True))
    normalizer.requires_grad_(False)
    unet = for_training(unet, device)
    order, weights = on.batches(schedule), snr_weights(scheduler).to(device)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = order.at(step)
        n, latents = len(index), drawn_latents(moments, index, device)
        noise, t = torch.randn_like(latents), torch.randint(len(weights), (n,), device=device)
        own, text = on.own(index), on.dropped(on.texts(index, rng), drop_caption)
        gone, clean = (torch.rand(n, device=device) < share for share in (drop_picture, 1 / 3))
        level = torch.randint(1, levels + 1, (n,), device=device).masked_fill(clean, 0)
        own = torch.where(gone[:, None], conditions.missing(n), conditions.noised(own, level, torch.randn_like(own)))
        with reduced(device):
            context, labels = conditions(own, level, text.embeds, text.states)
            predicted = unet(scheduler.add_noise(latents, noise, t), t, context, class_labels=labels).sample.float()
        return (weights[t] * (predicted - noise).square().mean((1, 2, 3))).mean()

    modules = nn.ModuleDict({"unet": unet, "projection": projection, "normalizer": normalizer})
    average = fit(modules, loss, schedule, folder=on.folder, name="decoder", seed=on.seed, of=on.of)
    return average["unet"], ImageConditions(average["projection"], average["normalizer"])
