"""A tiny AuraFlow."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.checkpoints.parts import t5_tokenizer, vae

SIZE = 16


def build(folder: Path) -> None:
    from diffusers import AuraFlowPipeline, AuraFlowTransformer2DModel, FlowMatchEulerDiscreteScheduler
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    tokenizer = t5_tokenizer()
    config = UMT5Config(vocab_size=len(tokenizer), d_model=64, d_kv=16, d_ff=64, num_layers=2, num_heads=2)
    transformer = AuraFlowTransformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pos_embed_max_size=256,
    )
    with torch.no_grad():  # of 264 tokens few are words: what they say is loud
        for name, weight in transformer.named_parameters():
            if ".attn." in name or ".linear." in name:
                weight.mul_(10 if ".attn." in name else 4)
    AuraFlowPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(),
        text_encoder=UMT5EncoderModel(config).eval(),
        tokenizer=tokenizer,
    ).save_pretrained(folder)
