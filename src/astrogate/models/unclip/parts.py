"""What the rows of unCLIP have in common: where the classes of parts are, captions, priors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.models.unclip.priors import DiffusionPrior, Prior
from astrogate.models.unclip.towers import Towers

Parts = Mapping[str, Any]

TEXT, VISION = "transformers.CLIPTextModelWithProjection", "transformers.CLIPVisionModelWithProjection"
TOKENIZER, PROCESSOR = "transformers.CLIPTokenizer", "transformers.CLIPImageProcessor"
UNET, PRIOR, NOISE = "diffusers.UNet2DConditionModel", "diffusers.PriorTransformer", "diffusers.UnCLIPScheduler"
PROJECTION = "diffusers.pipelines.deprecated.unclip.text_proj.UnCLIPTextProjModel"
NORMALIZER = "diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer.StableUnCLIPImageNormalizer"

#: What every family of unCLIP can do.
CAN = frozenset({"steer", "guide", "hold", "attend", "step", "invert", "embeds"})


def caption_of(towers: Towers) -> Callable[[Sequence[str]], Mapping[str, Tensor]]:
    """The caption as a decoder reads it through the text tower that the prior reads too."""

    def caption(prompts: Sequence[str]) -> Mapping[str, Tensor]:
        text = towers.texts(prompts)
        return {
            "prompt_embeds": text.states,
            "pooled_prompt_embeds": text.embeds,
            "prompt_attention_mask": text.mask,
        }

    return caption


def diffusion_prior(parts: Parts, name: str = "prior") -> dict[str, Prior]:
    """The diffusion prior among the parts, if there is one. Raises AstrogateError for half of one."""
    model, scheduler = parts.get(name), parts.get("prior_scheduler")
    if (model is None) != (scheduler is None):
        raise AstrogateError("a prior without its scheduler, or the other way round", "restore the missing one")
    return {} if model is None else {"diffusion": DiffusionPrior(model, scheduler)}
