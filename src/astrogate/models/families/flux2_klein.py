"""FLUX.2 klein (Black Forest Labs 2026): streams of text and picture, then one of both; no pooled text.

The text is the states of three layers of Qwen3 side by side, of the prompt as a user's message of a chat, padding and
all. The distilled checkpoints go without guidance. A negative prompt is encoded as a prompt is.
"""

from __future__ import annotations

from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Site, Text
from astrogate.models.text.chat import chat


def _distilled(pipe: Any) -> bool:
    return bool(pipe.config.is_distilled)


FAMILY = Family(
    name="FLUX.2 klein",
    pipelines=("Flux2KleinPipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 512, around=lambda pipe: chat(pipe.tokenizer, enable_thinking=False)),),
    encoded=("prompt_embeds", None),
    sites={"prompt_embeds": Site(("encoder_hidden_states",))},
    short=True,
    guidance=Guidance("in turn", ("positive", "negative"), never=_distilled),
    fold=2,
    timesteps=1000,
    drawn=lambda pipe: Recipe(4, 1.0) if _distilled(pipe) else Recipe(50, 4.0),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
