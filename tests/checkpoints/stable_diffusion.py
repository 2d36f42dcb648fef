"""A tiny Stable Diffusion 1, 0.3 M parameters."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import clip_encoder, clip_tokenizer, scheduler, unet, vae

SIZE = 16


def build(folder: Path) -> None:
    """0.3 M parameters."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    StableDiffusionPipeline(
        vae=vae(),
        text_encoder=clip_encoder(CLIPTextModel, tokenizer),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
