"""The adapter of Stable Diffusion 1.x and 2.x, and of anything with their layout (Menagerie among them).

Rombach et al. 2022. The U-Net attends to the text encoder's last states; there is no pooled text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Segment
from astrogate.core.recipe import Recipe
from astrogate.models.loading.quiet import quiet
from astrogate.models.sampler import loop as sampling
from astrogate.models.sampler.guiding import guiding
from astrogate.models.sampler.hooks import steering
from astrogate.models.text.prompts import check_length, check_prompt, check_words, end_of_text, segment, tokenized

_SITES = {"prompt_embeds": ("encoder_hidden_states",)}


@final
class StableDiffusion:
    """One loaded checkpoint. `language` is a closed vocabulary to warn about, empty for open ones."""

    spaces = frozenset({"latents", "prompt_embeds", "negative_prompt_embeds"})

    def __init__(self, pipe: Any, name: str, language: frozenset[str] = frozenset()) -> None:
        self.pipe, self.name, self.language = pipe, name, language
        pipe.set_progress_bar_config(disable=True)

    @property
    def size(self) -> int:
        return int(self.pipe.unet.config.sample_size * self.pipe.vae_scale_factor)

    @cached_property
    def fingerprint(self) -> str:
        return sampling.fingerprint(self.pipe, ("text_encoder", "unet"))

    @property
    def weights(self) -> str:
        return sampling.weights(self.pipe)

    @torch.no_grad()
    def point(
        self, prompt: str, *, seed: int = 0, negative: str = "", height: int | None = None, width: int | None = None
    ) -> Point:
        """Encode a prompt as the pipeline would, and draw its noise. See `core.protocols.Model`."""
        check_prompt(prompt)
        check_words((prompt, negative), self.language)
        for text in (prompt, negative):
            check_length(text, self.pipe.tokenizer)
        factor = self.pipe.vae_scale_factor
        height, width = sampling.sides(height, width, self.size, factor)
        with quiet():
            positive, unguided = self.pipe.encode_prompt(prompt, self.pipe._execution_device, 1, True, negative)
        shape = (self.pipe.unet.config.in_channels, height // factor, width // factor)
        text, none = ({"prompt_embeds": states} for states in (positive, unguided))
        return sampling.made(self, prompt, negative, seed, shape, text, none)

    def encode(
        self, prompts: Sequence[str], *, padding: str = "max_length", gradient: bool = False
    ) -> Mapping[str, Tensor]:
        """Text states and `end` [n], in one batch; padding "longest" drops what no state needs (the encoder is causal).

        See `core.protocols.Model`.
        """
        check_words(prompts, self.language)
        tokenizer, encoder = self.pipe.tokenizer, self.pipe.text_encoder
        ids = tokenized(tokenizer, prompts, padding).input_ids
        with torch.set_grad_enabled(gradient):
            states = encoder(ids.to(self.pipe._execution_device))[0]
        return {"prompt_embeds": states if gradient else states.cpu(), "end": end_of_text(ids, tokenizer)}

    def segments(self, prompt: str) -> tuple[Segment, ...]:
        return (segment(prompt, self.pipe.tokenizer),)

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """Run the pipeline's sampler over one batch of points; steers act, the model is left as it was."""
        batch = sampling.stacked(points, self.spaces, self.fingerprint)
        return sampling.sample(self.pipe, sampling.denoisers(self.pipe), points, batch, recipe, _SITES)

    def decode(self, latents: Tensor) -> Tensor:
        return sampling.decode(self.pipe, latents)

    def picture(self, latents: Tensor) -> Tensor:
        return sampling.picture(self.pipe, latents)

    def latents(self, pictures: Tensor) -> Tensor:
        return sampling.latents(self.pipe, pictures)

    def levels(self, num_inference_steps: int) -> list[tuple[int, float]]:
        from diffusers import DDIMScheduler

        scheduler: Any = DDIMScheduler.from_config(self.pipe.scheduler.config)
        if scheduler.config.clip_sample:
            raise AstrogateError(f"the scheduler of {self.name} clips its samples", "set clip_sample=False in it")
        scheduler.set_timesteps(num_inference_steps)
        timesteps, stride = scheduler.timesteps.tolist(), scheduler.config.num_train_timesteps // num_inference_steps
        if any(a - stride != b for a, b in pairwise(timesteps)):
            raise AstrogateError(
                f"{num_inference_steps} steps of {self.name} are not evenly spaced", 'set timestep_spacing="leading"'
            )
        alphas = scheduler.alphas_cumprod
        return [(int(t), float(alphas[int(t)])) for t in timesteps] + [(-1, float(scheduler.final_alpha_cumprod))]

    def epsilon(
        self, points: Sequence[Point], latents: Tensor, timestep: int, *, guidance_scale: float = 1.0, u: float = 0.0
    ) -> Tensor:
        """The guided noise in `latents`, with gradients where they are wanted. See `core.protocols.Predictor`."""
        if any(point.extras for point in points) or len(sampling.denoisers(self.pipe)) > 1:
            raise AstrogateError("a ControlNet or an IP-Adapter can't go step by step", "leave the extra picture out")
        if any(point.hold for point in points):
            raise AstrogateError("a held point can't go step by step", "use point.held(0)")
        batch = sampling.stacked(points, self.spaces, self.fingerprint)
        unet, guided = self.pipe.unet, guidance_scale > 1
        states = torch.cat([batch["negative_prompt_embeds"]] * guided + [batch["prompt_embeds"]])
        x = torch.cat([latents] * (1 + guided)).to(unet.device, unet.dtype)
        with steering([unet], points, _SITES, lambda _: u), guiding(unet, points, _SITES, lambda _: u):
            out = unet(x, timestep, encoder_hidden_states=states.to(x)).sample
        a = float(self.pipe.scheduler.alphas_cumprod[timestep])
        if self.pipe.scheduler.config.prediction_type == "v_prediction":
            out = a**0.5 * out + (1 - a) ** 0.5 * x
        if not guided:
            return out
        unguided, positive = out.chunk(2)
        return unguided + guidance_scale * (positive - unguided)

    def module(self, site: str) -> nn.Module:
        return sampling.part(self.pipe, site, self.name)
