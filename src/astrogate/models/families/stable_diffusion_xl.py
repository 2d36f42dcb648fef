"""Stable Diffusion XL (Podell et al. 2023), with both text encoders; its refiner is not drawn.

The U-Net attends to the states before the last layer of two CLIP text encoders, side by side, and takes the second
one's projected text with the picture's size as a second condition.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from astrogate.core.recipe import Recipe
from astrogate.models.families.stable_diffusion import drawn_by
from astrogate.models.family import WITH_POOLED, Family, Site, Text

if TYPE_CHECKING:
    from torch import Tensor


def _sizes(pipe: Any, latents: Tensor) -> Mapping[str, Any]:
    """The sizes and crop that SDXL reads, those of the picture itself."""
    height, width = (side * pipe.vae_scale_factor for side in latents.shape[-2:])
    ids = latents.new_tensor([height, width, 0, 0, height, width])
    return {"added_cond_kwargs": {"time_ids": ids.expand(len(latents), -1)}}


def _refused(settings: Mapping[str, Any]) -> str:
    """A refiner reads an aesthetic score among its sizes, and misses the first text encoder."""
    bare = "text_encoder" in settings and settings["text_encoder"][0] is None
    return "a refiner" if bare or settings.get("requires_aesthetics_score") else ""


FAMILY = Family(
    name="Stable Diffusion XL",
    pipelines=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    wraps=("StableDiffusionXLControlNetPipeline",),
    encoders=("text_encoder", "text_encoder_2"),
    denoiser="unet",
    texts=(Text("tokenizer_2"),),
    encoded=WITH_POOLED,
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "pooled_prompt_embeds": Site(("added_cond_kwargs", "text_embeds")),
    },
    short=True,
    added=_sizes,
    upcast=True,
    refused=_refused,
    drawn=drawn_by(Recipe(30, 5.0)),
    can=frozenset(
        {"steer", "pooled", "guide", "hold", "attend", "step", "invert", "pan", "loss"}
        | {"pseudo_words", "control", "ip_adapter", "offload"}
    ),
)
