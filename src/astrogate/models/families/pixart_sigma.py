"""PixArt-Sigma (Chen et al. 2024): a transformer of pictures alone that attends to T5's states by cross-attention.

It predicts noise and its variance, of which the pipeline keeps the noise.
"""

from __future__ import annotations

from astrogate.core.recipe import Recipe
from astrogate.models.family import WITH_MASK, Family, Site, Text

FAMILY = Family(
    name="PixArt-Sigma",
    pipelines=("PixArtSigmaPipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    texts=(Text("tokenizer", 300, lowered=True),),
    encoded=WITH_MASK,
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "prompt_attention_mask": Site(("encoder_attention_mask",), fixed=True),
    },
    short=True,
    patch=2,
    options={"negative_prompt": None, "use_resolution_binning": False},
    recipe=Recipe(20, 4.5),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
