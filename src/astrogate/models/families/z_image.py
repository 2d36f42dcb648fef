"""Z-Image and Z-Image-Turbo (Tongyi-MAI 2025): one sequence of picture and text, in which the picture stands first.

The text is Qwen's states before the last layer, without padding, of the prompt as a user's message of a chat. Time runs
from noise at 0 to the picture at 1. Guidance is counted from 0, p + g (p - n); Turbo, whose scheduler shifts by 3 where
the base's shifts by 6, goes without.
"""

from __future__ import annotations

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Site, Text
from astrogate.models.text.chat import chat

FAMILY = Family(
    name="Z-Image",
    pipelines=("ZImagePipeline",),
    wraps=("ZImageControlNetPipeline",),
    encoded_control=True,
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 512, around=lambda pipe: chat(pipe.tokenizer, enable_thinking=True)),),
    encoded=("prompt_embeds", "negative_prompt_embeds"),
    sites={"prompt_embeds": Site((2,)), "prompt_attention_mask": Site(("prompt_attention_mask",), fixed=True)},
    short=True,
    guidance=Guidance(order=("positive", "negative"), none=0.0),
    patch=2,
    timesteps=1000,
    reversed=True,
    text_layers=("context_refiner",),
    picture_first=True,
    unpadded="lists",
    precise=True,
    side=128,
    drawn=lambda pipe: Recipe(9, 0.0) if pipe.scheduler.config.get("shift", 6.0) < 6 else Recipe(50, 5.0),
    can=frozenset({"steer", "guide", "hold", "attend", "control", "offload"}),
)
