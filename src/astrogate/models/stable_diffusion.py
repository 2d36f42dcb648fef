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
from astrogate.core.seeds import generator, noise
from astrogate.models.hooks import steering
from astrogate.models.quiet import quiet
from astrogate.models.text import check_length, check_prompt, check_words, word_spans


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
        check_prompt(prompt)
        check_words((prompt, negative), self.language)
        for text in (prompt, negative):
            check_length(text, self.pipe.tokenizer)
        with quiet():
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
        check_words(prompts, self.language)
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
        own, before = self.pipe.unet.dtype, self.pipe.scheduler
        generators = [_sampler_generator(point) for point in points]
        self.pipe.scheduler = _scheduler(recipe, before)
        try:
            with (
                _precision(recipe.dtype, own, self.device.type),
                steering(self.pipe.unet, points, lambda: self.pipe.scheduler.timesteps),
            ):
                return self.pipe(
                    **{space: tensor.to(self.device, own) for space, tensor in batch.items()},
                    num_inference_steps=recipe.num_inference_steps,
                    guidance_scale=recipe.guidance_scale,
                    generator=generators,
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


def _sampler_generator(point: Point) -> torch.Generator:
    """The generator that a stochastic sampler goes on drawing from after the latents, as plain diffusers has it."""
    drawn = generator(int(point.origin.get("seed", 0)))
    torch.randn((1, *point.tensors["latents"].shape), generator=drawn)
    return drawn


def _precision(wanted: str | None, own: torch.dtype, device: str) -> AbstractContextManager[Any]:
    """Autocast to a reduced dtype; nothing where the model already has the dtype that is wanted."""
    dtype = own if wanted is None else getattr(torch, wanted)
    if dtype == own:
        return nullcontext()
    if dtype == torch.float32:
        raise AstrogateError(f"the recipe wants float32 of a model in {own}", "load the model in float32")
    return torch.autocast(device, dtype)


def _scheduler(recipe: Recipe, own: Any) -> Any:
    """The checkpoint's scheduler, or the named one with its settings; raises for what cannot sample here."""
    if recipe.scheduler is None:
        return own
    known = {kind.__name__.removesuffix("Scheduler"): kind for kind in own.compatibles}
    known = {name: kind for name, kind in known.items() if "Inverse" not in name}
    name = recipe.scheduler.removesuffix("Scheduler")
    if name not in known:
        raise AstrogateError(f"unknown scheduler {recipe.scheduler!r}", f"choose one of {', '.join(sorted(known))}")
    try:
        scheduler = known[name].from_config(own.config)
        scheduler.set_timesteps(recipe.num_inference_steps)
    except (ValueError, TypeError, LookupError, ImportError) as error:
        raise AstrogateError(
            f"{name} does not take {recipe.num_inference_steps} steps here ({str(error).splitlines()[0][:120]})",
            "choose another scheduler or number of steps",
        ) from error
    return scheduler
