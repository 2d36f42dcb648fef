"""What the floors ask of one another: a model, a reader of factors, a distance between pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from astrogate.core.point import Point
    from astrogate.core.recipe import Recipe
    from astrogate.core.segment import Segment


#: How `Model.weights` start where code of others works in a model: they are never the same again.
UNKNOWN = "?"


class Model(Protocol):
    """What any text-to-image diffusion model must do for Astrogate. Its classes are final.

    One thread at a time works with a model: the others wait, so that all of them get the right pictures.
    """

    @property
    def can(self) -> frozenset[str]:
        """What it can do, of `models.family.ABILITIES`; asking for anything else raises one kind of error."""
        ...

    @property
    def recipe(self) -> Recipe:
        """What its pictures are drawn by unless something else is asked for."""
        ...

    @property
    def dtype(self) -> str:
        """What its denoiser computes in: "float32", "float16" or "bfloat16"."""
        ...

    @property
    def name(self) -> str:
        """What it was loaded by: a folder, a hub id, or "menagerie"."""
        ...

    @property
    def language(self) -> frozenset[str]:
        """A closed vocabulary, empty for open ones."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of names, shapes and values of the weights of the text encoder and the denoiser."""
        ...

    @property
    def weights(self) -> str:
        """A hash of all that makes a picture: every part, its adapters and settings, and the scheduler.

        Where code of others works in them (a hook, a processor, a replaced method) it starts with `UNKNOWN`.
        """
        ...

    @property
    def denoiser(self) -> nn.Module:
        """What predicts: a U-Net or a transformer."""
        ...

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Held by the thread that works with the denoiser; the same thread may take it again."""
        ...

    @property
    def spaces(self) -> frozenset[str]:
        """The tensors that a Point of this model holds, by diffusers' own names."""
        ...

    @property
    def size(self) -> int:
        """The side of a picture, in pixels, at the model's own resolution."""
        ...

    @property
    def factor(self) -> int:
        """Pixels a side for one of a point's latents."""
        ...

    @property
    def scheduler(self) -> str:
        """The class of diffusers that its pictures are drawn by where a recipe names none."""
        ...

    def point(
        self, prompt: str, *, seed: int = 0, negative: str = "", height: int | None = None, width: int | None = None
    ) -> Point:
        """All that the denoiser starts from, for one prompt and one seed."""
        ...

    def points(
        self,
        prompt: str,
        seeds: Sequence[int],
        *,
        negative: str = "",
        height: int | None = None,
        width: int | None = None,
    ) -> list[Point]:
        """The points of a prompt, one per seed: the same as `point` makes, with the text encoded once."""
        ...

    def encode(
        self, prompts: Sequence[str], *, padding: str = "max_length", gradient: bool = False
    ) -> Mapping[str, Tensor]:
        """Text states by space name: "prompt_embeds" [n, tokens, width], where there is one the pooled text [n, width].

        `end` [n] is the index of each end-of-text token in the first segment. `padding` is "max_length", what the
        denoiser takes, or "longest", which suffices for states up to the end, and is less where an encoder is causal or
        sees a mask. With `gradient` the states can be differentiated, and stay on the model's device.
        """
        ...

    def segments(self, prompt: str) -> tuple[Segment, ...]:
        """Which tokens of "prompt_embeds" are which words, one segment a text encoder."""
        ...

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        """Run the sampler over one batch: latents [n, c, h, w]."""
        ...

    def noise_levels(self, point: Point, recipe: Recipe) -> list[float]:
        """The level of noise at each step of a point's sampling, falling from 1 or less: see `core.parts`."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [n, c, h, w] to pictures [n, 3, H, W] in [0, 1]."""
        ...

    def module(self, site: str) -> nn.Module:
        """A named part: "unet", "text_encoder", "vae", or any path below one of them."""
        ...


class Predictor(Model, Protocol):
    """A Model whose prediction can be had step by step, with gradients: what inversion and guidance by CLIP need."""

    def levels(self, num_inference_steps: int) -> list[tuple[int, float]]:
        """DDIM's timesteps, first to last, each with its cumulative product of alphas; last, (-1, the end's)."""
        ...

    def epsilon(
        self, points: Sequence[Point], latents: Tensor, timestep: int, *, guidance_scale: float = 1.0, u: float = 0.0
    ) -> Tensor:
        """The guided noise [n, c, h, w] in `latents`; `u` is the share of the steps that is done, for steers."""
        ...

    def picture(self, latents: Tensor) -> Tensor:
        """As `decode`, but differentiable and on the model's device."""
        ...

    def latents(self, pictures: Tensor) -> Tensor:
        """Pictures [n, 3, H, W] in [0, 1] to the latents [n, c, h, w] that decode to them."""
        ...


@dataclass(frozen=True, slots=True)
class Readings:
    """Factors read from n pictures: class probabilities [n, values], numbers [n], and the subject's mask [n, h, w].

    Probabilities are double precision, in which pictures that are nearly certain still have an order.
    """

    classes: Mapping[str, Sequence[str]]
    probabilities: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    mask: Tensor

    def __repr__(self) -> str:
        return f"<Readings of {len(self.mask)} pictures, {', '.join((*self.classes, *self.values))}>"

    def labels(self, factor: str) -> list[str]:
        """The most likely value of a categorical factor for every picture."""
        names = self.classes[factor]
        return [names[int(i)] for i in self.probabilities[factor].argmax(1)]


class Reader(Protocol):
    """Reads factors from pictures: Menagerie's oracle, or CLIP zero-shot elsewhere."""

    def read(self, pictures: Tensor) -> Readings:
        """Pictures [n, 3, h, w] in [0, 1] to readings."""
        ...


class Distance(Protocol):
    """How different pictures look, such as `measure.clip.Clip` by its features."""

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        """Pictures [n, 3, h, w] in [0, 1] and as many others to distances [n], 0 for equal ones."""
        ...
