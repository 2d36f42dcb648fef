"""Flux.1 (Black Forest Labs 2024), dev and schnell.

The transformer attends to T5's states; CLIP's pooled text is a second condition. Guidance is distilled into the model;
the negative prompt counts when a recipe's `true_cfg_scale` is above 1, which doubles the work.
"""

from __future__ import annotations

from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Guidance, Pictured, Site, Text


def _length(pipe: Any) -> int:
    """512 tokens in dev, 256 in schnell."""
    return 512 if pipe.transformer.config.guidance_embeds else 256


FAMILY = Family(
    name="Flux.1",
    pipelines=("FluxPipeline",),
    wraps=("FluxControlNetPipeline",),
    encoded_control=True,
    pictured=Pictured(("joint_attention_kwargs", "ip_adapter_image_embeds")),
    encoders=("text_encoder", "text_encoder_2"),
    denoiser="transformer",
    texts=(Text("tokenizer_2", _length),),
    encoded=("prompt_embeds", "pooled_prompt_embeds"),
    sites={
        "prompt_embeds": Site(("encoder_hidden_states",)),
        "pooled_prompt_embeds": Site(("pooled_projections",)),
    },
    guidance=Guidance("in turn", ("positive", "negative"), "true_cfg_scale"),
    packing=2,
    timesteps=1000,
    shared=frozenset({"img_ids", "txt_ids"}),
    drawn=lambda pipe: Recipe(28, 3.5) if pipe.transformer.config.guidance_embeds else Recipe(4, 0.0),
    can=frozenset({"steer", "pooled", "guide", "hold", "attend", "control", "ip_adapter", "offload"}),
)
