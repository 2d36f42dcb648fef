"""The adapter of unCLIP: a decoder that draws from an image embedding z_i (Ramesh et al. 2022), by one loop of our own.

    x_next = ddim(x, u + s (c - u), t)      c sees z_i and the caption, u neither; eta of DDPM's noise is the recipe's

What the families differ in, a `Stack` holds: their parts, how z_i enters the denoiser, what a picture's latents are.
Pipelines of diffusers draw with schedulers that can't be inverted; this loop can, without guidance exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from types import SimpleNamespace
from typing import Any, final

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Half, Point, Segment
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import generator, noise
from astrogate.models.sampler import loop as sampling
from astrogate.models.sampler.levels import leading
from astrogate.models.text.prompts import check_length, check_prompt, check_words, end_of_text, segment, tokenized
from astrogate.models.unclip.priors import best_of
from astrogate.models.unclip.stack import Stack, joined
from astrogate.ops.ddim import clean, noise_of, step
from astrogate.ops.quantise import Codebook

_IMAGE, _LEVEL = "image_embeds", "noise_level"


@final
class UnCLIP:
    """One loaded stack. `language` is a closed vocabulary to warn about, empty for open ones."""

    def __init__(self, stack: Stack, name: str, language: frozenset[str] = frozenset()) -> None:
        self.stack, self.name, self.language = stack, name, language
        modules = {k: v.eval() for k, v in stack.parts.items() if isinstance(v, nn.Module)}
        self._pipe = SimpleNamespace(components=modules, scheduler=stack.scheduler, **modules)
        self._caption = lru_cache(64)(torch.no_grad()(lambda text: stack.caption([text])))
        self._texts = frozenset(self._caption(""))
        self._own = sorted({_IMAGE, *self._texts} | ({_LEVEL} if stack.noised is not None else set()))

    @property
    def denoiser(self) -> Any:
        """The decoder's U-Net."""
        return self.stack.parts[self.stack.denoiser]

    @property
    def size(self) -> int:
        return int(self.denoiser.config.sample_size) * self.stack.coder.factor

    @property
    def picture_size(self) -> int:
        """The side of a picture that is to be encoded: the model's own, or where pixels are drawn what CLIP sees."""
        tower = self.stack.towers.vision
        larger = tower is not None and self.stack.coder.factor == 1
        return max(self.size, int(tower.config.image_size)) if larger else self.size

    @property
    def spaces(self) -> frozenset[str]:
        return frozenset({"latents", *self._own, *(f"negative_{space}" for space in self._own)})

    @property
    def upsamplers(self) -> int:
        """How many times a picture can be enlarged."""
        return len(self.stack.upsamplers)

    @property
    def components(self) -> Codebook | None:
        """The principal components that its autoregressive prior speaks; None without one."""
        kept = self.stack.parts.get("codebook")
        return None if kept is None else kept[0]

    @cached_property
    def fingerprint(self) -> str:
        return sampling.fingerprint(self._pipe, tuple(sorted(self._pipe.components)))

    @property
    def weights(self) -> str:
        return sampling.weights(self._pipe)

    def point(
        self, prompt: str, *, seed: int = 0, negative: str = "", height: int | None = None, width: int | None = None
    ) -> Point:
        """The whole stack's point: the first prior there is says what the picture shows. See `core.protocols.Model`."""
        check_prompt(prompt)
        priors = self.stack.priors
        if not priors:
            raise AstrogateError(f"{self.name} has no prior", "give it a picture: see `encode` and `point_at`")
        z = self.imagine([prompt], seeds=[seed], kind=next(iter(priors)))[0]
        return self.point_at(z, prompt, seed=seed, negative=negative, height=height, width=width)

    @torch.no_grad()
    def point_at(
        self,
        image_embeds: Tensor,
        prompt: str = "",
        *,
        seed: int = 0,
        negative: str = "",
        height: int | None = None,
        width: int | None = None,
        noise_level: int = 0,
    ) -> Point:
        """A point for an image embedding [d]; the prompt, which may be empty, is what the decoder itself reads.

        `noise_level` blurs the embedding, so that a decoder trained to forgive that leaves more to chance. Raises
        AstrogateError for an embedding of another CLIP and for a decoder that knows no levels.
        """
        z, missing = image_embeds.detach().float().cpu(), self.stack.missing.detach().float().cpu()
        if z.shape != missing.shape:
            raise AstrogateError(
                f"an embedding of shape {tuple(z.shape)}; {self.name} takes {tuple(missing.shape)}",
                "use a checkpoint of the same CLIP",
            )
        if self.stack.tokenizer is not None:
            check_words((prompt, negative), self.language)
            for text in (prompt, negative):
                check_length(text, self.stack.tokenizer)
        factor = self.stack.coder.factor
        height, width = sampling.sides(height, width, self.size, factor)
        texts = {
            half + space: states[0].cpu()
            for half, text in (("", prompt), ("negative_", negative))
            for space, states in self._caption(text).items()
        }
        shape = (int(self.denoiser.config.in_channels), height // factor, width // factor)
        tensors = {"latents": noise(shape, seed), _IMAGE: z, f"negative_{_IMAGE}": missing, **texts}
        origin = {"model": self.name, "prompt": prompt, "negative": negative, "seed": seed}
        if self.stack.noised is not None:
            if not 0 <= noise_level <= self.stack.levels:
                raise AstrogateError(f"noise level {noise_level}", f"choose 0 to {self.stack.levels}")
            levels = torch.tensor([noise_level])
            if noise_level:
                drawn = torch.randn(z.shape, generator=generator(seed, "noise level"))
                device = self.denoiser.device
                z = self.stack.noised(z[None].to(device), levels.to(device), drawn[None].to(device))[0].cpu()
                origin["noise_level"] = noise_level
            tensors |= {_IMAGE: z, _LEVEL: levels.float(), f"negative_{_LEVEL}": torch.zeros(1)}
        elif noise_level:
            raise AstrogateError(f"{self.name} knows no noise levels", "leave noise_level out")
        return Point(tensors, self.fingerprint, self.segments(prompt), origin=origin)

    @torch.no_grad()
    def imagine(
        self,
        prompts: Sequence[str],
        *,
        seeds: Sequence[int],
        kind: str = "diffusion",
        candidates: int = 2,
        guidance_scale: float | None = None,
        num_inference_steps: int = 25,
    ) -> Tensor:
        """Image embeddings [n, d] for prompts by a prior, or by none: then z_t itself. One seed a prompt.

        Of the `candidates` the one with the largest z_i.z_t is kept. `guidance_scale` None is the stack's own. Raises
        AstrogateError for a kind of prior that the stack lacks.
        """
        if candidates < 1 or len(seeds) != len(prompts):
            raise AstrogateError(f"{candidates} candidates, {len(seeds)} seeds", "use 1 or more, and a seed a prompt")
        if kind not in (known := [*self.stack.priors, "none"]):
            raise AstrogateError(f"{self.name} has no {kind!r} prior", f"choose one of {', '.join(known)}")
        for prompt in prompts:
            check_prompt(prompt)
            if self.stack.towers.tokenizer is not None:
                check_length(prompt, self.stack.towers.tokenizer)
        text = self.stack.towers.texts(prompts)
        if kind == "none":
            return text.embeds.float().cpu()
        empty, generators = self.stack.towers.texts([""]), [generator(seed, kind) for seed in seeds]
        scale = self.stack.prior_guidance if guidance_scale is None else guidance_scale
        prior = self.stack.priors[kind]
        draws = [
            prior.draw(text, empty, generators, guidance_scale=scale, num_inference_steps=num_inference_steps)
            for _ in range(candidates)
        ]
        z = best_of(draws, text.embeds).float().cpu()
        return torch.nn.functional.normalize(z, dim=-1) if self.stack.towers.unit else z

    @torch.no_grad()
    def embed(self, pictures: Tensor) -> Tensor:
        """z_i [n, d] of pictures [n, 3, h, w] in [0, 1]."""
        return self.stack.towers.pictures(pictures).float().cpu()

    @torch.no_grad()
    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        """z_t [n, d] of prompts, in the space of z_i."""
        check_words(prompts, self.language)
        return self.stack.towers.texts(prompts).embeds.float().cpu()

    def upscale(
        self,
        pictures: Tensor,
        *,
        seeds: Sequence[int],
        num_inference_steps: int | None = None,
        stages: Sequence[int] | None = None,
    ) -> Tensor:
        """Pictures [n, 3, h, w] in [0, 1] through the upsamplers of these numbers, or all. Raises AstrogateError for
        none."""
        every = self.stack.upsamplers
        if not every or (stages is not None and not set(stages) <= set(range(len(every)))):
            raise AstrogateError(f"{self.name} has {len(every) or 'no'} upsampler", "leave upscale, or stages, out")
        for upsampler in every if stages is None else [every[stage] for stage in stages]:
            pictures = upsampler(pictures, seeds=seeds, num_inference_steps=num_inference_steps)
        return pictures

    def encode(
        self, prompts: Sequence[str], *, padding: str = "max_length", gradient: bool = False
    ) -> Mapping[str, Tensor]:
        """The decoder's text states by space, and `end` [n]. See `core.protocols.Model`."""
        if "prompt_embeds" not in self._texts:
            raise AstrogateError(f"the decoder of {self.name} reads no text", "move its image embedding")
        check_words(prompts, self.language)
        tokenizer = self.stack.tokenizer
        ids = tokenized(tokenizer, prompts).input_ids
        with torch.set_grad_enabled(gradient):
            states = self.stack.caption(prompts)
        return {**{k: v.cpu() for k, v in states.items()}, "end": end_of_text(ids, tokenizer)}

    def segments(self, prompt: str) -> tuple[Segment, ...]:
        return () if self.stack.tokenizer is None else (segment(prompt, self.stack.tokenizer),)

    @torch.no_grad()
    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """DDIM over one batch of points. Raises AstrogateError for another scheduler, windows, guides and holds."""
        if recipe.scheduler not in (None, "DDIM", "DDIMScheduler") or recipe.stride is not None:
            raise AstrogateError(f"{self.name} is drawn by DDIM, at one size", "leave scheduler and stride out")
        levels, guided = self.levels(recipe.num_inference_steps), recipe.guidance_scale > 1
        clamp = self.stack.clamp if guided else None
        if len({point.tensors["latents"].shape for point in points}) > 1:
            raise AstrogateError("points of different sizes in one batch", "draw them apart")
        generators = [sampling.sampler_generator(point) for point in points]
        x = torch.stack([point.tensors["latents"] for point in points]).to(self.denoiser.device, self.denoiser.dtype)
        with sampling.precision(recipe.dtype, self.denoiser.dtype, self.denoiser.device.type):
            for i, ((t, a), (_, a_next)) in enumerate(itertools.pairwise(levels)):
                u = i / recipe.num_inference_steps
                eps = self.epsilon(points, x, t, guidance_scale=recipe.guidance_scale, u=u).to(x)
                if clamp is not None:
                    eps = noise_of(x, clean(x, eps, a).clamp(-clamp, clamp), a)
                drawn = [torch.randn((1, *x.shape[1:]), generator=g) for g in generators] if recipe.eta else None
                x = step(x, eps, a, a_next, eta=recipe.eta, noise=None if drawn is None else torch.cat(drawn).to(x))
        return x

    def epsilon(
        self, points: Sequence[Point], latents: Tensor, timestep: int, *, guidance_scale: float = 1.0, u: float = 0.0
    ) -> Tensor:
        """The guided noise in `latents`, with gradients where they are wanted. See `core.protocols.Predictor`."""
        if any(point.model != self.fingerprint for point in points):
            raise AstrogateError("a point of another model cannot be drawn here", "make it with this model")
        if any(point.guides or point.hold or point.extras for point in points):
            raise AstrogateError("guides, holds and extra pictures can't act on unCLIP", "use steers alone")
        x = latents.to(self.denoiser.device, self.denoiser.dtype)
        if guidance_scale <= 1:
            return self._predicted(x, timestep, self._conditions(points, "positive", u))
        halves = [self._conditions(points, half, u) for half in ("negative", "positive")]
        without, eps = self._predicted(torch.cat([x, x]), timestep, joined(*halves)).chunk(2)
        return without + guidance_scale * (eps - without)

    def _predicted(self, x: Tensor, timestep: int, conditions: Mapping[str, Any]) -> Tensor:
        """The noise [n, c, h, w]; what a denoiser says of its variance is left out."""
        out = self.denoiser(x, timestep, **conditions).sample[:, : x.shape[1]]
        if self.stack.scheduler.config.prediction_type == "v_prediction":
            a = float(self.stack.scheduler.alphas_cumprod[timestep])
            out = a**0.5 * out + (1 - a) ** 0.5 * x
        return out

    def _conditions(self, points: Sequence[Point], half: Half, u: float) -> dict[str, Any]:
        """The denoiser's arguments for one half of guidance."""
        tensors = {space: self._moved(points, space, half, u) for space in self._own}
        return self.stack.conditions(tensors, half == "negative")

    def _moved(self, points: Sequence[Point], space: str, half: Half, u: float) -> Tensor:
        """One space's rows [n, ...] with what the steers add."""
        name = space if half == "positive" else f"negative_{space}"
        rows: list[Tensor] = []
        for point in points:
            row = point.tensors[name]
            for steer in point.steers:
                strength = steer.strength(u) if steer.half in (half, "both") else 0.0
                if strength and (unknown := set(steer.vectors) - set(self._own)):
                    raise AstrogateError(
                        f"this model has no space {min(unknown)!r} to steer", f"choose one of {', '.join(self._own)}"
                    )
                if strength and space in steer.vectors:
                    row = row + strength * steer.vectors[space].to(row)
            rows.append(row)
        stacked = torch.stack(rows).to(self.denoiser.device)
        return stacked if stacked.dtype == torch.bool else stacked.to(self.denoiser.dtype)

    def levels(self, num_inference_steps: int) -> list[tuple[int, float]]:
        """DDIM's timesteps with leading spacing. See `core.protocols.Predictor`."""
        return leading(self.stack.scheduler, num_inference_steps)

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.picture(latents).float().cpu()

    def picture(self, latents: Tensor) -> Tensor:
        return self.stack.coder.picture(latents.to(self.denoiser.device, self.denoiser.dtype))

    @torch.no_grad()
    def latents(self, pictures: Tensor) -> Tensor:
        return self.stack.coder.latents(pictures.to(self.denoiser.device, self.denoiser.dtype))

    def module(self, site: str) -> nn.Module:
        return sampling.part(self._pipe, site, self.name)
