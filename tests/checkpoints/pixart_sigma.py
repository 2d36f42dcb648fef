"""A tiny PixArt-Sigma."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import scheduler, t5_encoder, t5_tokenizer, vae

SIZE = 16


def build(folder: Path) -> None:
    from diffusers import PixArtSigmaPipeline, PixArtTransformer2DModel

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=32,
        caption_channels=64,
        sample_size=8,
        patch_size=2,
        use_additional_conditions=False,
    )
    PixArtSigmaPipeline(
        transformer=transformer,
        scheduler=scheduler(),
        vae=vae(),
        text_encoder=t5_encoder(tokenizer),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
