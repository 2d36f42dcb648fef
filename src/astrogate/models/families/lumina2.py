"""Lumina-Image 2 (Qin et al. 2025): one sequence of text and picture, in which Gemma's states stand first.

The prompt stands behind a system's message, the negative prompt alone. Time runs from noise at 0 to the picture at 1;
what guidance gives is brought back to the length of the positive half's prediction.
"""

from __future__ import annotations

from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import WITH_MASK, Family, Guidance, Site, Text


def _system(pipe: Any) -> tuple[str, str]:
    """The message, and the mark behind it."""
    return f"{pipe.system_prompt} <Prompt Start> ", ""


FAMILY = Family(
    name="Lumina-Image 2",
    pipelines=("Lumina2Pipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 256, around=_system, alone=True),),
    encoded=WITH_MASK,
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "prompt_attention_mask": Site(("encoder_attention_mask",), fixed=True),
    },
    short=True,
    guidance=Guidance("in turn", ("positive", "negative"), rescaled=True),
    patch=2,
    timesteps=1000,
    reversed=True,
    text_layers=("context_refiner",),
    packed="encoder_attention_mask",
    recipe=Recipe(30, 4.0),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
