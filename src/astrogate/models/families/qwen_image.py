"""Qwen-Image and Qwen-Image-2512 (Wu et al. 2025): streams of text and picture that attend to both.

The text is the last states of Qwen2.5-VL, of the prompt as a user's message behind a system's, whose tokens are left
out. What guidance gives is brought back to the length of the positive half's prediction, patch by patch.
"""

from __future__ import annotations

from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Site, Text


def _chat(pipe: Any) -> tuple[str, str]:
    """What stands before and behind a prompt."""
    before, _, behind = pipe.prompt_template_encode.partition("{}")
    return before, behind


FAMILY = Family(
    name="Qwen-Image",
    pipelines=("QwenImagePipeline",),
    wraps=("QwenImageControlNetPipeline",),
    encoded_control=True,
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 512, around=_chat, drop=34),),
    encoded=("prompt_embeds", "prompt_embeds_mask"),
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "prompt_embeds_mask": Site(("encoder_hidden_states_mask",), fixed=True),
    },
    guidance=Guidance("in turn", ("positive", "negative"), argument="true_cfg_scale", rescaled=True),
    packing=2,
    timesteps=1000,
    unpadded="longest",
    mask="prompt_embeds_mask",
    options={"guidance_scale": None},
    recipe=Recipe(50, 4.0),
    can=frozenset({"steer", "guide", "hold", "attend", "control", "offload"}),
)
