"""A tiny Stable Diffusion XL."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import NOISE, clip_encoder, clip_tokenizer, unet, vae

SIZE = 16


def build(folder: Path) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    StableDiffusionXLPipeline(
        vae=vae(force_upcast=True),
        text_encoder=clip_encoder(CLIPTextModel, tokenizer),
        text_encoder_2=clip_encoder(CLIPTextModelWithProjection, tokenizer, 48),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(
            80,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=48 + 6 * 8,
        ),
        scheduler=EulerDiscreteScheduler.from_config(NOISE),
        force_zeros_for_empty_prompt=True,
    ).save_pretrained(folder)
