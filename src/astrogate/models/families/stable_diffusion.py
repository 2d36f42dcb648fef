"""Stable Diffusion 1.x and 2.x, and all with their layout, Menagerie among them (Rombach et al. 2022).

The U-Net attends to the text encoder's last states; there is no pooled text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import Family, Site, Text


def drawn_by(usual: Recipe) -> Callable[[Any], Recipe]:
    """The usual recipe, or four steps without guidance for Turbo, Lightning, LCM and TCD, whose schedulers show it.

    Euler trails in checkpoints that predict v from noise alone, too, and these take the usual one.
    """

    def drawn(pipe: Any) -> Recipe:
        kind, config = type(pipe.scheduler).__name__, pipe.scheduler.config
        trails = config.get("timestep_spacing") == "trailing" and config.get("prediction_type") != "v_prediction"
        few = kind.startswith(("LCM", "TCD")) or (kind.startswith("Euler") and trails)
        return Recipe(4, 1.0) if few else usual

    return drawn


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
    drawn=drawn_by(Recipe(30, 7.5)),
    loading={"safety_checker": None, "requires_safety_checker": False},
    can=frozenset(
        {"steer", "guide", "hold", "attend", "step", "invert", "pan", "loss"}
        | {"pseudo_words", "control", "ip_adapter", "offload"}
    ),
)
