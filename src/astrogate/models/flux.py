"""The adapter of Flux.1 (Black Forest Labs 2024), dev and schnell.

The transformer attends to T5's states; CLIP's pooled text is a second condition. Guidance is distilled into the model;
the negative prompt counts when a recipe's `true_cfg_scale` is above 1, which doubles the work.
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
_NEGATIVE = frozenset({"negative_prompt_embeds", "negative_pooled_prompt_embeds"})


@final
class Flux:
    """One loaded checkpoint. A Point's `latents` are a picture [c, h, w]; they are packed for the transformer alone."""

    spaces = frozenset({"latents", *_SITES}) | _NEGATIVE

    def __init__(self, pipe: Any, name: str) -> None:
        self.pipe, self.name = pipe, name
        pipe.set_progress_bar_config(disable=True)

    @property
    def size(self) -> int:
        return int(self.pipe.default_sample_size * self.pipe.vae_scale_factor)

    @property
    def length(self) -> int:
        """The tokens that T5 reads: 512 in dev, 256 in schnell."""
        return 512 if self.pipe.transformer.config.guidance_embeds else 256

    @cached_property
    def fingerprint(self) -> str:
        return sampling.fingerprint(self.pipe, ("text_encoder", "text_encoder_2", "transformer"))

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
            check_length(text, self.pipe.tokenizer_2, self.length)
        factor = self.pipe.vae_scale_factor
        height, width = sampling.sides(height, width, self.size, 2 * factor)
        text, none = (
            {space: states for space, states in self.encode([words]).items() if space in _SITES}
            for words in (prompt, negative)
        )
        shape = (self.pipe.transformer.config.in_channels // 4, height // factor, width // factor)
        return sampling.made(self, prompt, negative, seed, shape, text, none)

    def encode(
        self, prompts: Sequence[str], *, padding: str = "max_length", gradient: bool = False
    ) -> Mapping[str, Tensor]:
        """T5's states, always in full, since T5 sees its padding; CLIP's pooled text; `end` [n].

        See `core.protocols.Model`.
        """
        with quiet(), torch.set_grad_enabled(gradient):
            states, pooled, _ = self.pipe.encode_prompt(
                list(prompts), device=self.pipe._execution_device, max_sequence_length=self.length
            )
        end = torch.tensor([self.segments(prompt)[0].end for prompt in prompts])
        return {"prompt_embeds": states.cpu(), "pooled_prompt_embeds": pooled.cpu(), "end": end}

    def segments(self, prompt: str) -> tuple[Segment, ...]:
        return (segment(prompt, self.pipe.tokenizer_2, length=self.length),)

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """Run the pipeline's sampler over one batch of points; steers act, the model is left as it was."""
        guided = recipe.true_cfg_scale > 1
        batch = sampling.stacked(points, self.spaces if guided else self.spaces - _NEGATIVE, self.fingerprint)
        latents = batch["latents"]
        height, width = (side * self.pipe.vae_scale_factor for side in latents.shape[-2:])
        batch["latents"] = self.pipe._pack_latents(latents, *latents.shape)
        packed = sampling.sample(
            self.pipe,
            [self.pipe.transformer],
            points,
            batch,
            recipe,
            _SITES,
            unit=self.pipe.scheduler.config.num_train_timesteps,
            in_turn=guided,
            channel_axis=1,
            height=height,
            width=width,
            true_cfg_scale=recipe.true_cfg_scale,
        )
        return self.pipe._unpack_latents(packed, height, width, self.pipe.vae_scale_factor)

    def decode(self, latents: Tensor) -> Tensor:
        return sampling.decode(self.pipe, latents)

    def module(self, site: str) -> nn.Module:
        return sampling.part(self.pipe, site, self.name)
