"""Karlo (Lee et al. 2022): text to picture, picture variation, or both in one folder.

time += P z_i + Q z_t,   context = [four tokens of z_i, states of the text];   draws pixels of 64 x 64
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from astrogate.models.codec import Pixels
from astrogate.models.family import StackFamily
from astrogate.models.unclip import parts as stock
from astrogate.models.unclip.parts import CAN, Parts, caption_of, diffusion_prior
from astrogate.models.unclip.stack import Stack
from astrogate.models.unclip.towers import Towers
from astrogate.models.unclip.upsampling import Upsampler


def _stack(parts: Parts) -> Stack:
    """Karlo (Lee et al. 2022): text to picture, picture variation, or both in one folder."""
    towers = Towers(
        parts["tokenizer"], parts["text_encoder"], parts.get("image_encoder"), parts.get("feature_extractor")
    )
    projection, tokens = parts["text_proj"], parts["text_proj"].clip_extra_context_tokens

    def conditions(tensors: Mapping[str, Tensor], negative: bool) -> dict[str, Any]:
        context, time = projection(
            image_embeddings=tensors["image_embeds"],
            prompt_embeds=tensors["pooled_prompt_embeds"],
            text_encoder_hidden_states=tensors["prompt_embeds"],
            do_classifier_free_guidance=False,
        )
        mask = F.pad(tensors["prompt_attention_mask"], (tokens, 0), value=True)
        return {"encoder_hidden_states": context, "class_labels": time, "attention_mask": mask}

    first, last = parts.get("super_res_first"), parts.get("super_res_last")
    return Stack(
        parts,
        towers=towers,
        coder=Pixels(int(parts["decoder"].config.sample_size)),
        clamp=float(parts["decoder_scheduler"].config.clip_sample_range),
        tokenizer=parts["tokenizer"],
        caption=caption_of(towers),
        conditions=conditions,
        missing=projection.learned_classifier_free_guidance_embeddings.detach(),
        priors=diffusion_prior(parts),
        prior_guidance=4.0,
        upsamplers=()
        if first is None
        else (Upsampler(first, parts["super_res_scheduler"], last=last, num_inference_steps=7),),
    )


FAMILY = StackFamily(
    name="Karlo",
    pipelines=("UnCLIPPipeline", "UnCLIPImageVariationPipeline"),
    parts={
        "decoder": stock.UNET,
        "text_proj": stock.PROJECTION,
        "text_encoder": stock.TEXT,
        "tokenizer": stock.TOKENIZER,
        "decoder_scheduler": stock.NOISE,
        "prior": stock.PRIOR,
        "prior_scheduler": stock.NOISE,
        "image_encoder": stock.VISION,
        "feature_extractor": stock.PROCESSOR,
        "super_res_first": "diffusers.UNet2DModel",
        "super_res_last": "diffusers.UNet2DModel",
        "super_res_scheduler": stock.NOISE,
    },
    needed=5,
    denoiser="decoder",
    scheduler="decoder_scheduler",
    make=_stack,
    can=CAN | {"pooled", "imagine", "upscale"},
)
