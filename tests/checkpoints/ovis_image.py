"""A tiny Ovis-Image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.checkpoints.parts import FLUX, FLUX_VAE, qwen_encoder, qwen_tokenizer, vae

SIZE = 16


def build(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, OvisImagePipeline, OvisImageTransformer2DModel

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    options: dict[str, Any] = {**FLUX, "joint_attention_dim": 32}
    OvisImagePipeline(
        transformer=OvisImageTransformer2DModel(**options),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(16, **FLUX_VAE),
        text_encoder=qwen_encoder(tokenizer),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
