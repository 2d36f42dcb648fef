"""Stable unCLIP, from pictures or, where the folder holds a prior, from text.

time += MLP [z_i, sinusoid(noise level)],   context = states of a text encoder of its own;   draws latents
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from astrogate.models.codec import Autoencoder
from astrogate.models.family import StackFamily
from astrogate.models.text.prompts import tokenized
from astrogate.models.unclip import parts as stock
from astrogate.models.unclip.conditions import LEVELS
from astrogate.models.unclip.parts import CAN, Parts, diffusion_prior
from astrogate.models.unclip.stack import Stack
from astrogate.models.unclip.towers import Towers


def _stack(parts: Parts) -> Stack:
    """Stable unCLIP, from pictures or, where the folder holds a prior, from text."""
    towers = Towers(
        parts.get("prior_tokenizer"),
        parts.get("prior_text_encoder"),
        parts.get("image_encoder"),
        parts.get("feature_extractor"),
    )
    tokenizer, encoder = parts["tokenizer"], parts["text_encoder"]
    width = int(parts["image_normalizer"].config.embedding_dim)

    def noised(z: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        own = parts["image_normalizer"]
        return own.unscale(parts["image_noising_scheduler"].add_noise(own.scale(z), noise, level))

    def caption(prompts: Sequence[str]) -> Mapping[str, Tensor]:
        return {"prompt_embeds": encoder(tokenized(tokenizer, prompts).input_ids.to(encoder.device))[0]}

    def conditions(tensors: Mapping[str, Tensor], negative: bool) -> dict[str, Any]:
        from diffusers.models.embeddings import get_timestep_embedding

        z, level = tensors["image_embeds"], tensors["noise_level"][:, 0].float()
        level = get_timestep_embedding(level, z.shape[1], flip_sin_to_cos=True, downscale_freq_shift=0)
        labels = torch.cat([z, level.to(z)], 1)
        labels = torch.zeros_like(labels) if negative else labels
        return {"encoder_hidden_states": tensors["prompt_embeds"], "class_labels": labels}

    return Stack(
        parts,
        towers=towers,
        coder=Autoencoder(parts["vae"]),
        tokenizer=tokenizer,
        caption=caption,
        conditions=conditions,
        missing=torch.zeros(width),
        noised=noised,
        levels=LEVELS - 1,
        priors=diffusion_prior(parts),
        prior_guidance=4.0,
    )


FAMILY = StackFamily(
    name="stable unCLIP",
    pipelines=("StableUnCLIPPipeline", "StableUnCLIPImg2ImgPipeline"),
    parts={
        "unet": stock.UNET,
        "scheduler": "scheduler",
        "vae": "autoencoder",
        "tokenizer": stock.TOKENIZER,
        "text_encoder": "transformers.CLIPTextModel",
        "image_normalizer": stock.NORMALIZER,
        "image_noising_scheduler": "scheduler",
        "image_encoder": stock.VISION,
        "feature_extractor": stock.PROCESSOR,
        "prior": stock.PRIOR,
        "prior_scheduler": stock.NOISE,
        "prior_tokenizer": stock.TOKENIZER,
        "prior_text_encoder": stock.TEXT,
    },
    needed=7,
    denoiser="unet",
    scheduler="scheduler",
    make=_stack,
    can=CAN | {"imagine"},
)
