"""A tiny Flux.1."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import FLUX, FLUX_VAE, clip_encoder, clip_tokenizer, t5_encoder, t5_tokenizer, vae

SIZE = 32


def build(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer, tokenizer_2 = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(**FLUX, pooled_projection_dim=32, guidance_embeds=True)
    FluxPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae(16, **FLUX_VAE),
        text_encoder=clip_encoder(CLIPTextModel, tokenizer),
        text_encoder_2=t5_encoder(tokenizer_2),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
    ).save_pretrained(folder)
