"""Latent consistency models (Luo et al. 2023) with the layout of Stable Diffusion 1: few steps, guidance embedded."""

from __future__ import annotations

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Site, Text

FAMILY = Family(
    name="Latent consistency",
    pipelines=("LatentConsistencyModelPipeline",),
    encoders=("text_encoder",),
    denoiser="unet",
    texts=(Text("tokenizer"),),
    encoded=("prompt_embeds", None),
    sites={"prompt_embeds": Site(("encoder_hidden_states",))},
    short=True,
    guidance=Guidance("none"),
    samplers=("LCM",),
    loading={"safety_checker": None, "requires_safety_checker": False},
    recipe=Recipe(4, 8.5),
    can=frozenset({"steer", "guide", "hold", "attend", "pseudo_words", "offload"}),
)
