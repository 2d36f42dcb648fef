"""Chroma (Lodestone 2025): Flux.1 without CLIP's pooled text, and with true guidance by the negative prompt.

The transformer attends to T5's states; of the padding it sees the first token alone.
"""

from __future__ import annotations

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Site, Text

FAMILY = Family(
    name="Chroma",
    pipelines=("ChromaPipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 512),),
    encoded=(
        "prompt_embeds",
        None,
        "prompt_attention_mask",
        "negative_prompt_embeds",
        None,
        "negative_prompt_attention_mask",
    ),
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "prompt_attention_mask": Site(("attention_mask",), fixed=True),
    },
    short=True,
    guidance=Guidance("in turn", ("positive", "negative")),
    packing=2,
    timesteps=1000,
    shared=frozenset({"img_ids", "txt_ids"}),
    recipe=Recipe(35, 5.0),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
