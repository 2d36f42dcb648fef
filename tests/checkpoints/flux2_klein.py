"""A tiny FLUX.2 klein."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.flux2 import SIZE as SIZE
from tests.checkpoints.flux2 import transformer, vae
from tests.checkpoints.parts import qwen_encoder, qwen_tokenizer


def build(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    Flux2KleinPipeline(
        transformer=transformer(guidance_embeds=False),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(),
        text_encoder=qwen_encoder(tokenizer, 8, layers=28, speaks=True),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
