"""FLUX.2 (Black Forest Labs 2025): streams of text and picture, then one of both; guidance is embedded.

The text is the states of three layers of Mistral 3 side by side, of the prompt as a user's message behind a system's,
padding and all, which stands on the left.
"""

from __future__ import annotations

from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Site, Text
from astrogate.models.text.chat import chat


def _chat(pipe: Any) -> tuple[str, str]:
    """What stands before and behind a prompt, but the mark at the beginning, which the tokenizer writes."""
    before, behind = chat(pipe.tokenizer, system=pipe.system_message, add_generation_prompt=False)
    return before.removeprefix(FAMILY.texts[0].reader(pipe).bos_token), behind


FAMILY = Family(
    name="FLUX.2",
    pipelines=("Flux2Pipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 512, around=_chat),),
    encoded=("prompt_embeds", None),
    sites={"prompt_embeds": Site(("encoder_hidden_states",))},
    guidance=Guidance("none"),
    fold=2,
    timesteps=1000,
    recipe=Recipe(50, 4.0),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
