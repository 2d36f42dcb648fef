"""A stack that `train` made: Karlo's conditions, and noise levels as stable unCLIP has them; draws latents.

See `models.unclip.conditions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from astrogate.models.codec import Autoencoder
from astrogate.models.family import StackFamily
from astrogate.models.unclip import parts as stock
from astrogate.models.unclip.conditions import FORGIVEN, ImageConditions
from astrogate.models.unclip.parts import CAN, Parts, caption_of, diffusion_prior
from astrogate.models.unclip.priors import AutoregressivePrior
from astrogate.models.unclip.stack import Stack
from astrogate.models.unclip.towers import Towers
from astrogate.models.unclip.upsampling import Upsampler

#: The class name in the index of such a stack.
OWN = "AstrogateUnCLIP"


def _stack(parts: Parts) -> Stack:
    """A stack that `train` made."""
    towers = Towers(
        parts["tokenizer"], parts["text_encoder"], parts["image_encoder"], parts["feature_extractor"], unit=True
    )
    conditions = ImageConditions(parts["text_proj"], parts["image_normalizer"])

    def seen(tensors: Mapping[str, Tensor], negative: bool) -> dict[str, Any]:
        z, level = tensors["image_embeds"], tensors["noise_level"][:, 0].long()
        context, labels = conditions(z, level, tensors["pooled_prompt_embeds"], tensors["prompt_embeds"])
        return {"encoder_hidden_states": context, "class_labels": labels}

    priors = diffusion_prior(parts)
    if "ar_prior" in parts:
        priors |= {"ar": AutoregressivePrior(parts["ar_prior"], *parts["codebook"])}
    return Stack(
        parts,
        towers=towers,
        coder=Autoencoder(parts["vae"]),
        tokenizer=parts["tokenizer"],
        caption=lambda prompts: {k: v for k, v in caption_of(towers)(prompts).items() if k != "prompt_attention_mask"},
        conditions=seen,
        missing=conditions.missing(1)[0].detach(),
        noised=conditions.noised,
        levels=FORGIVEN,
        priors=priors,
        upsamplers=tuple(
            # with channels last, 1024 pixels take half the time
            Upsampler(parts[name].to(memory_format=torch.channels_last), parts[f"{name}_scheduler"])
            for name in ("upsampler", "upsampler_2")
            if name in parts
        ),
    )


FAMILY = StackFamily(
    name="Astrogate's own unCLIP",
    pipelines=(OWN,),
    parts={
        "decoder": stock.UNET,
        "text_proj": stock.PROJECTION,
        "image_normalizer": stock.NORMALIZER,
        "scheduler": "diffusers.DDIMScheduler",
        "vae": "autoencoder",
        "text_encoder": stock.TEXT,
        "tokenizer": stock.TOKENIZER,
        "image_encoder": stock.VISION,
        "feature_extractor": stock.PROCESSOR,
        "prior": stock.PRIOR,
        "prior_scheduler": stock.NOISE,
        "ar_prior": "transformers.GPT2LMHeadModel",
        "upsampler": "diffusers.UNet2DModel",
        "upsampler_scheduler": "diffusers.DDIMScheduler",
        "upsampler_2": "diffusers.UNet2DModel",
        "upsampler_2_scheduler": "diffusers.DDIMScheduler",
    },
    needed=9,
    denoiser="decoder",
    scheduler="scheduler",
    make=_stack,
    can=CAN | {"pooled", "imagine", "upscale"},
)
