"""AuraFlow (Fal 2024): a transformer of text and picture, in streams of their own and then in one.

It attends to UMT5's states, which are zero where the text has ended; no mask reaches it.
"""

from __future__ import annotations

from astrogate.core.recipe import Recipe
from astrogate.models.family import WITH_MASK, Family, Site, Text

FAMILY = Family(
    name="AuraFlow",
    pipelines=("AuraFlowPipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 256),),
    encoded=WITH_MASK,
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "prompt_attention_mask": Site(("encoder_attention_mask",), fixed=True),  # which its pipeline alone reads
    },
    short=True,
    patch=2,
    timesteps=1000,
    upcast=True,
    recipe=Recipe(50, 3.5),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
