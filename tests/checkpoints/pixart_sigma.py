"""A tiny PixArt-Sigma."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.checkpoints.parts import scheduler, t5_encoder, t5_tokenizer, vae

SIZE = 16


def parts(**options: Any) -> dict[str, Any]:
    """What a pipeline is made of; `options` are the transformer's."""
    from diffusers import PixArtTransformer2DModel

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    transformer = PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=18,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        cross_attention_dim=36,
        caption_channels=64,
        patch_size=2,
        **options,
    )
    return {
        "transformer": transformer,
        "scheduler": scheduler(),
        "vae": vae(),
        "text_encoder": t5_encoder(tokenizer),
        "tokenizer": tokenizer,
    }


def build(folder: Path) -> None:
    from diffusers import PixArtSigmaPipeline

    PixArtSigmaPipeline(**parts(sample_size=8, use_additional_conditions=False)).save_pretrained(folder)
