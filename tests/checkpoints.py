"""Tiny random checkpoints of every family, made and saved by diffusers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from astrogate.core.point import Half, Point, Steer
from astrogate.core.protocols import Model

WORDS = ("a", "of", "painting", "photo", "dog", "cat", "fat", "thin", "happy", "sad", "3", "d", "render", "horse")
LENGTH = 16


def clip_tokenizer() -> Any:
    from astrogate.train.world.tokenizer import build_tokenizer

    return build_tokenizer(WORDS, max_length=LENGTH)


def t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    pieces = [f"\u2581{word}" for word in WORDS] + [",", "\u2581"]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), *((piece, -2.0) for piece in pieces)]
    return T5Tokenizer(vocab=vocab, extra_ids=0)


def clip_encoder(kind: Any, tokenizer: Any, width: int = 32) -> Any:
    from transformers import CLIPTextConfig

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=64,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config).eval()


def t5_encoder(tokenizer: Any, width: int = 64) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=16, d_ff=64, num_layers=2, num_heads=2, feed_forward_proj="gelu"
    )
    return T5EncoderModel(config).eval()


def vae(channels: int = 4, **options: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=16,
        **options,
    )


def unet(width: int = 32, **options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=2,
        norm_num_groups=8,
        **options,
    )


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, steps_offset=1
    )


def stable_diffusion(folder: Path) -> None:
    """0.3 M parameters."""
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    StableDiffusionPipeline(
        vae=vae(),
        text_encoder=clip_encoder(CLIPTextModel, tokenizer),
        tokenizer=tokenizer,
        unet=unet(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def stable_diffusion_xl(folder: Path) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    StableDiffusionXLPipeline(
        vae=vae(force_upcast=True),
        text_encoder=clip_encoder(CLIPTextModel, tokenizer),
        text_encoder_2=clip_encoder(CLIPTextModelWithProjection, tokenizer, 48),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet(
            80,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=48 + 6 * 8,
        ),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"),
        force_zeros_for_empty_prompt=True,
    ).save_pretrained(folder)


def stable_diffusion_3(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(0)
    tokenizer, tokenizer_3 = clip_tokenizer(), t5_tokenizer()
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=64,
        caption_projection_dim=16,
        pooled_projection_dim=56,
        pos_embed_max_size=16,
    )
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=vae(16, shift_factor=0.06, scaling_factor=1.5, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_encoder(CLIPTextModelWithProjection, tokenizer, 24),
        text_encoder_2=clip_encoder(CLIPTextModelWithProjection, tokenizer, 32),
        text_encoder_3=t5_encoder(tokenizer_3),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        tokenizer_3=tokenizer_3,
    ).save_pretrained(folder)


def flux(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel
    from transformers import CLIPTextModel

    torch.manual_seed(0)
    tokenizer, tokenizer_2 = clip_tokenizer(), t5_tokenizer()
    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=64,
        pooled_projection_dim=32,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    )
    FluxPipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae=vae(16, shift_factor=0.1, scaling_factor=0.36, use_quant_conv=False, use_post_quant_conv=False),
        text_encoder=clip_encoder(CLIPTextModel, tokenizer),
        text_encoder_2=t5_encoder(tokenizer_2),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer_2,
    ).save_pretrained(folder)


def clip_model(folder: Path) -> None:
    """A CLIPModel with its tokenizer and processor, 16 px."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    shared = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {**shared, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    CLIPModel(
        CLIPConfig(text_config=text, vision_config={**shared, "image_size": 16, "patch_size": 4}, projection_dim=16)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)


FAMILIES = {
    "sd": stable_diffusion,
    "sdxl": stable_diffusion_xl,
    "sd3": stable_diffusion_3,
    "flux": flux,
}
SIZE = {"sd": 16, "sdxl": 16, "sd3": 16, "flux": 32}
PROMPT = "a painting of a fat dog"


def made(model: Model, family: str, prompt: str = PROMPT, seed: int = 5, negative: str = "") -> Point:
    return model.point(prompt, seed=seed, negative=negative, height=SIZE[family], width=SIZE[family])


def denoiser(model: Model, family: str) -> torch.nn.Module:
    return model.module("unet" if family in ("sd", "sdxl") else "transformer")


def steered(model: Model, point: Point, family: str, half: Half = "positive", **options: Any) -> Steer:
    spaces = [s for s in ("prompt_embeds", "pooled_prompt_embeds") if s in model.spaces]
    return Steer({s: torch.ones_like(point.tensors[s]) for s in spaces}, 2.0, half=half, **options)
