"""A tiny Z-Image."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import FLUX_VAE, qwen_encoder, qwen_tokenizer, vae

SIZE = 64


def build(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, ZImagePipeline, ZImageTransformer2DModel

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer = ZImageTransformer2DModel(
        in_channels=4,
        dim=24,
        n_layers=1,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=32,
        axes_dims=[4, 4, 4],
        axes_lens=[600, 32, 32],
    )
    for mark in (transformer.x_pad_token, transformer.cap_pad_token):
        torch.nn.init.normal_(mark)
    ZImagePipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=vae(widths=(8, 8, 8, 16), **FLUX_VAE),
        text_encoder=qwen_encoder(tokenizer),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
