"""Texts as long as they are, as some denoisers take them, beside those of points, which are padded to one length.

points:   states [rows, length, d], zero from n_i on, and a mask, 1 up to n_i
"lists":  [n_1, d], [n_2, d], ...; latents come one by one, too
"longest": states [rows, max n_i, d] and a mask [rows, max n_i], or none where all n_i are equal
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from astrogate.core.point import Point
from astrogate.models.family import Family

_STATES = "prompt_embeds"
Call = tuple[tuple[Any, ...], dict[str, Any]]


def padded(states: Mapping[str, Any], family: Family) -> dict[str, Tensor]:
    """Text states as points have them, by space, for what `encode_prompt` gave: lists, or batches with a mask."""
    found: dict[str, Tensor] = {}
    for prefix in ("", "negative_"):
        rows = states.get(prefix + _STATES, [])
        if len(rows):
            masks = states.get(prefix + family.mask)
            own = rows if masks is None else [row[: int(mask.sum())] for row, mask in zip(rows, masks, strict=True)]
            found[prefix + _STATES], found[prefix + family.mask] = _padded(own, _length(family))
    return found


def unpadded(states: Mapping[str, Tensor], family: Family, points: Iterable[Point]) -> dict[str, Any]:
    """What a pipeline is given for the states of points, by space; guides of the points are no longer than they."""
    found: dict[str, Any] = dict(states)
    for prefix in ("", "negative_"):
        if (mask := states.get(prefix + family.mask)) is None:
            continue
        if family.unpadded == "lists":
            found[prefix + _STATES] = _cut(states[prefix + _STATES], found.pop(prefix + family.mask))
        else:
            guides = [] if prefix else [guide for point in points for guide in point.guides]
            asked = [guide.tensors[family.mask] for guide in guides if family.mask in guide.tensors]
            longest = max(int(row.sum()) for row in (*mask, *asked))
            for name in (_STATES, family.mask):
                found[prefix + name] = found[prefix + name][:, :longest]
    return found


def as_batch(args: tuple[Any, ...], kwargs: dict[str, Any], family: Family) -> Call:
    """A denoiser's call with batches for lists of latents and texts, and always a mask."""
    if family.unpadded == "lists":
        latents, time, texts, *rest = args
        states, mask = _padded(texts, _length(family))
        return (torch.stack(list(latents)), time, states, *rest), {**kwargs, family.mask: mask}
    told, said = _sites(family)
    if kwargs[told] is not None:
        return args, kwargs
    return args, {**kwargs, told: kwargs[said].new_ones(kwargs[said].shape[:2], dtype=torch.long)}


def as_given(args: tuple[Any, ...], kwargs: dict[str, Any], family: Family) -> Call:
    """The call as the denoiser takes it, from what `as_batch` made."""
    if family.unpadded == "lists":
        latents, time, states, *rest = args
        others = {name: value for name, value in kwargs.items() if name != family.mask}
        return (list(latents), time, _cut(states, kwargs[family.mask]), *rest), others
    told, _ = _sites(family)
    return args, {**kwargs, told: None} if kwargs[told].all() else kwargs


def _sites(family: Family) -> tuple[str, str]:
    """The denoiser's arguments for the mask and for the states."""
    return str(family.sites[family.mask].path[0]), str(family.sites[_STATES].path[0])


def _length(family: Family) -> int:
    return family.texts[0].tokens(None)


def _padded(rows: Sequence[Tensor], length: int) -> tuple[Tensor, Tensor]:
    states = rows[0].new_zeros(len(rows), length, rows[0].shape[-1])
    mask = torch.zeros(len(rows), length, dtype=torch.long, device=states.device)
    for i, row in enumerate(rows):
        states[i, : len(row)], mask[i, : len(row)] = row, 1
    return states, mask


def _cut(states: Tensor, mask: Tensor) -> list[Tensor]:
    return [row[: int(count)] for row, count in zip(states, mask.sum(1), strict=True)]
