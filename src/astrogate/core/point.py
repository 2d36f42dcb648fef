"""Point: all that a denoiser starts from. Segment: which of its tokens are which words.

Steer: an edit that enters by the denoiser's conditioning. Guide: one that enters by its prediction.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from torch import Tensor

Half = Literal["positive", "negative", "both"]
Curve = tuple[tuple[float, float], ...]

#: What counts as one word of a prompt.
WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]+|_+")


@dataclass(frozen=True, slots=True)
class Segment:
    """One text encoder's tokens on the sequence axis of "prompt_embeds": positions [start, stop).

    `first` is the text's first token (after a begin token, where there is one), `end` its end-of-text token; what
    follows is padding. `words` are the prompt's, in order and lower case, each with its range. `name` is "" for a
    model's first segment, "t5" for T5's behind CLIP's.
    """

    start: int
    first: int
    end: int
    stop: int
    words: tuple[tuple[str, int, int], ...] = ()
    name: str = ""

    def find(self, phrase: str, *, last: bool = False) -> tuple[int, int] | None:
        """The range of tokens of a word or phrase where it first (or last) occurs; None where it does not."""
        wanted = WORD.findall(phrase.lower())
        places = range(len(self.words) - len(wanted) + 1) if wanted else range(0)
        for i in reversed(places) if last else places:
            found = self.words[i : i + len(wanted)]
            if [word for word, _, _ in found] == wanted:
                return found[0][1], found[-1][2]
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Steer:
    """Add `scale * vectors[space]` to spaces of the denoiser's input, in a window of the sampling.

    A vector has the shape of one item of its space, e.g. [tokens, width] for "prompt_embeds". `window` is a pair of
    shares of the steps, [start, end). `curve` weighs the scale over the sampling: pairs (share of the steps, weight),
    linear between them and constant outside. `half` says which side of classifier-free guidance is moved. `origin`
    says which direction this is and where it was placed.
    """

    vectors: Mapping[str, Tensor]
    scale: float = 1.0
    window: tuple[float, float] = (0.0, 1.0)
    half: Half = "positive"
    curve: Curve = ()
    name: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        _check(self.scale, self.window)
        shares = [u for u, _ in self.curve]
        if shares != sorted(set(shares)) or not all(0 <= u <= 1 and abs(w) <= 1000 for u, w in self.curve):
            raise AstrogateError(f"curve {self.curve}", "use rising shares of the steps from 0 to 1, finite weights")

    def strength(self, u: float) -> float:
        """The scale when the share `u` of the steps is done."""
        if not self.window[0] <= u < self.window[1]:
            return 0.0
        if not self.curve:
            return self.scale
        (x0, y0), *rest = self.curve
        for x1, y1 in rest:
            if u < x1:
                return self.scale * (y0 + (y1 - y0) * max(0.0, u - x0) / (x1 - x0))
            x0, y0 = x1, y1
        return self.scale * y0

    def scaled(self, factor: float) -> Steer:
        """The same steer, `factor` times as strong."""
        return replace(self, scale=self.scale * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """Add `scale * mask * (eps(edit) - eps(base))` to the prediction, in a window of the sampling.

    `tensors` are the edit's conditioning by space, without batch, e.g. "prompt_embeds" [tokens, width]; with `added`
    they are added to the point's own. `base` is the half of classifier-free guidance to measure against. The mask keeps
    the places where the difference, averaged over channels, is above its quantile `quantile`: 0 is no mask. A guide
    costs one more row of the denoiser.
    """

    tensors: Mapping[str, Tensor]
    scale: float = 1.0
    window: tuple[float, float] = (0.0, 1.0)
    added: bool = False
    base: Literal["positive", "negative"] = "positive"
    quantile: float = 0.0
    name: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        _check(self.scale, self.window)
        if not 0 <= self.quantile < 1:
            raise AstrogateError(f"quantile {self.quantile:g}", "use a share of the picture from 0 up to 1")

    def scaled(self, factor: float) -> Guide:
        """The same guide, `factor` times as strong."""
        return replace(self, scale=self.scale * factor)


def _check(scale: float, window: tuple[float, float]) -> None:
    low, high = window
    if not 0 <= low < high <= 1:
        raise AstrogateError(f"window {low:g} to {high:g}", "use shares of the steps, 0 <= start < end <= 1")
    if not abs(scale) <= 1000:
        raise AstrogateError(f"scale {scale:g}", "use a finite number of at most 1000 either way")


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """One picture in the making.

    `tensors` are unbatched and named as diffusers names them (`latents` [c, h, w], `prompt_embeds` [tokens, width],
    `pooled_prompt_embeds` [width], and the negatives). `segments` say which tokens are which words. `extras` are what
    other conditions need: "image", a control image [3, H, W] in [0, 1], and "ip_adapter_image_embeds", negative and
    positive [2, images, width]. `origin` says where the point came from (prompt, negative, seed), and `model` is the
    fingerprint of the weights it belongs to. `hold` is how far an edited picture is held to the unedited one, drawn
    beside it (`models.sampler.holding`): 0 not at all, 1 as far as can be. While it is held, its self-attention looks
    at the unedited picture from the share `attend` of the steps on; 1 is never.
    """

    tensors: Mapping[str, Tensor]
    model: str
    segments: tuple[Segment, ...] = ()
    steers: tuple[Steer, ...] = ()
    guides: tuple[Guide, ...] = ()
    extras: Mapping[str, Tensor] = field(default_factory=dict[str, "Tensor"])
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])
    hold: float = 0.0
    attend: float = 1.0

    def __post_init__(self) -> None:
        for name, share in (("hold", self.hold), ("attend", self.attend)):
            if not 0 <= share <= 1:
                raise AstrogateError(f"{name} {share:g}", "use a share from 0 to 1")

    def with_steers(self, *steers: Steer) -> Point:
        """This point with more steers."""
        return replace(self, steers=(*self.steers, *steers))

    def with_guides(self, *guides: Guide) -> Point:
        """This point with more guides."""
        return replace(self, guides=(*self.guides, *guides))

    def held(self, share: float, attend: float = 1.0) -> Point:
        """This point with its edits held to the unedited picture, and from `attend` of the steps on looking at it."""
        return replace(self, hold=share, attend=attend)
