"""Tiny random stacks of unCLIP, each in the layout of its public checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from astrogate.models.unclip.load import package_of
from tests.checkpoints import WORDS
from tests.checkpoints.parts import LENGTH, clip_encoder, clip_tokenizer, unet, vae

WIDTH = 32


def vision_tower() -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=64,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=16,
        patch_size=4,
    )
    return CLIPVisionModelWithProjection(config).eval()


def processor() -> Any:
    from transformers import CLIPImageProcessor

    return CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})


def text_tower(tokenizer: Any) -> Any:
    from transformers import CLIPTextModelWithProjection

    return clip_encoder(CLIPTextModelWithProjection, tokenizer)


def towers() -> dict[str, Any]:
    """CLIP's two towers with what reads texts and pictures for them, by diffusers' names."""
    tokenizer = clip_tokenizer()
    return {
        "text_encoder": text_tower(tokenizer),
        "tokenizer": tokenizer,
        "image_encoder": vision_tower(),
        "feature_extractor": processor(),
    }


def transformer() -> Any:
    """A prior, its statistics set: they start at zeros."""
    from diffusers import PriorTransformer

    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        embedding_dim=WIDTH,
        num_embeddings=LENGTH,
        additional_embeddings=4,
    )
    prior.clip_mean.data.normal_(0, 0.1)
    prior.clip_std.data.uniform_(0.5, 1.5)
    return prior


def cosine(**options: Any) -> Any:
    from diffusers import UnCLIPScheduler

    return UnCLIPScheduler(variance_type="fixed_small_log", **options)


def projection(time: int = 64) -> Any:
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    found = UnCLIPTextProjModel(clip_embeddings_dim=WIDTH, time_embed_dim=time, cross_attention_dim=WIDTH)
    found.learned_classifier_free_guidance_embeddings.data.normal_()
    return found


def upsampler() -> Any:
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=32,
        in_channels=6,
        out_channels=3,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D",) * 2,
        up_block_types=("UpBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        add_attention=False,
    )


def karlo(folder: Path) -> dict[str, Any]:
    """The parts of both of Karlo's pipelines, under an index that names a package that diffusers doesn't have."""
    torch.manual_seed(0)
    parts = {
        "prior": transformer(),
        "decoder": added_unet(in_channels=3, out_channels=6, class_embed_type="identity"),
        **towers(),
        "text_proj": projection(),
        "super_res_first": upsampler(),
        "super_res_last": upsampler(),
        "prior_scheduler": cosine(prediction_type="sample", clip_sample_range=5.0),
        "decoder_scheduler": cosine(),
        "super_res_scheduler": cosine(),
    }
    written(folder, "UnCLIPPipeline", parts, package="unclip")
    return parts


def kandinsky(folder: Path) -> dict[str, Any]:
    """A decoder's folder, and its prior's in `folder/prior-pipeline`."""
    from diffusers import DDPMScheduler, VQModel

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    decoder = {
        "unet": added_unet(
            in_channels=4,
            out_channels=8,
            addition_embed_type="image",
            addition_embed_type_num_heads=2,
            encoder_hid_dim=WIDTH,
            encoder_hid_dim_type="image_proj",
        ),
        "scheduler": DDPMScheduler(beta_start=0.00085, beta_end=0.012, clip_sample=False),
        "movq": VQModel(
            block_out_channels=(32, 64),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("AttnUpDecoderBlock2D",) * 2,
            latent_channels=4,
            num_vq_embeddings=16,
            vq_embed_dim=4,
            norm_type="spatial",
        ),
    }
    prior = {
        "prior": transformer(),
        "image_encoder": vision_tower(),
        "text_encoder": text_tower(tokenizer),
        "tokenizer": tokenizer,
        "scheduler": cosine(prediction_type="sample", clip_sample_range=5.0),
        "image_processor": processor(),
    }
    written(folder, "KandinskyV22Pipeline", decoder)
    written(folder / "prior-pipeline", "KandinskyV22PriorPipeline", prior)
    return decoder | {f"prior_{name}": part for name, part in prior.items()}


def stable_unclip(folder: Path, *, prior: bool = False) -> dict[str, Any]:
    from diffusers import DDPMScheduler
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
    from transformers import CLIPTextModel

    from tests.checkpoints.parts import scheduler

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    parts = {
        "unet": unet(WIDTH, class_embed_type="projection", projection_class_embeddings_input_dim=2 * WIDTH),
        "scheduler": scheduler(),
        "vae": vae(),
        "tokenizer": tokenizer,
        "text_encoder": clip_encoder(CLIPTextModel, tokenizer),
        "image_normalizer": StableUnCLIPImageNormalizer(WIDTH),
        "image_noising_scheduler": DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        "image_encoder": vision_tower(),
        "feature_extractor": processor(),
    }
    if prior:
        parts |= {
            "prior": transformer(),
            "prior_scheduler": cosine(prediction_type="sample", clip_sample_range=5.0),
            "prior_tokenizer": tokenizer,
            "prior_text_encoder": text_tower(tokenizer),
        }
    written(folder, "StableUnCLIPPipeline" if prior else "StableUnCLIPImg2ImgPipeline", parts)
    return parts


def ours(folder: Path) -> dict[str, Any]:
    """A stack as `train` makes it, with both priors and an upsampler."""
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer
    from transformers import GPT2Config, GPT2LMHeadModel

    from astrogate.models.families.astrogate_unclip import OWN
    from astrogate.models.unclip.load import save_codebook
    from astrogate.ops.quantise import fit_codebook
    from astrogate.train.parts.upsampler import upsampler_scheduler
    from astrogate.train.world.presets import build_scheduler

    torch.manual_seed(0)
    parts = {
        "decoder": unet(
            WIDTH, class_embed_type="projection", projection_class_embeddings_input_dim=2 * WIDTH, time_embedding_dim=64
        ),
        "text_proj": projection(WIDTH),
        "image_normalizer": StableUnCLIPImageNormalizer(WIDTH),
        "scheduler": build_scheduler(),
        "vae": vae(),
        **towers(),
        "prior": transformer(),
        "prior_scheduler": cosine(prediction_type="sample", clip_sample_range=5.0),
        "ar_prior": GPT2LMHeadModel(GPT2Config(vocab_size=32 + 4, n_positions=64, n_embd=WIDTH, n_layer=1, n_head=2)),
        "upsampler": upsampler(),
        "upsampler_scheduler": upsampler_scheduler(),
    }
    written(folder, OWN, parts)
    codebook = fit_codebook(torch.randn(100, WIDTH), rank=6, buckets=32)
    save_codebook(codebook, torch.tensor([0.1, 0.2, 0.3]), folder / "ar_prior")
    (folder / "language.json").write_text(json.dumps(list(WORDS)))
    return parts


def written(folder: Path, kind: str, parts: dict[str, Any], package: str | None = None) -> None:
    """Save every part alone, and an index."""
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {"_class_name": kind}
    for name, part in parts.items():
        part.save_pretrained(folder / name)
        index[name] = [package or package_of(part), type(part).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))


def added_unet(**options: Any) -> Any:
    """The blocks of Karlo's and Kandinsky's decoders, whose attention adds the context to the picture's own tokens."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
        up_block_types=("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        attention_head_dim=8,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
        resnet_time_scale_shift="scale_shift",
        **options,
    )


STACKS = {"karlo": karlo, "kandinsky": kandinsky, "stable": stable_unclip, "ours": ours}
