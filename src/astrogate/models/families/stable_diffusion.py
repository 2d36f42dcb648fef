"""Stable Diffusion 1.x and 2.x, and all with their layout, Menagerie among them (Rombach et al. 2022).

The U-Net attends to the text encoder's last states; there is no pooled text.
"""

from __future__ import annotations

from astrogate.models.family import Family, Site, Text

FAMILY = Family(
    name="Stable Diffusion 1 and 2",
    pipelines=("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    wraps=("StableDiffusionControlNetPipeline",),
    encoders=("text_encoder",),
    denoiser="unet",
    texts=(Text("tokenizer"),),
    encoded=("prompt_embeds", "negative_prompt_embeds"),
    sites={"prompt_embeds": Site(("encoder_hidden_states",))},
    short=True,
    loading={"safety_checker": None, "requires_safety_checker": False},
    can=frozenset(
        {"steer", "guide", "hold", "attend", "step", "invert", "pan", "loss"}
        | {"pseudo_words", "control", "ip_adapter", "offload"}
    ),
)
