"""Ovis-Image (AIDC-AI 2025): streams of text and picture, then one of both; no pooled text.

The text is Qwen3's last states, zero where it has ended, of the prompt behind an instruction in a user's message of a
chat. The instruction's states are left out.
"""

from __future__ import annotations

from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Site, Text
from astrogate.models.text.chat import chat


def _told(pipe: Any) -> tuple[str, str]:
    """The chat up to the prompt, with the instruction, and what goes on behind it."""
    before, behind = chat(pipe.tokenizer, enable_thinking=False)
    return before + pipe.system_prompt, behind


FAMILY = Family(
    name="Ovis-Image",
    pipelines=("OvisImagePipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 256, around=_told, drop=28),),
    encoded=("prompt_embeds", "negative_prompt_embeds"),
    sites={"prompt_embeds": Site(("encoder_hidden_states",))},
    short=True,
    guidance=Guidance("in turn", ("positive", "negative")),
    packing=2,
    timesteps=1000,
    shared=frozenset({"txt_ids", "img_ids"}),
    options={"negative_prompt": None},
    recipe=Recipe(50, 5.0),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
