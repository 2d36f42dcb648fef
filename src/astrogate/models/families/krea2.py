"""Krea 2, Raw and Turbo (Krea 2026): one sequence of text and picture, in which the text stands first.

The text is the states of twelve layers of Qwen3-VL, of the prompt as a user's message behind a system's, whose tokens
are left out; the chat goes on behind the padding. Guidance is counted from 0, p + g (p - n), and Turbo goes without.
"""

from __future__ import annotations

from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Site, Text


def _before(pipe: Any) -> tuple[str, str]:
    return pipe.prompt_template_encode_prefix, ""


FAMILY = Family(
    name="Krea 2",
    pipelines=("Krea2Pipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 512, around=_before, drop=34, tail=5),),
    encoded=("prompt_embeds", "prompt_embeds_mask"),
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "prompt_embeds_mask": Site(("encoder_attention_mask",), fixed=True),
    },
    short=True,
    guidance=Guidance("in turn", ("positive", "negative"), none=0.0),
    packing=2,
    timesteps=1000,
    layers=lambda pipe: len(pipe.text_encoder_select_layers),
    text_layers=("text_fusion",),
    shared=frozenset({"position_ids"}),
    side=128,
    drawn=lambda pipe: Recipe(8, 0.0) if pipe.config.is_distilled else Recipe(28, 4.5),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
