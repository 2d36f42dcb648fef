"""The adapter of unCLIP: a decoder that draws from an image embedding z_i (Ramesh et al. 2022), by one loop of our own.

    x_next = ddim(x, u + s (c - u), t)      c sees z_i and the caption, u neither; eta of DDPM's noise is the recipe's

What the families differ in, a `Stack` says: their parts, how z_i enters the denoiser, what a picture's latents are.
Pipelines of diffusers draw with schedulers that can't be inverted; this loop can, without guidance exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Half, Moment
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import checked_all, noise, normal
from astrogate.core.segment import Segment
from astrogate.core.values import check_pictures
from astrogate.models import identity
from astrogate.models.asked import check_negative, check_points, check_recipe, check_way, sides
from astrogate.models.family import Site, StackFamily
from astrogate.models.finite import check_settings, watched
from astrogate.models.registry import require
from astrogate.models.sampler.edits import with_bases
from astrogate.models.sampler.levels import leading, level_of
from astrogate.models.sampler.locks import Turn, alone
from astrogate.models.sampler.loop import precision, sampler_generator, stacked
from astrogate.models.sampler.step import predict
from astrogate.models.sampler.windows import own_side
from astrogate.models.text.prompts import check_prompt, check_words, end_of_text, segment, tokenized
from astrogate.models.unclip.imagine import fitting, imagined, leveled
from astrogate.models.unclip.stack import Stack
from astrogate.models.unclip.upsampling import upscaled
from astrogate.ops.ddim import clean, noise_of, noise_of_v, step
from astrogate.ops.quantise import Codebook

_IMAGE = "image_embeds"


@final
class UnCLIP:
    """A Predictor that draws from an image embedding, with CLIP's towers and priors at hand.

    `stack` is what it is made of, `language` a closed vocabulary to warn about, empty for open ones.
    """

    scheduler = "DDIMScheduler"

    def __init__(self, family: StackFamily, stack: Stack, name: str, language: frozenset[str] = frozenset()) -> None:
        self.family, self.stack, self.name, self.language, self.recipe = family, stack, name, language, family.recipe
        self.parts = {k: v.eval() for k, v in stack.parts.items() if isinstance(v, nn.Module)}
        self._scheduler, self.channels = stack.parts[family.scheduler], int(self.denoiser.config.in_channels)
        check_settings(self._scheduler, getattr(stack.coder, "vae", None), name)
        identity.settle(self.parts.values())
        self.lock = Turn(stack.parts.values)
        with torch.no_grad():
            self._texts = frozenset(stack.caption([""]))
        own = sorted({_IMAGE, *self._texts} | ({"noise_level"} if stack.noised is not None else set()))
        self._sites = {space: Site((space,), fixed=space.endswith("_mask")) for space in own}

    def __repr__(self) -> str:
        return f"<Model {self.name}, {self.family.name}, {self.size} px, {self.dtype}, {self.denoiser.device}>"

    @property
    def can(self) -> frozenset[str]:
        """What it can do, of `models.family.ABILITIES`; a stack without priors or upsamplers can do less."""
        missing = {"imagine": not self.stack.priors, "upscale": not self.stack.enlarging}
        return self.family.can - {ability for ability, lacks in missing.items() if lacks}

    @property
    def denoiser(self) -> Any:
        """The decoder's U-Net."""
        return self.stack.parts[self.family.denoiser]

    @property
    def dtype(self) -> str:
        """See `core.protocols.Model`."""
        return str(self.denoiser.dtype).removeprefix("torch.")

    @property
    def size(self) -> int:
        return own_side(self.denoiser) * self.factor

    @property
    def factor(self) -> int:
        return self.stack.coder.factor

    @property
    def picture_size(self) -> int:
        """The side of a picture that is to be encoded: the model's own, or where pixels are drawn what CLIP sees."""
        tower: Any = self.stack.towers.vision
        if tower is None or self.factor > 1:
            return self.size
        return max(self.size, int(tower.config.image_size))

    @property
    def spaces(self) -> frozenset[str]:
        return frozenset({"latents", *self._sites, *(f"negative_{space}" for space in self._sites)})

    @property
    def upsamplers(self) -> int:
        """How many times a picture can be enlarged."""
        return len(self.stack.upsamplers)

    @property
    def components(self) -> Codebook:
        """The principal components that its autoregressive prior speaks. Raises AstrogateError without one."""
        if "codebook" not in self.stack.parts:
            raise AstrogateError(f"{self.name} keeps no components", "name a folder of pictures that give them")
        return self.stack.parts["codebook"][0]

    @property
    def fingerprint(self) -> str:
        return identity.fingerprint(dict(sorted(self.parts.items())))

    @property
    def weights(self) -> str:
        return identity.weights(self.parts, self._scheduler)

    def point(
        self, prompt: str, *, seed: int = 0, negative: str = "", height: int | None = None, width: int | None = None
    ) -> Point:
        """The whole stack's point: the first prior there is says what the picture shows. See `core.protocols.Model`."""
        check_prompt(prompt)
        require(self, "imagine", remedy="give it a picture, see `encode` and `point_at`, or load it with a prior")
        kind, through = next(iter(self.stack.priors)), negative if self.stack.negative_prior else ""
        z = self.imagine([prompt], seeds=[seed], kind=kind, negative=through)[0]
        point = self.point_at(z, prompt, seed=seed, negative=negative, height=height, width=width)
        if not through:
            return point
        missing = self.imagine([negative], seeds=[seed], kind=kind, negative=through)[0]
        return replace(point, tensors={**point.tensors, f"negative_{_IMAGE}": missing})

    def points(self, prompt: str, seeds: Sequence[int], **options: Any) -> list[Point]:
        """See `core.protocols.Model`: the prior imagines another picture for each seed."""
        return [self.point(prompt, seed=seed, **options) for seed in checked_all(seeds)]

    @alone
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

        `noise_level` puts noise on the embedding, for a decoder that was trained to forgive it. Raises AstrogateError
        for an embedding of another CLIP, and for a decoder that knows no levels.
        """
        z, missing = fitting(self.stack, self.name, image_embeds)
        if self.stack.tokenizer is not None:
            check_words((prompt, negative), self.language)
        height, width = sides(height, width, lambda: self.size, self.factor)
        halves = (("", prompt), ("negative_", negative))
        texts = {half + space: x[0].cpu() for half, text in halves for space, x in self.stack.caption([text]).items()}
        shape = (self.channels, height // self.factor, width // self.factor)
        tensors = {"latents": noise(shape, seed), _IMAGE: z, f"negative_{_IMAGE}": missing, **texts}
        origin: dict[str, Any] = {"model": self.name, "prompt": prompt, "negative": negative}
        origin |= {"noise_level": noise_level} if noise_level else {}
        tensors |= leveled(self.stack, self.name, z, noise_level, seed, self.denoiser.device)
        return Point(tensors, self.fingerprint, self.segments(prompt), prompt, seed=seed, origin=origin)

    @alone
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
        negative: str = "",
    ) -> Tensor:
        """Image embeddings [n, d] for prompts, one seed each, by a kind of prior; "none" is the text's own embedding.

        Of the `candidates` the one with the largest z_i.z_t is kept. `guidance_scale` None is the stack's own,
        `negative` is the prompt to guide away from. Raises AstrogateError for a kind of prior that the stack misses.
        """
        asked = (kind, candidates, guidance_scale, num_inference_steps, negative)
        return imagined(self.stack, self.name, prompts, seeds, *asked)

    @torch.no_grad()
    def embed(self, pictures: Tensor) -> Tensor:
        """z_i [n, d] of pictures [n, 3, h, w] in [0, 1]."""
        return self.stack.towers.pictures(pictures).float().cpu()

    @alone
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
        """Pictures [n, 3, h, w] in [0, 1], enlarged by the upsamplers that they need, or by some; one seed per picture.

        Raises AstrogateError for a stage that there is not, and where pictures and seeds differ in number.
        """
        require(self, "upscale")
        return upscaled(self.stack, self.name, pictures, seeds, num_inference_steps, stages)

    @alone
    def encode(
        self, prompts: Sequence[str], *, padding: str = "max_length", gradient: bool = False
    ) -> Mapping[str, Tensor]:
        """The decoder's text states by space, and `end` [n]. See `core.protocols.Model`."""
        if "prompt_embeds" not in self._texts:
            raise AstrogateError(f"the decoder of {self.name} reads no text", "move its image embedding")
        check_words(prompts, self.language)
        ids = tokenized(self.stack.tokenizer, prompts).input_ids
        with torch.set_grad_enabled(gradient):
            states = self.stack.caption(prompts)
        found = states if gradient else {space: value.cpu() for space, value in states.items()}
        return {**found, "end": end_of_text(ids, self.stack.tokenizer)}

    @alone
    def segments(self, prompt: str) -> tuple[Segment, ...]:
        return () if self.stack.tokenizer is None else (segment(prompt, self.stack.tokenizer),)

    @alone
    @watched
    @torch.no_grad()
    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """DDIM over one batch of points. Raises AstrogateError for another scheduler, windows and extra pictures."""
        check_recipe(self, recipe)
        check_negative(points, guided=recipe.guidance_scale > 1)
        check_way(points, lambda: recipe.eta > 0)
        if recipe.scheduler not in (None, "DDIM", self.scheduler):
            raise AstrogateError(f"{self.name} is drawn by DDIM, not {recipe.scheduler}", "leave the scheduler out")
        clamp = self.stack.clamp if recipe.guidance_scale > 1 else None
        every = with_bases(points)
        generators = [sampler_generator(point) for point in every]
        x = stacked(every, {"latents"}, self.fingerprint, self.channels)["latents"]
        x = x.to(self.denoiser.device, self.denoiser.dtype)
        with precision(recipe.dtype, self.denoiser.dtype, self.denoiser.device.type):
            for i, ((t, a), (_, a_next)) in enumerate(itertools.pairwise(self.levels(recipe.num_inference_steps))):
                u = i / recipe.num_inference_steps
                eps = self.epsilon(every, x, t, guidance_scale=recipe.guidance_scale, u=u).to(x)
                if clamp is not None:
                    eps = noise_of(x, clean(x, eps, a).clamp(-clamp, clamp), a)
                drawn = [normal((1, *x.shape[1:]), g) for g in generators] if recipe.eta else None
                x = step(x, eps, a, a_next, eta=recipe.eta, noise=None if drawn is None else torch.cat(drawn).to(x))
        return x[: len(points)]

    @alone
    def epsilon(
        self, points: Sequence[Point], latents: Tensor, timestep: int, *, guidance_scale: float = 1.0, u: float = 0.0
    ) -> Tensor:
        """The guided noise in `latents`, with gradients where they are wanted. See `core.protocols.Predictor`."""
        stacked(points, {"latents"}, self.fingerprint, self.channels)
        check_points(self, points)
        a, kind = float(self._scheduler.alphas_cumprod[timestep]), self._scheduler.config.prediction_type

        def call(x: Tensor, arguments: Mapping[str, Any]) -> Tensor:
            out = self.denoiser(x, timestep, **arguments).sample[:, : x.shape[1]]  # behind it comes its variance
            return noise_of_v(x, out, a) if kind == "v_prediction" else out

        return predict(
            self.denoiser,
            points,
            self._sites,
            latents.to(self.denoiser.device, self.denoiser.dtype),
            conditions=self._conditions,
            call=call,
            guidance_scale=guidance_scale,
            now=Moment(u, level_of(a)),
        )

    def _conditions(self, tensors: Mapping[str, Tensor], half: Half) -> dict[str, Any]:
        """The denoiser's arguments for one half of guidance."""
        device, dtype = self.denoiser.device, self.denoiser.dtype
        typed = {s: v.to(device) if v.dtype == torch.bool else v.to(device, dtype) for s, v in tensors.items()}
        return self.stack.conditions(typed, half == "negative")

    def levels(self, num_inference_steps: int) -> list[tuple[int, float]]:
        """DDIM's timesteps with leading spacing. See `core.protocols.Predictor`."""
        return leading(self._scheduler, num_inference_steps)

    def noise_levels(self, point: Point, recipe: Recipe) -> list[float]:
        return [level_of(a) for _, a in self.levels(recipe.num_inference_steps)[:-1]]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        return self.picture(latents).float().cpu()

    @alone
    def picture(self, latents: Tensor) -> Tensor:
        return self.stack.coder.picture(latents.to(self.denoiser.device, self.denoiser.dtype))

    @alone
    @torch.no_grad()
    def latents(self, pictures: Tensor) -> Tensor:
        check_pictures(pictures)
        return self.stack.coder.latents(pictures.to(self.denoiser.device, self.denoiser.dtype))

    def module(self, site: str) -> nn.Module:
        return identity.part(self.parts, site, self.name)
