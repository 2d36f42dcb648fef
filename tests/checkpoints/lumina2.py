"""A tiny Lumina-Image 2."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import FLUX_VAE, gemma_encoder, gemma_tokenizer, vae

SIZE = 64


def build(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, Lumina2Pipeline, Lumina2Transformer2DModel

    torch.manual_seed(0)
    tokenizer = gemma_tokenizer()
    transformer = Lumina2Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=2,
        num_kv_heads=1,
        multiple_of=8,
        axes_dim_rope=(4, 4, 4),
        axes_lens=(300, 32, 32),
        cap_feat_dim=32,
    )
    Lumina2Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(widths=(8, 8, 8, 16), **FLUX_VAE),
        text_encoder=gemma_encoder(tokenizer),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
