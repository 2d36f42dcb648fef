"""What all trainings of a denoiser share: cached latents, the weight of each step, the form that trains fastest.

x = mean + std n, n ~ N(0, 1), from the VAE's posterior of a picture
w = min(SNR, gamma) / SNR, gamma = 5 (min-SNR weighting, Hang et al. 2023)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astrogate.core.progress import unseen
from astrogate.models.loading.parts import load_module
from astrogate.train.kit.data import PictureData, keep_rows


def load_vae(folder: Path, device: str) -> Any:
    """A frozen AutoencoderKL in float32."""
    from diffusers import AutoencoderKL

    return load_module(AutoencoderKL, folder, torch.float32).to(device).requires_grad_(False)


def cache_moments(vae: Any, data: PictureData, *, key: str, device: str) -> NDArray[np.float16]:
    """Posterior mean and standard deviation of every picture, scaled: float16 [n, 2, c, h, w].

    They are kept beside the data under `key`, which names the VAE.
    """

    @torch.no_grad()
    def parts() -> Iterator[NDArray[np.float16]]:
        from tqdm import tqdm

        batch = max(1, 250 * 64**2 // int(np.prod(data.arrays["images"].shape[1:3])))
        for start in tqdm(range(0, len(data), batch), desc="latents", disable=unseen()):
            posterior = vae.encode(data.images(np.arange(start, min(start + batch, len(data))), device)).latent_dist
            both = torch.stack([posterior.mean, posterior.std], 1) * vae.config.scaling_factor
            yield both.half().cpu().numpy()

    return keep_rows(data.folder / f"moments-{key}.npy", len(data), parts())


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
    step of a small U-Net takes 0.71 s with it and 0.49 s without, one of a small prior 0.65 s and 0.43 s.
    """
    from diffusers.models.attention_processor import AttnProcessor

    model = model.to(device, memory_format=torch.channels_last)
    if device == "cpu":
        model.set_attn_processor(AttnProcessor())
    return model
