"""A tiny Chroma."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import FLUX, FLUX_VAE, t5_encoder, t5_tokenizer, vae

SIZE = 32


def build(folder: Path) -> None:
    from diffusers import ChromaPipeline, ChromaTransformer2DModel, FlowMatchEulerDiscreteScheduler

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    transformer = ChromaTransformer2DModel(
        **FLUX, approximator_num_channels=8, approximator_hidden_dim=16, approximator_layers=1
    )
    ChromaPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae(16, **FLUX_VAE),
        text_encoder=t5_encoder(tokenizer),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
