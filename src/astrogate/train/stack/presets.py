"""Sizes and schedules of a stack of unCLIP, and the stock modules that its stages train.

The shipped stack has 24 MiB in fp16. `cpu` takes under four hours on two cores, `cuda` under 25 minutes on a large
GPU. A decoder of the preset `cpu` should start from a text-to-image model's U-Net (`init`): from noise it takes at
least twice the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from astrogate.train.kit.loop import Schedule


@dataclass(frozen=True, slots=True)
class UnclipPreset:
    """`prior` is layers, heads and width of a head, `ar` layers and heads; `decoder` and `upsampler` are widths.

    `buckets` and `levels` are those of the symbols and of the dot product. `large` is how many pictures train each of
    the upsamplers, on crops of one in `crops` of their side.
    """

    prior: tuple[int, int, int]
    ar: tuple[int, int]
    buckets: int
    levels: int
    decoder: tuple[int, ...]
    upsampler: tuple[int, ...]
    large: tuple[int, int]
    crops: tuple[int, int]
    schedules: dict[str, Schedule]
    device: str


_CPU = UnclipPreset(
    prior=(5, 4, 48),
    ar=(6, 4),
    buckets=1024,
    levels=16,
    decoder=(48, 96, 144),
    upsampler=(32, 64, 64),
    large=(6_000, 400),
    crops=(4, 8),
    schedules={
        "prior": Schedule(steps=14_000, batch=64, lr=1e-3, minutes=35, warmup=200, decay=0.6, ema=0.999),
        "ar_prior": Schedule(steps=8_000, batch=64, lr=1e-3, minutes=25, warmup=200, decay=0.6, ema=0.998),
        "decoder": Schedule(steps=24_000, batch=64, lr=8e-4, minutes=70, warmup=300, decay=0.5, ema=0.999),
        "upsampler": Schedule(steps=8_000, batch=8, lr=8e-4, minutes=40, warmup=100, decay=0.6, ema=0.998),
        "upsampler_2": Schedule(steps=8_000, batch=4, lr=8e-4, minutes=40, warmup=100, decay=0.6, ema=0.998),
    },
    device="cpu",
)
_CUDA = replace(
    _CPU,
    device="cuda",
    upsampler=(24, 48, 48),
    large=(20_000, 1_500),
    crops=(4, 4),
    schedules={
        "prior": Schedule(steps=60_000, batch=1024, lr=1e-3, minutes=4, warmup=500, decay=0.6, ema=0.9995),
        "ar_prior": Schedule(steps=30_000, batch=512, lr=1e-3, minutes=4, warmup=500, decay=0.6, ema=0.9995),
        "decoder": Schedule(steps=60_000, batch=512, lr=1e-3, minutes=9, warmup=500, decay=0.5, ema=0.9995),
        "upsampler": Schedule(steps=20_000, batch=64, lr=8e-4, minutes=3, warmup=200, decay=0.6, ema=0.999),
        "upsampler_2": Schedule(steps=10_000, batch=32, lr=8e-4, minutes=3, warmup=200, decay=0.6, ema=0.999),
    },
)
UNCLIP_PRESETS = {"cpu": _CPU, "cuda": _CUDA}


def build_prior(preset: UnclipPreset, clip: Any) -> Any:
    """A `PriorTransformer` for a CLIPModel whose text states are as wide as its embedding."""
    from diffusers import PriorTransformer

    layers, heads, head = preset.prior
    return PriorTransformer(
        num_attention_heads=heads,
        attention_head_dim=head,
        num_layers=layers,
        embedding_dim=clip.config.projection_dim,
        num_embeddings=clip.config.text_config.max_position_embeddings,
        additional_embeddings=4,
    )


def build_ar_prior(preset: UnclipPreset, clip: Any, rank: int) -> Any:
    """A `GPT2LMHeadModel` as wide as the text states, for `rank` symbols."""
    from transformers import GPT2Config, GPT2LMHeadModel

    text = clip.config.text_config
    layers, heads = preset.ar
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=preset.buckets + preset.levels,
            n_positions=text.max_position_embeddings + 2 + rank,
            n_embd=text.hidden_size,
            n_layer=layers,
            n_head=heads,
            activation_function="gelu_pytorch_tanh",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def build_decoder(preset: UnclipPreset, clip: Any, side: int, channels: int) -> tuple[Any, Any, Any]:
    """A U-Net for latents of `side`, its `UnCLIPTextProjModel` and its `StableUnCLIPImageNormalizer`."""
    from diffusers import UNet2DConditionModel
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

    width, embedding = clip.config.text_config.hidden_size, clip.config.projection_dim
    stages = len(preset.decoder)
    unet = UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=preset.decoder,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * (stages - 1)),
        up_block_types=(*("CrossAttnUpBlock2D",) * (stages - 1), "UpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=4,
        norm_num_groups=16,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=2 * embedding,
    )
    projection = UnCLIPTextProjModel(clip_embeddings_dim=embedding, time_embed_dim=embedding, cross_attention_dim=width)
    return unet, projection, StableUnCLIPImageNormalizer(embedding)


def build_upsampler(preset: UnclipPreset, side: int) -> Any:
    """A `UNet2DModel` without attention, trained on crops of `side`."""
    from diffusers import UNet2DModel

    stages = len(preset.upsampler)
    return UNet2DModel(
        sample_size=side,
        in_channels=6,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=preset.upsampler,
        down_block_types=("DownBlock2D",) * stages,
        up_block_types=("UpBlock2D",) * stages,
        norm_num_groups=8,
        add_attention=False,
    )
