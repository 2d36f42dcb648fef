"""PipelineModel: any family that a pipeline of diffusers draws, by its row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Moment
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import checked_all, noise
from astrogate.core.segment import Segment
from astrogate.core.values import check_pictures, whole
from astrogate.models import identity
from astrogate.models.asked import check_guided, check_negative, check_points, check_recipe, check_way, sides
from astrogate.models.codec import Coder, codec_of
from astrogate.models.family import Family
from astrogate.models.finite import check_made, check_settings, watched
from astrogate.models.registry import require
from astrogate.models.sampler.levels import level_of, started
from astrogate.models.sampler.locks import Turn, alone
from astrogate.models.sampler.loop import adapted, draws_noise, of_kind, sample, stacked
from astrogate.models.sampler.step import predict
from astrogate.models.sampler.windows import own_side
from astrogate.models.text.encoding import encoded, ends, segments, shortened
from astrogate.models.text.prompts import check_length, check_padding, check_prompt, check_words
from astrogate.ops.ddim import noise_of_v


@final
class PipelineModel:
    """One loaded checkpoint. `language` is a closed vocabulary to warn about, empty for open ones."""

    def __init__(
        self,
        family: Family,
        pipe: Any,
        name: str,
        *,
        language: frozenset[str] = frozenset(),
        recipe: Recipe | None = None,
    ) -> None:
        self.family, self.pipe, self.name, self.language = family, pipe, name, language
        self.recipe = recipe or (family.recipe if family.drawn is None else family.drawn(pipe))
        self.lock = Turn(lambda: pipe.components.values())
        pipe.set_progress_bar_config(disable=True)
        if family.upcast and pipe.vae.dtype == torch.float16 and pipe.vae.config.force_upcast:
            pipe.vae.to(torch.float32)
        check_settings(pipe.scheduler, pipe.vae, name)
        identity.settle(self.parts.values())

    def __repr__(self) -> str:
        side = self._side()
        return f"<Model {self.name}, {self.family.name}, {f'{side} px, ' if side else ''}{self.dtype}, {self.device}>"

    @property
    def can(self) -> frozenset[str]:
        """What it can do, of `models.family.ABILITIES`."""
        return self.family.can

    @property
    def spaces(self) -> frozenset[str]:
        """The tensors of its points."""
        return self.family.spaces

    @property
    def denoiser(self) -> Any:
        """The U-Net or the transformer."""
        return getattr(self.pipe, self.family.denoiser)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Its parts that have weights, by their names."""
        return identity.modules(self.pipe)

    @property
    def dtype(self) -> str:
        """See `core.protocols.Model`."""
        return str(self.denoiser.dtype).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        """Where it works."""
        return self.pipe._execution_device

    @property
    def codec(self) -> Coder:
        """Between its pictures and latents."""
        return codec_of(self.pipe.vae)

    @property
    def size(self) -> int:
        """The side of a picture, in pixels, at the model's own resolution."""
        if not (side := self._side()):
            raise AstrogateError(f"{self.name} does not say the size of its pictures", "name a height and a width")
        return side

    def _side(self) -> int:
        """The side of its pictures; 0 where its settings do not say it."""
        return (own_side(self.denoiser, self.pipe) // self.family.fold or self.family.side) * self.factor

    @property
    def channels(self) -> int:
        """Of the latents."""
        return int(self.denoiser.config.in_channels) // self.family.packing**2

    @property
    def factor(self) -> int:
        """See `core.protocols.Model`."""
        return self.pipe.vae_scale_factor * self.family.fold

    @property
    @alone
    def scheduler(self) -> str:
        """See `core.protocols.Model`."""
        return type(self.pipe.scheduler).__name__

    @property
    def fingerprint(self) -> str:
        """See `core.protocols.Model`."""
        names = (*self.family.encoders, self.family.denoiser)
        return identity.fingerprint({name: getattr(self.pipe, name) for name in names})

    @property
    @alone
    def weights(self) -> str:
        """See `core.protocols.Model`."""
        return identity.weights(self.parts, self.pipe.scheduler, self.pipe)

    def point(
        self, prompt: str, *, seed: int = 0, negative: str = "", height: int | None = None, width: int | None = None
    ) -> Point:
        """Encode a prompt as the pipeline would, and draw its noise. See `core.protocols.Model`.

        Without a negative prompt its states are those that the pipeline takes then: zeros for some checkpoints.
        """
        return self.points(prompt, [seed], negative=negative, height=height, width=width)[0]

    @alone
    def points(
        self,
        prompt: str,
        seeds: Sequence[int],
        *,
        negative: str = "",
        height: int | None = None,
        width: int | None = None,
    ) -> list[Point]:
        """See `core.protocols.Model`."""
        seeds = checked_all(seeds)
        check_prompt(prompt)
        check_words((prompt, negative), self.language)
        lacks = self.family.guidance.layout == "none"
        if lacks and negative:
            raise AstrogateError(f"{self.name} takes no negative prompt", "leave it out")
        factor, unit = self.factor, self.family.packing * self.family.patch
        height, width = sides(height, width, lambda: self.size, math.lcm(factor * unit, self.family.multiple))
        first = self.family.texts[0]
        with torch.no_grad():
            for text, half in ((prompt, False), (negative, True)):
                frame, limit = first.frame(self.pipe, negative=half), first.limit(self.pipe, negative=half)
                check_length(first.read(text), first.reader(self.pipe), limit, frame)
            states = encoded(self.pipe, self.family, [prompt], negative=None if lacks else negative)
            segments = self.segments(prompt)
        shape = (self.channels, height // factor, width // factor)
        origin = {"model": self.name, "prompt": prompt, "negative": negative}
        texts = {space: value[0].cpu() for space, value in states.items()}
        own: Any = {"segments": segments, "prompt": prompt, "origin": origin}
        return [
            Point({"latents": noise(shape, s), **texts}, self.fingerprint, **own, seed=s) for s in checked_all(seeds)
        ]

    @alone
    def encode(
        self, prompts: Sequence[str], *, padding: str = "max_length", gradient: bool = False
    ) -> Mapping[str, Tensor]:
        """Text states by space, and `end` [n]; padding "longest" drops what no state needs where the encoder allows it.

        See `core.protocols.Model`.
        """
        check_words(prompts, self.language)
        check_padding(padding)
        short = padding == "longest" and self.family.short
        with torch.set_grad_enabled(gradient):
            with shortened(self.pipe, prompts) if short else nullcontext():
                states = encoded(self.pipe, self.family, list(prompts), learning=gradient, short=short)
            end = ends(self.pipe, self.family, prompts)
        return {**{space: value if gradient else value.cpu() for space, value in states.items()}, "end": end}

    @alone
    def segments(self, prompt: str) -> tuple[Segment, ...]:
        """See `core.protocols.Model`."""
        return segments(self.pipe, self.family, prompt)

    @alone
    @watched
    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """Run the pipeline's sampler over one batch of points; edits act, the model is left as it was."""
        check_points(self, points)
        guidance = self.family.guidance
        check_recipe(self, recipe, guidance.scale)
        check_negative(points, guided=guidance.on(recipe, self.pipe), guidance=guidance.scale)
        if guidance.scale == "guidance_scale":  # else it is embedded, or not there at all
            check_guided(self.name, self.recipe, recipe)
        check_way(points, lambda: draws_noise(self.pipe, self.family, recipe))
        return sample(self.pipe, self.family, points, recipe, self.fingerprint, self.channels)

    @alone
    def noise_levels(self, point: Point, recipe: Recipe) -> list[float]:
        """See `core.protocols.Model`."""
        with started(self.pipe, self.family) as levels:
            sample(self.pipe, self.family, [point.plain()], recipe, self.fingerprint, self.channels)
        return levels

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """See `core.protocols.Model`."""
        return self.picture(latents).float().cpu()

    @alone
    def picture(self, latents: Tensor) -> Tensor:
        """Latents [n, c, h, w] to pictures [n, 3, H, W] in [0, 1], differentiable, on the model's device."""
        return self.codec.picture(latents.to(self.device))

    @alone
    @torch.no_grad()
    def latents(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, H, W] in [0, 1] to the means of their latents [n, c, h, w], on the model's device."""
        check_pictures(pictures)
        found = self.codec.latents(pictures.to(self.device))
        check_made([found], "the latents of pictures", {"vae": self.pipe.vae})
        return found

    @property
    def _timesteps(self) -> int:
        return int(self.pipe.scheduler.config.num_train_timesteps)

    @alone
    def levels(self, num_inference_steps: int) -> list[tuple[int, float]]:
        """See `core.protocols.Predictor`."""
        from diffusers import DDIMScheduler

        require(self, "step")
        num_inference_steps = whole(num_inference_steps, "{} steps", 1, self._timesteps, f"use 1 to {self._timesteps}")
        scheduler: Any = of_kind(DDIMScheduler, self.pipe.scheduler)
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

    @alone
    def epsilon(
        self, points: Sequence[Point], latents: Tensor, timestep: int, *, guidance_scale: float = 1.0, u: float = 0.0
    ) -> Tensor:
        """The guided noise in `latents`, with gradients where they are wanted. See `core.protocols.Predictor`."""
        require(self, "step")
        if any(point.extras for point in points):
            raise AstrogateError("a ControlNet or an IP-Adapter can't go step by step", "leave the extra picture out")
        if getattr(self.pipe, "controlnet", None) is not None or adapted(self.pipe):
            raise AstrogateError(f"{self.name} can't go step by step with its extra part", "wrap a pipeline without it")
        stacked(points, {"latents"}, self.fingerprint, self.channels)
        x = latents.to(self.device, self.denoiser.dtype)
        timestep = whole(timestep, "timestep", 0, self._timesteps - 1)
        a = float(self.pipe.scheduler.alphas_cumprod[timestep])

        def call(x: Tensor, arguments: Mapping[str, Any]) -> Tensor:
            out = self.denoiser(x, timestep, **arguments).sample
            return noise_of_v(x, out, a) if self.predicts_v else out

        return predict(
            self.denoiser,
            points,
            self.family.sites,
            x,
            conditions=lambda tensors, _: self.conditions(tensors, x),
            call=call,
            guidance_scale=guidance_scale,
            now=Moment(u, level_of(a)),
        )

    @property
    @alone
    def predicts_v(self) -> bool:
        """Whether the denoiser predicts v and not noise. Raises AstrogateError for other predictions."""
        kind = self.pipe.scheduler.config.prediction_type
        if kind not in ("epsilon", "v_prediction"):
            raise AstrogateError(f"a model that predicts {kind!r}", "use one that predicts epsilon or v")
        return kind == "v_prediction"

    def conditions(self, tensors: Mapping[str, Tensor], latents: Tensor) -> dict[str, Any]:
        """The denoiser's arguments for conditioning [n, ...] by space, beside latents [.., c, h, w] and timestep."""
        dtype, device = self.denoiser.dtype, self.device
        rows = len(tensors["prompt_embeds"])
        beside = latents[:1].expand(rows, *latents.shape[1:]).to(device, dtype)
        found: dict[str, Any] = {} if self.family.added is None else dict(self.family.added(self.pipe, beside))
        for space, site in self.family.sites.items():
            *path, last = site.path
            inner: dict[Any, Any] = found
            for key in path:
                inner = inner.setdefault(key, {})
            value = tensors[space].to(device)
            inner[last] = value.to(dtype) if value.is_floating_point() else value
        return found

    def module(self, site: str) -> nn.Module:
        """See `core.protocols.Model`."""
        return identity.part(identity.modules(self.pipe), site, self.name)
