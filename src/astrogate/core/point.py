"""Point: all that a denoiser starts from. Steer: how an edit enters it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from torch import Tensor

Half = Literal["positive", "negative", "both"]


@dataclass(frozen=True, slots=True, eq=False)
class Steer:
    """Add `scale * vector` to a space of the denoiser's input, in a window of the sampling.

    `vector` has the shape of one item of `space`, e.g. [tokens, width] for "prompt_embeds". `window` is a pair of
    shares of the steps, [start, end). `half` says which side of classifier-free guidance is moved. `origin` says which
    direction this is and where it was placed.
    """

    space: str
    vector: Tensor
    scale: float = 1.0
    window: tuple[float, float] = (0.0, 1.0)
    half: Half = "positive"
    name: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        low, high = self.window
        if not 0 <= low < high <= 1:
            raise AstrogateError(f"window {low:g} to {high:g}", "use shares of the steps, 0 <= start < end <= 1")
        if not abs(self.scale) <= 1000:
            raise AstrogateError(f"scale {self.scale:g}", "use a finite number of at most 1000 either way")

    def scaled(self, factor: float) -> Steer:
        """The same steer, `factor` times as strong."""
        return replace(self, scale=self.scale * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One picture in the making.

    `tensors` are unbatched and named as diffusers names them (`latents` [c, h, w], `prompt_embeds` [tokens, width],
    `negative_prompt_embeds`). `spans` maps each word of the prompt to its token range. `origin` says where the point
    came from (prompt, negative, seed), and `model` is the fingerprint of the weights it belongs to.
    """

    tensors: Mapping[str, Tensor]
    model: str
    spans: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    steers: tuple[Steer, ...] = ()
    extras: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def with_steers(self, *steers: Steer) -> Point:
        """This point with more steers."""
        return replace(self, steers=(*self.steers, *steers))
