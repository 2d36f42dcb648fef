"""Train a text-conditioned UNet2DConditionModel to predict noise (Ho et al. 2020; Rombach et al. 2022).

Loss: min-SNR weighted MSE, w = min(SNR, gamma) / SNR with gamma = 5 (Hang et al. 2023). Captions are dropped with
probability 0.1 for classifier-free guidance (Ho & Salimans 2022). Latents are sampled from cached VAE moments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from astrogate.train.kit.data import Batches, PictureData
from astrogate.train.kit.denoising import drawn_latents, for_training, snr_weights
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.precision import reduced


def train_unet(
    unet: Any,
    text_encoder: Any,
    scheduler: Any,
    data: PictureData,
    moments: NDArray[np.float16],
    schedule: Schedule,
    *,
    empty: Tensor,
    folder: Path,
    seed: int,
    device: str,
    of: str = "",
    gamma: float = 5.0,
    drop: float = 0.1,
) -> Any:
    """Train `unet` on cached latents and live text states; `empty` [length] are the tokens of no caption."""
    torch.manual_seed(seed)
    unet = for_training(unet, device)
    text_encoder = text_encoder.to(device).eval().requires_grad_(False)
    order = Batches(len(data), schedule.batch, seed)
    weights = snr_weights(scheduler, gamma).to(device)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = order.at(step)
        latents = drawn_latents(moments, index, device)
        tokens = data.tokens(index, rng)
        tokens[torch.rand(len(index)) < drop] = empty
        noise, t = torch.randn_like(latents), torch.randint(len(weights), (len(index),), device=device)
        noisy = scheduler.add_noise(latents, noise, t)
        with reduced(device):
            states = text_encoder(tokens.to(device)).last_hidden_state
            predicted = unet(noisy, t, states).sample.float()
        return (weights[t] * (predicted - noise).pow(2).mean((1, 2, 3))).mean()

    return fit(nn.ModuleDict({"unet": unet}), loss, schedule, folder=folder, name="unet", seed=seed, of=of)["unet"]
