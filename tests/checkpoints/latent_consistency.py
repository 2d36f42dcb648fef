"""A tiny latent consistency model."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import NOISE, clip_encoder, clip_tokenizer, unet, vae

SIZE = 16


def build(folder: Path) -> None:
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    LatentConsistencyModelPipeline(
        vae=vae(),
        text_encoder=clip_encoder(CLIPTextModel, tokenizer),
        tokenizer=tokenizer,
        unet=unet(time_cond_proj_dim=16),
        scheduler=LCMScheduler.from_config(NOISE),
        safety_checker=None,  # type: ignore[arg-type]
        feature_extractor=None,  # type: ignore[arg-type]
        requires_safety_checker=False,
    ).save_pretrained(folder)
