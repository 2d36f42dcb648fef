"""A tiny Stable Diffusion 3."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import clip_encoder, clip_tokenizer, t5_encoder, t5_tokenizer, vae

SIZE = 16


def build(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer, tokenizer_3 = clip_tokenizer(), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=64,
        caption_projection_dim=16,
        pooled_projection_dim=56,
        pos_embed_max_size=16,
    )
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(16, shift_factor=0.06, scaling_factor=1.5, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_encoder(CLIPTextModelWithProjection, tokenizer, 24),
        text_encoder_2=clip_encoder(CLIPTextModelWithProjection, tokenizer, 32),
        text_encoder_3=t5_encoder(tokenizer_3),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=tokenizer_3,
    ).save_pretrained(folder)
