"""Latents that a run's own U-Net draws of its data's captions: what a decoder meets in use, unlike those of drawings.

DDIM, eta 0, classifier-free guidance (Ho & Salimans 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astrogate.core.progress import unseen
from astrogate.train.kit.data import PictureData, keep_rows

#: As pictures are drawn: denoising steps, the guidance scale; and how many at once.
_STEPS, _GUIDANCE, _BATCH = 20, 4.0, 16


def generated_latents(
    data: PictureData,
    count: int,
    unet: Any,
    text_encoder: Any,
    scheduler: Any,
    *,
    empty: Tensor,
    key: str,
    seed: int,
    device: str,
) -> NDArray[np.float16]:
    """`count` scaled latents [count, c, h, w], kept beside the data under `key`.

    `empty` [length] are the tokens of no caption.
    """
    unet, text_encoder = unet.to(device).eval(), text_encoder.to(device).eval()
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    scheduler.set_timesteps(_STEPS)

    @torch.no_grad()
    def parts() -> Iterator[NDArray[np.float16]]:
        from tqdm import tqdm

        for start in tqdm(range(0, count, _BATCH), desc="generated", disable=unseen()):
            index = np.arange(start, min(start + _BATCH, count))
            rng, draws = np.random.default_rng((seed, start)), torch.Generator().manual_seed(seed + start)
            tokens = data.tokens(index % len(data), rng)
            both = torch.cat([empty.expand_as(tokens), tokens]).to(device)
            states = text_encoder(both).last_hidden_state
            x = torch.randn(len(index), *shape, generator=draws).to(device)
            for t in scheduler.timesteps:
                free, said = unet(torch.cat([x, x]), t, states).sample.chunk(2)
                x = scheduler.step(free + _GUIDANCE * (said - free), t, x).prev_sample
            yield x.half().cpu().numpy()

    return keep_rows(data.folder / f"generated-{key}.npy", count, parts())
