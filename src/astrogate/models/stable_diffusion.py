"""The adapter of Stable Diffusion 1.x and 2.x, and of anything with their layout (Menagerie among them).

It drives diffusers' own StableDiffusionPipeline (Rombach et al. 2022), so that a picture without steers is
bit-identical to that pipeline's, and moves the text states through `hooks.steering`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, final

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import noise
from astrogate.models.hooks import steering
from astrogate.models.text import check_prompt, check_words, word_spans


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

    @property
    def device(self) -> torch.device:
        """Where the denoiser runs."""
        return self.pipe._execution_device

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for site in ("text_encoder", "unet"):
            for name, tensor in sorted(getattr(self.pipe, site).state_dict().items()):
                flat = tensor.flatten()
                sample = flat[:: max(1, flat.numel() // 64)].float().cpu().numpy().tobytes()
                digest.update(f"{site}.{name}{tuple(tensor.shape)}".encode() + sample)
        return digest.hexdigest()[:16]

    @torch.no_grad()
    def point(
        self, prompt: str, *, seed: int = 0, negative: str = "", height: int | None = None, width: int | None = None
    ) -> Point:
        """Encode a prompt as the pipeline would, and draw its noise. See `core.protocols.Model`."""
        check_prompt(prompt, self.pipe.tokenizer, self.language)
        check_words(negative, self.pipe.tokenizer, self.language)
        positive, unguided = self.pipe.encode_prompt(prompt, self.device, 1, True, negative)
        factor = self.pipe.vae_scale_factor
        height, width = height or self.size, width or self.size
        if height % factor or width % factor:
            raise AstrogateError(f"{width} x {height} pixels", f"choose multiples of {factor} for this model")
        shape = (self.pipe.unet.config.in_channels, height // factor, width // factor)
        tensors = {
            "latents": noise(shape, seed),
            "prompt_embeds": positive[0].cpu(),
            "negative_prompt_embeds": unguided[0].cpu(),
        }
        origin = {"model": self.name, "prompt": prompt, "negative": negative, "seed": seed}
        return Point(tensors, self.fingerprint, word_spans(prompt, self.pipe.tokenizer), origin=origin)

    @torch.no_grad()
    def encode(self, prompts: Sequence[str], *, padding: str = "max_length") -> Mapping[str, Tensor]:
        """Text states [n, tokens, width] and `end` [n], in one batch; padding "longest" drops what no state needs.

        The text encoder is causal, so states up to the end of the text do not depend on the padding behind it.
        """
        tokenizer, encoder = self.pipe.tokenizer, self.pipe.text_encoder
        limit = tokenizer.model_max_length
        batch = tokenizer(list(prompts), padding=padding, max_length=limit, truncation=True, return_tensors="pt")
        states = encoder(batch.input_ids.to(self.device))[0]
        end = (batch.input_ids == tokenizer.eos_token_id).int().argmax(1)
        return {"prompt_embeds": states.cpu(), "end": end}

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """Run the pipeline's sampler over one batch of points; steers act, the model is left as it was."""
        for point in points:
            if point.model != self.fingerprint:
                raise AstrogateError("a point of another model cannot be rendered here", "make it with this model")
        batch = {space: torch.stack([point.tensors[space] for point in points]) for space in self.spaces}
        dtype, own = getattr(torch, recipe.dtype), self.pipe.unet.dtype
        mixed: AbstractContextManager[Any] = nullcontext() if dtype == own else torch.autocast(self.device.type, dtype)
        before = self.pipe.scheduler
        self.pipe.scheduler = _scheduler(recipe.scheduler, before)
        try:
            with mixed, steering(self.pipe.unet, points, lambda: self.pipe.scheduler.timesteps):
                return self.pipe(
                    **{space: tensor.to(self.device, own) for space, tensor in batch.items()},
                    num_inference_steps=recipe.num_inference_steps,
                    guidance_scale=recipe.guidance_scale,
                    output_type="latent",
                ).images
        finally:
            self.pipe.scheduler = before

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents [n, c, h, w] to pictures [n, 3, H, W] in [0, 1], float32 on the CPU."""
        vae = self.pipe.vae
        pictures = vae.decode(latents.to(vae.device, vae.dtype) / vae.config.scaling_factor).sample
        return (pictures * 0.5 + 0.5).clamp(0, 1).float().cpu()

    def module(self, site: str) -> nn.Module:
        """A part of the pipeline by its dotted path, e.g. "unet.mid_block"."""
        part: Any = self.pipe
        for name in site.split("."):
            part = getattr(part, name, None)
        if not isinstance(part, nn.Module):
            raise AstrogateError(
                f"{self.name} has no module {site!r}", "try unet, text_encoder or vae, or a path below"
            )
        return part


def _scheduler(name: str | None, own: Any) -> Any:
    if name is None:
        return own
    import diffusers

    kind = getattr(diffusers, name if name.endswith("Scheduler") else f"{name}Scheduler", None)
    if kind is None:
        known = sorted(k.__name__ for k in own.compatibles)
        raise AstrogateError(f"unknown scheduler {name!r}", f"choose one of {', '.join(known)}")
    return kind.from_config(own.config)
