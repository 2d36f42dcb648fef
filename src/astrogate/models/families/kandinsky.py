"""Kandinsky 2.2 (Razzhigaev et al. 2023), its prior's parts under names that start with "prior_".

Tokens and time are of z_i alone; it draws latents of MoVQ, and reads no text behind its prior.
"""

from __future__ import annotations

import torch

from astrogate.models.codec import Movq
from astrogate.models.family import StackFamily
from astrogate.models.unclip import parts as stock
from astrogate.models.unclip.parts import CAN, Parts, diffusion_prior
from astrogate.models.unclip.stack import Stack
from astrogate.models.unclip.towers import Towers


def _stack(parts: Parts) -> Stack:
    """Kandinsky 2.2, its prior's parts under names that start with "prior_"."""
    encoder = parts["prior_image_encoder"]
    towers = Towers(parts["prior_tokenizer"], parts["prior_text_encoder"], encoder, parts["prior_image_processor"])
    side = int(encoder.config.image_size)
    with torch.no_grad():
        missing = encoder(torch.zeros(1, 3, side, side, device=encoder.device, dtype=encoder.dtype)).image_embeds[0]
    return Stack(
        parts,
        towers=towers,
        coder=Movq(parts["movq"]),
        tokenizer=None,
        caption=lambda prompts: {},
        conditions=lambda tensors, negative: {
            "encoder_hidden_states": None,
            "added_cond_kwargs": {"image_embeds": tensors["image_embeds"]},
        },
        missing=missing,
        priors=diffusion_prior(parts, "prior_prior"),
        prior_guidance=4.0,
        negative_prior=True,
    )


FAMILY = StackFamily(
    name="Kandinsky 2.2",
    pipelines=("KandinskyV22Pipeline", "KandinskyV22CombinedPipeline"),
    parts={
        "unet": stock.UNET,
        "scheduler": "scheduler",
        "movq": "diffusers.VQModel",
        "prior_prior": stock.PRIOR,
        "prior_image_encoder": stock.VISION,
        "prior_text_encoder": stock.TEXT,
        "prior_tokenizer": stock.TOKENIZER,
        "prior_scheduler": stock.NOISE,
        "prior_image_processor": stock.PROCESSOR,
    },
    needed=9,
    denoiser="unet",
    scheduler="scheduler",
    make=_stack,
    can=CAN | {"imagine"},
)
