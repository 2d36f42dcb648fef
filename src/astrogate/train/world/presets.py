"""Menagerie's presets: sizes, schedules, and the stock modules that a stage trains.

`cpu` (64 px) takes at most three hours per stage on two cores; `cuda` (128 px, the same 4 x 16 x 16 latents) takes
under 25 minutes in all on one large GPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from astrogate.train.kit.loop import Schedule
from astrogate.train.parts.matching import MATCHING
from astrogate.train.parts.student import SCHEDULE
from astrogate.train.world.world_data import MAX_LENGTH


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes and schedules: `size` in pixels, `vae` widths (one halving between neighbours), pictures and their use.

    `twins` groups of pictures that differ in their pattern alone teach the patterns. `large` pictures of four times the
    size and `generated` latents teach the decoder that draws at that size.
    """

    size: int
    pictures: int
    rebuilt: int
    twins: int
    large: int
    generated: int
    vae: tuple[int, ...]
    schedules: dict[str, Schedule]
    device: str


PRESETS: dict[str, Preset] = {
    "cpu": Preset(
        size=64,
        pictures=140_000,
        rebuilt=20_000,
        twins=12_000,
        large=12_000,
        generated=320,
        vae=(24, 64, 96),
        schedules={
            "vae": Schedule(
                steps=4_400, batch=16, lr=1e-3, minutes=36, warmup=100, decay=0.5, ema=0.995, weight_decay=0
            ),
            "clip": Schedule(steps=5_600, batch=256, lr=1e-3, minutes=68, warmup=150, decay=0.7, ema=0.99),
            "unet": Schedule(steps=18_000, batch=64, lr=6e-4, minutes=180, warmup=300, decay=0.5, ema=0.999),
            "reader": Schedule(steps=40_000, batch=128, lr=2e-3, minutes=5, warmup=100, decay=0.7, ema=0.99),
            "patterns": Schedule(steps=4_300, batch=64, lr=5e-4, minutes=150, warmup=50, decay=0.7, ema=0.998),
            "vae_decoder": Schedule(
                steps=5_000, batch=12, lr=6e-4, minutes=90, warmup=100, decay=0.5, ema=0.998, weight_decay=0
            ),
            "oracle": Schedule(steps=6_000, batch=96, lr=2e-3, minutes=20, warmup=100, decay=0.7, ema=0.995),
            "witness": Schedule(steps=6_000, batch=96, lr=2e-3, minutes=15, warmup=200, decay=0.7, ema=0.995),
            "student": SCHEDULE,
            "matching": MATCHING,
        },
        device="cpu",
    ),
    "cuda": Preset(
        size=128,
        pictures=200_000,
        rebuilt=40_000,
        twins=20_000,
        large=20_000,
        generated=4_000,
        vae=(32, 48, 64, 80),
        schedules={
            "vae": Schedule(
                steps=9_000, batch=64, lr=1e-3, minutes=5, warmup=100, decay=0.5, ema=0.998, weight_decay=0
            ),
            "clip": Schedule(steps=5_000, batch=1024, lr=1e-3, minutes=4, warmup=300, decay=0.7, ema=0.998),
            "unet": Schedule(steps=60_000, batch=512, lr=1e-3, minutes=9, warmup=500, decay=0.5, ema=0.9995),
            "reader": Schedule(steps=40_000, batch=256, lr=2e-3, minutes=2, warmup=100, decay=0.7, ema=0.99),
            "patterns": Schedule(steps=10_000, batch=512, lr=5e-4, minutes=3, warmup=100, decay=0.7, ema=0.999),
            "vae_decoder": Schedule(
                steps=40_000, batch=64, lr=1e-3, minutes=8, warmup=200, decay=0.5, ema=0.999, weight_decay=0
            ),
            "oracle": Schedule(steps=12_000, batch=256, lr=2e-3, minutes=3, warmup=200, decay=0.7, ema=0.998),
            "witness": Schedule(steps=12_000, batch=256, lr=1e-3, minutes=2, warmup=200, decay=0.7, ema=0.998),
            "student": replace(SCHEDULE, batch=256, minutes=5),
            "matching": replace(MATCHING, batch=256, minutes=3),
        },
        device="cuda",
    ),
}


def build_vae(preset: Preset) -> Any:
    from diffusers import AutoencoderKL

    stages = len(preset.vae)
    blocks: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * stages,
        "up_block_types": ("UpDecoderBlock2D",) * stages,
        "block_out_channels": preset.vae,
    }
    return AutoencoderKL(**blocks, layers_per_block=1, latent_channels=4, norm_num_groups=8, sample_size=preset.size)


def build_large_vae(vae: Any) -> Any:
    """An autoencoder with the encoder of another one and a decoder that draws four times as large.

    It starts as the other decoder with its last features enlarged: added layers pass on what they are given.
    """
    import torch
    from diffusers import AsymmetricAutoencoderKL
    from torch import nn

    config = vae.config
    widths = config.block_out_channels
    large: Any = AsymmetricAutoencoderKL(
        down_block_types=config.down_block_types,
        down_block_out_channels=widths,
        layers_per_down_block=config.layers_per_block,
        up_block_types=("UpDecoderBlock2D",) * (len(widths) + 2),
        up_block_out_channels=(widths[0], widths[0] + 8, *widths),
        layers_per_up_block=config.layers_per_block,
        latent_channels=config.latent_channels,
        norm_num_groups=config.norm_num_groups,
        sample_size=4 * config.sample_size,
        scaling_factor=config.scaling_factor,
    )
    for part in ("encoder", "quant_conv", "decoder", "post_quant_conv"):
        getattr(large, part).load_state_dict(getattr(vae, part).state_dict(), strict=False)
    bilinear = torch.tensor([1.0, 2.0, 1.0]) / 4  # behind a nearest neighbour
    for block in large.decoder.up_blocks[len(widths) - 1 :]:
        for upsampler in block.upsamplers or ():
            weight, bias = upsampler.conv.weight, upsampler.conv.bias
            nn.init.dirac_(weight)
            nn.init.zeros_(bias)
            weight.data = weight.data[..., 1:2, 1:2] * bilinear[:, None] * bilinear
    for block in large.decoder.up_blocks[len(widths) :]:
        for layer in block.resnets:
            nn.init.zeros_(layer.conv2.weight)
            nn.init.zeros_(layer.conv2.bias)
            if layer.conv_shortcut is not None:
                nn.init.dirac_(layer.conv_shortcut.weight)
                nn.init.zeros_(layer.conv_shortcut.bias)
    return large


def build_clip(preset: Preset, tokenizer: Any) -> Any:
    from transformers import CLIPConfig, CLIPModel

    shared = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "projection_dim": 128}
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {**shared, **ids, "num_hidden_layers": 3, "max_position_embeddings": MAX_LENGTH}
    vision = {**shared, "num_hidden_layers": 4, "image_size": preset.size, "patch_size": preset.size // 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def build_unet() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(64, 128, 192),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
