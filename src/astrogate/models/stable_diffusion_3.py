"""The adapter of Stable Diffusion 3 and 3.5 (Esser et al. 2024).

The transformer attends to two CLIP encoders' states, side by side and padded to T5's width, with T5's states behind
them on the sequence axis; the CLIP encoders' projected texts are a second condition. A checkpoint without T5 works.
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
from astrogate.models.text.prompts import check_length, check_prompt, segment

_SITES = {"prompt_embeds": ("encoder_hidden_states",), "pooled_prompt_embeds": ("pooled_projections",)}

#: Tokens that T5 reads, as the pipeline has it.
_T5_LENGTH = 256


@final
class StableDiffusion3:
    """One loaded checkpoint. The segment of the CLIP encoders has no name, T5's is called "t5"."""

    spaces = frozenset({"latents", *_SITES, "negative_prompt_embeds", "negative_pooled_prompt_embeds"})

    def __init__(self, pipe: Any, name: str) -> None:
        self.pipe, self.name = pipe, name
        pipe.set_progress_bar_config(disable=True)

    @property
    def size(self) -> int:
        return int(self.pipe.default_sample_size * self.pipe.vae_scale_factor)

    @cached_property
    def fingerprint(self) -> str:
        parts = ("text_encoder", "text_encoder_2", "text_encoder_3", "transformer")
        return sampling.fingerprint(self.pipe, parts)

    @property
    def weights(self) -> str:
        return sampling.weights(self.pipe)

    @torch.no_grad()
    def point(
        self, prompt: str, *, seed: int = 0, negative: str = "", height: int | None = None, width: int | None = None
    ) -> Point:
        """Encode a prompt as the pipeline would, and draw its noise. See `core.protocols.Model`."""
        check_prompt(prompt)
        for text in (prompt, negative):
            check_length(text, self.pipe.tokenizer)
        factor = self.pipe.vae_scale_factor
        unit = factor * self.pipe.transformer.config.patch_size
        height, width = sampling.sides(height, width, self.size, unit)
        states, unguided, pooled, unguided_pooled = self._encode(prompt, negative)
        shape = (self.pipe.transformer.config.in_channels, height // factor, width // factor)
        text = {"prompt_embeds": states, "pooled_prompt_embeds": pooled}
        none = {"prompt_embeds": unguided, "pooled_prompt_embeds": unguided_pooled}
        return sampling.made(self, prompt, negative, seed, shape, text, none)

    def encode(
        self, prompts: Sequence[str], *, padding: str = "max_length", gradient: bool = False
    ) -> Mapping[str, Tensor]:
        """Text states, always in full, since T5 sees its padding; the pooled text; `end` [n] of the CLIP segment.

        See `core.protocols.Model`.
        """
        with torch.set_grad_enabled(gradient):
            states, _, pooled, _ = self._encode(list(prompts), None)
        end = torch.tensor([segment(prompt, self.pipe.tokenizer).end for prompt in prompts])
        states, pooled = (states, pooled) if gradient else (states.cpu(), pooled.cpu())
        return {"prompt_embeds": states, "pooled_prompt_embeds": pooled, "end": end}

    def _encode(self, prompt: str | list[str], negative: str | None) -> Any:
        with quiet():
            return self.pipe.encode_prompt(
                prompt,
                prompt,
                prompt,
                device=self.pipe._execution_device,
                do_classifier_free_guidance=negative is not None,
                negative_prompt=negative,
                max_sequence_length=_T5_LENGTH,
            )

    def segments(self, prompt: str) -> tuple[Segment, ...]:
        clip = segment(prompt, self.pipe.tokenizer)
        if self.pipe.text_encoder_3 is None:
            return (clip,)
        return (clip, segment(prompt, self.pipe.tokenizer_3, length=_T5_LENGTH, start=clip.stop, name="t5"))

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """Run the pipeline's sampler over one batch of points; steers act, the model is left as it was."""
        batch = sampling.stacked(points, self.spaces, self.fingerprint)
        height, width = (side * self.pipe.vae_scale_factor for side in batch["latents"].shape[-2:])
        return sampling.sample(
            self.pipe, [self.pipe.transformer], points, batch, recipe, _SITES, height=height, width=width
        )

    def decode(self, latents: Tensor) -> Tensor:
        return sampling.decode(self.pipe, latents)

    def module(self, site: str) -> nn.Module:
        return sampling.part(self.pipe, site, self.name)
