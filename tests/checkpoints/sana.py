"""A tiny SANA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.checkpoints.parts import gemma_encoder, gemma_tokenizer

SIZE = 32


def parts(**options: Any) -> dict[str, Any]:
    """All but the scheduler; `options` are the transformer's."""
    from diffusers import AutoencoderDC, SanaTransformer2DModel

    torch.manual_seed(0)
    tokenizer = gemma_tokenizer()
    transformer = SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=32,
        sample_size=8,
        **options,
    )
    vae = AutoencoderDC(
        latent_channels=4,
        attention_head_dim=2,
        encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"),
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        encoder_qkv_multiscales=((), (5,)),
        decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1),
        decoder_layers_per_block=(1, 1),
        downsample_block_type="conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
    return {
        "transformer": transformer,
        "vae": vae,
        "text_encoder": gemma_encoder(tokenizer),
        "tokenizer": tokenizer,
    }


def build(folder: Path) -> None:
    from diffusers import DPMSolverMultistepScheduler, SanaPipeline

    scheduler = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, final_sigmas_type="zero"
    )
    SanaPipeline(scheduler=scheduler, **parts()).save_pretrained(folder)
