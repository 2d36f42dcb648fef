"""What a stack of unCLIP is made of, whatever its family."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import Tensor

from astrogate.models.codec import Coder
from astrogate.models.unclip.priors import Prior
from astrogate.models.unclip.towers import Towers
from astrogate.models.unclip.upsampling import Upsampler


@dataclass(frozen=True, slots=True)
class Stack:
    """A loaded stack.

    `parts` are named as the checkpoint names them. `caption` turns captions into the decoder's own conditioning by
    space (empty: it sees none), by `tokenizer`; `conditions` a batch of image embeddings and captions into the
    denoiser's arguments, and its second argument says that they are the negative half. `missing` is the embedding [d]
    that means "no picture". `noised` adds noise of levels [n], 0 to `levels`, to embeddings [n, d], where the decoder
    was trained to forgive it. `clamp` is the range of a predicted picture, where pixels themselves are drawn. With
    `negative_prior` a negative prompt goes through the prior, too, and means "no picture".
    """

    parts: Mapping[str, Any]
    towers: Towers
    coder: Coder
    tokenizer: Any
    caption: Callable[[Sequence[str]], Mapping[str, Tensor]]
    conditions: Callable[[Mapping[str, Tensor], bool], dict[str, Any]]
    missing: Tensor
    noised: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    levels: int = 0
    clamp: float | None = None
    priors: Mapping[str, Prior] = field(default_factory=dict[str, Prior])
    prior_guidance: float = 1.0
    negative_prior: bool = False
    upsamplers: Sequence[Upsampler] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", MappingProxyType(dict(self.parts)))  # other parts are another stack

    @property
    def enlarging(self) -> Sequence[Upsampler]:
        """The upsamplers of its pictures: a decoder that draws larger than its encoder sees stands for the first."""
        larger, first = self.coder.enlargement, 0
        while first < len(self.upsamplers) and larger >= (factor := self.upsamplers[first].factor):
            larger, first = larger // factor, first + 1
        return self.upsamplers[first:]
