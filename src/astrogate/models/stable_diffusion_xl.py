"""The adapter of Stable Diffusion XL (Podell et al. 2023).

The U-Net attends to the states before the last layer of two CLIP text encoders, side by side, and takes the second
one's projected text with the picture's size as a second condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor, nn

from astrogate.core.point import Point, Segment
from astrogate.core.recipe import Recipe
from astrogate.models.loading.quiet import quiet
from astrogate.models.sampler import loop as sampling
from astrogate.models.text.prompts import check_length, check_prompt, clip_states, end_of_text, segment

_SITES = {"prompt_embeds": ("encoder_hidden_states",), "pooled_prompt_embeds": ("added_cond_kwargs", "text_embeds")}


@final
class StableDiffusionXL:
    """One loaded checkpoint; one with the second text encoder alone (a refiner) works too."""

    spaces = frozenset({"latents", *_SITES, "negative_prompt_embeds", "negative_pooled_prompt_embeds"})

    def __init__(self, pipe: Any, name: str) -> None:
        self.pipe, self.name = pipe, name
        pipe.set_progress_bar_config(disable=True)
        if pipe.vae.dtype == torch.float16 and pipe.vae.config.force_upcast:
            pipe.vae.to(torch.float32)
        pairs = ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2))
        self._encoders = [(tokenizer, encoder) for tokenizer, encoder in pairs if encoder is not None]

    @property
    def size(self) -> int:
        return int(self.pipe.unet.config.sample_size * self.pipe.vae_scale_factor)

    @cached_property
    def fingerprint(self) -> str:
        return sampling.fingerprint(self.pipe, ("text_encoder", "text_encoder_2", "unet"))

    @property
    def weights(self) -> str:
        return sampling.weights(self.pipe)

    @torch.no_grad()
    def point(
        self, prompt: str, *, seed: int = 0, negative: str = "", height: int | None = None, width: int | None = None
    ) -> Point:
        """Encode a prompt as the pipeline would, and draw its noise. See `core.protocols.Model`.

        Without a negative prompt its states are zero where the checkpoint wants that.
        """
        check_prompt(prompt)
        for text in (prompt, negative):
            check_length(text, self._encoders[-1][0])
        factor = self.pipe.vae_scale_factor
        height, width = sampling.sides(height, width, self.size, factor)
        with quiet():
            states, unguided, pooled, unguided_pooled = self.pipe.encode_prompt(
                prompt, device=self.pipe._execution_device, negative_prompt=negative or None
            )
        shape = (self.pipe.unet.config.in_channels, height // factor, width // factor)
        text = {"prompt_embeds": states, "pooled_prompt_embeds": pooled}
        none = {"prompt_embeds": unguided, "pooled_prompt_embeds": unguided_pooled}
        return sampling.made(self, prompt, negative, seed, shape, text, none)

    def encode(
        self, prompts: Sequence[str], *, padding: str = "max_length", gradient: bool = False
    ) -> Mapping[str, Tensor]:
        """Both encoders' states, side by side, the pooled text, and `end` [n]. See `core.protocols.Model`."""
        device = self.pipe._execution_device
        with torch.set_grad_enabled(gradient):
            encoded = [clip_states(*pair, prompts, padding, device) for pair in self._encoders]
        states = torch.cat([states for states, _, _ in encoded], -1)
        _, pooled, ids = encoded[-1]
        states, pooled = (states, pooled) if gradient else (states.cpu(), pooled.cpu())
        end = end_of_text(ids, self._encoders[-1][0])
        return {"prompt_embeds": states, "pooled_prompt_embeds": pooled, "end": end}

    def segments(self, prompt: str) -> tuple[Segment, ...]:
        return (segment(prompt, self._encoders[-1][0]),)

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """Run the pipeline's sampler over one batch of points; steers act, the model is left as it was."""
        batch = sampling.stacked(points, self.spaces, self.fingerprint)
        height, width = (side * self.pipe.vae_scale_factor for side in batch["latents"].shape[-2:])
        return sampling.sample(
            self.pipe, sampling.denoisers(self.pipe), points, batch, recipe, _SITES, height=height, width=width
        )

    def decode(self, latents: Tensor) -> Tensor:
        return sampling.decode(self.pipe, latents)

    def module(self, site: str) -> nn.Module:
        return sampling.part(self.pipe, site, self.name)
