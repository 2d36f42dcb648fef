"""Point: all that a denoiser starts from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Hold, Steer
from astrogate.core.recipe import Recipe
from astrogate.core.segment import Segment
from astrogate.core.values import number, whole

if TYPE_CHECKING:
    from torch import Tensor

_ANEW = "make the point anew, with this model"
#: How far calibrated edits may go together, and the most draws before a point's noise.
TOGETHER, DRAWS = 2.0, 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One picture in the making.

    `tensors` are unbatched and named as diffusers names them (`latents` [c, h, w], `prompt_embeds` [tokens, width],
    `pooled_prompt_embeds` [width], and the negatives). `model` is the fingerprint of the weights it belongs to,
    `segments` say which tokens are which words of `prompt`.
    `edits` are edits, each with its scale. `extras` are what other
    conditions need: "image", a control image [3, H, W] in [0, 1], and "ip_adapter_image_embeds", negative and positive
    [2, images, width]. `seed` is that of the generator that a stochastic sampler draws from, `draw` how many draws of
    the latents' shape it has made before the latents. `hold` takes the place of what the edits say of holding.
    `recipe` is that by which its noise was found from a picture, and by which it gives the picture back (None: drawn).
    `origin` says where the point came from (prompt, negative ...); nothing computes from it.
    """

    tensors: Mapping[str, Tensor]
    model: str
    segments: tuple[Segment, ...] = ()
    prompt: str = ""
    edits: tuple[tuple[Edit, float], ...] = ()
    extras: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    seed: int = 0
    draw: int = 0
    hold: Hold | None = None
    recipe: Recipe | None = None
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        object.__setattr__(self, "seed", whole(self.seed, "seed", 0, 2**32 - 1))
        object.__setattr__(self, "draw", whole(self.draw, "draw", 0, DRAWS))

    def __repr__(self) -> str:
        edits = "".join(f", {scale:+g} {edit.name}" for edit, scale in self.edits)
        return f'<Point "{self.prompt}" seed {self.seed}{edits}, {self.origin.get("model", "")}>'

    def apply(self, edit: Edit, scale: float = 1.0) -> Point:
        """This point with an edit more; at scale 0 the point itself.

        Raises AstrogateError for an edit of another model or prompt, for a scale that is not finite or that the edit
        does not go to, and for calibrated edits that go further than 2 together.
        """
        if not isinstance(edit, Edit):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise AstrogateError(
                f"a {type(edit).__name__} is no edit", "place a direction first, by direction.at(point)"
            )
        scale = number(scale, "scale")
        if not math.isfinite(edit.strength(scale)):
            raise AstrogateError(f"scale {scale:g} of {edit.name or 'an edit'}", "use a finite number")
        if edit.model not in ("", self.model):
            raise AstrogateError(
                f"the edit {edit.name!r} was found in another model than this point's", "find it again in this model"
            )
        if edit.segments is not None and edit.segments != self.segments:
            raise AstrogateError(
                f"the edit {edit.name!r} was made for another prompt than this point's", "make it again for this prompt"
            )
        if scale == 0:
            return self
        edits = (*self.edits, (edit, scale))
        total = sum(abs(s) for e, s in edits if e.calibration is not None)
        if total > TOGETHER + 1e-9:
            raise AstrogateError(
                f"calibrated edits at scales of {total:g} in all", f"keep them at {TOGETHER:g} together, and 1 each"
            )
        return replace(self, edits=edits)

    def held(self, share: float, attend: float = 1.0) -> Point:
        """This point with its edits held to the unedited picture, and from `attend` of the steps on looking at it."""
        return replace(self, hold=Hold(share, attend))

    def with_noise(self, seed: int, *, draw: int = 0) -> Point:
        """This point with other noise: what the generator of `seed` draws after `draw` draws.

        Draw 0 is what plain diffusers starts from. Both ends of a path may come from one generator, by draws 0 and 1.
        Raises AstrogateError for a seed outside [0, 2**32).
        """
        from astrogate.core.seeds import noise

        draw = whole(draw, "draw", 0, DRAWS)
        latents = noise(tuple(self.tensors["latents"].shape), seed, draw=draw)
        return replace(self, tensors={**self.tensors, "latents": latents}, seed=seed, draw=draw, recipe=None)

    def plain(self) -> Point:
        """This point without its edits."""
        return replace(self, edits=(), hold=None)

    @property
    def steers(self) -> tuple[Steer, ...]:
        """What its edits move before the denoiser."""
        return tuple(steer for edit, scale in self.edits for steer in edit.at(scale).steers if steer.scale)

    @property
    def guides(self) -> tuple[Guide, ...]:
        """What its edits add behind the denoiser."""
        return tuple(guide for edit, scale in self.edits for guide in edit.at(scale).guides if guide.scale)

    @property
    def holding(self) -> Hold:
        """How it is held: as `hold` says, or as its freest edit allows."""
        if self.hold is not None:
            return self.hold
        holds = [hold for edit, scale in self.edits if (hold := edit.at(scale).hold) is not None]
        return Hold(min(h.share for h in holds), min(h.attend for h in holds)) if holds else Hold()


def check_tensors(point: Point) -> None:
    """Raise AstrogateError for a point that no denoiser starts from, without latents [c, h, w], or with odd tensors."""
    if point.tensors.get("latents") is None:
        raise AstrogateError("a point has no latents", _ANEW)
    for space, tensor in point.tensors.items():
        if not hasattr(tensor, "is_complex"):
            raise AstrogateError(f"the {space} of a point is a {type(tensor).__name__}", _ANEW)
        negative = point.tensors.get(f"negative_{space}", tensor)
        odd = tensor.is_complex() or 0 in (tensor.ndim, *tensor.shape) or negative.shape != tensor.shape
        if odd or (space == "latents" and (tensor.ndim != 3 or not tensor.is_floating_point())):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise AstrogateError(f"the {space} of a point are {list(tensor.shape)} of {kind}", _ANEW)
