"""Stable Diffusion 3 and 3.5 (Esser et al. 2024), with or without T5.

The transformer attends to two CLIP encoders' states, side by side and padded to T5's width, with T5's states behind
them on the sequence axis; the CLIP encoders' projected texts are a second condition.
"""

from __future__ import annotations

from astrogate.core.recipe import Recipe
from astrogate.models.family import WITH_POOLED, Family, Pictured, Site, Text

FAMILY = Family(
    name="Stable Diffusion 3",
    pipelines=("StableDiffusion3Pipeline",),
    wraps=("StableDiffusion3ControlNetPipeline",),
    encoded_control=True,
    pictured=Pictured(("joint_attention_kwargs", "ip_adapter_image_embeds"), listed=False),
    encoders=("text_encoder", "text_encoder_2", "text_encoder_3"),
    denoiser="transformer",
    texts=(Text("tokenizer"), Text("tokenizer_3", 256, "t5")),
    encoded=WITH_POOLED,
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "pooled_prompt_embeds": Site(("pooled_projections",)),
    },
    patch=2,
    recipe=Recipe(28, 7.0),
    can=frozenset({"steer", "pooled", "guide", "hold", "attend", "control", "ip_adapter", "offload"}),
)
