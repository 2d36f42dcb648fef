"""A tiny Krea 2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.checkpoints.parts import frames_vae, qwen_tokenizer

SIZE = 32


def build(folder: Path) -> None:
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        Krea2Pipeline,
        Krea2Transformer2DModel,
    )

    torch.manual_seed(0)
    tokenizer = qwen_tokenizer()
    transformer = Krea2Transformer2DModel(
        in_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        num_key_value_heads=1,
        intermediate_size=32,
        timestep_embed_dim=32,
        text_hidden_dim=32,
        num_text_layers=2,
        text_num_attention_heads=2,
        text_num_key_value_heads=1,
        text_intermediate_size=32,
        num_layerwise_text_blocks=1,
        num_refiner_text_blocks=1,
        axes_dims_rope=(4, 6, 6),
    )
    Krea2Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=frames_vae(),
        text_encoder=_encoder(tokenizer),
        tokenizer=tokenizer,
        text_encoder_select_layers=(1, 2),
    ).save_pretrained(folder)


def _encoder(tokenizer: Any) -> Any:
    """Qwen3-VL, which sees nothing here."""
    from transformers import Qwen3VLConfig, Qwen3VLModel

    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "rope_scaling": {"mrope_section": [2, 3, 3], "mrope_interleaved": True, "rope_type": "default"},
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "out_hidden_size": 32,
        "num_position_embeddings": 16, "deepstack_visual_indexes": [0],
    }  # fmt: skip
    return Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=vision)).eval()
