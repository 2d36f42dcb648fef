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
from astrogate.train.kit.loop import Schedule, fit


def cache_moments(vae: Any, data: PictureData, *, key: str, device: str) -> NDArray[np.float16]:
    """Posterior mean and standard deviation of every picture, scaled: float16 [n, 2, c, h, w].

    They are kept beside the data under `key`, which names the VAE.
    """
    path = data.folder / f"moments-{key}.npy"
    if path.exists():
        return np.load(path, mmap_mode="r")
    from tqdm import tqdm

    batch = max(1, 250 * 64**2 // int(np.prod(data.arrays["images"].shape[1:3])))
    out: Any = None
    temporary = path.with_suffix(".tmp")
    with torch.no_grad():
        for start in tqdm(range(0, len(data), batch), desc="latents"):
            index = np.arange(start, min(start + batch, len(data)))
            posterior = vae.encode(data.images(index, device)).latent_dist
            both = torch.stack([posterior.mean, posterior.std], 1) * vae.config.scaling_factor
            if out is None:
                out = np.lib.format.open_memmap(temporary, "w+", np.float16, (len(data), *both.shape[1:]))
            out[index] = both.half().cpu().numpy()
    out.flush()
    temporary.rename(path)
    return np.load(path, mmap_mode="r")


def drawn_latents(moments: NDArray[np.float16], index: NDArray[np.int64], device: str) -> Tensor:
    """One draw [b, c, h, w] from the posterior of each of some pictures."""
    mean, std = torch.from_numpy(moments[index].astype(np.float32)).to(device).unbind(1)
    return mean + std * torch.randn_like(mean)


def snr_weights(scheduler: Any, gamma: float = 5.0) -> Tensor:
    """The loss's weight at every step [t]: min(SNR, gamma) / SNR."""
    alphas = scheduler.alphas_cumprod
    return (gamma * (1 - alphas) / alphas).clamp(max=1.0)


def for_training(model: Any, device: str) -> Any:
    """A model of diffusers on its device, in the form that trains fastest there.

    On processors the backward pass of PyTorch's fused attention in bfloat16 is slower than plain matrix products: a
    step of a small U-Net takes .71 s with it and .49 s without, one of a small prior .65 s and .43 s.
    """
    from diffusers.models.attention_processor import AttnProcessor

    model = model.to(device, memory_format=torch.channels_last)
    if device == "cpu":
        model.set_attn_processor(AttnProcessor())
    return model


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
        with torch.autocast(device, torch.bfloat16):
            states = text_encoder(tokens.to(device)).last_hidden_state
            predicted = unet(noisy, t, states).sample.float()
        return (weights[t] * (predicted - noise).pow(2).mean((1, 2, 3))).mean()

    return fit(nn.ModuleDict({"unet": unet}), loss, schedule, folder=folder, name="unet", seed=seed)["unet"]
