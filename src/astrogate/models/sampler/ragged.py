"""Lists of texts without padding, as some denoisers take them, beside batches with a mask, as edits need them.

[n_1, d], [n_2, d], ...    <->    states [rows, length, d], zero from n_i on, and a mask, 1 up to n_i
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from astrogate.models.family import MASK, Family


def evened(states: Mapping[str, Sequence[Tensor]], length: int) -> dict[str, Tensor]:
    """Batches of `length` tokens and their masks, by space, for the lists of "prompt_embeds" and its negative."""
    found: dict[str, Tensor] = {}
    for name, rows in states.items():
        if rows:
            found[name], found[name.replace("prompt_embeds", MASK)] = _padded(rows, length)
    return found


def cut(states: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a pipeline is given for batches by space: lists of texts for those with a mask."""
    found: dict[str, Any] = {name: value for name, value in states.items() if not name.endswith(MASK)}
    for name in (name for name in states if name.endswith(MASK)):
        space = name.replace(MASK, "prompt_embeds")
        found[space] = _cut(states[space], states[name])
    return found


def as_batch(args: tuple[Any, ...], kwargs: dict[str, Any], family: Family) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A denoiser's call with batches for its lists of latents and texts, and the mask of these."""
    latents, time, texts, *rest = args
    states, mask = _padded(texts, family.texts[0].tokens(None))
    return (torch.stack(list(latents)), time, states, *rest), {**kwargs, MASK: mask}


def as_lists(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The call as the denoiser takes it, from what `as_batch` made."""
    latents, time, states, *rest = args
    texts = _cut(states, kwargs[MASK])
    return (list(latents), time, texts, *rest), {name: value for name, value in kwargs.items() if name != MASK}


def _padded(rows: Sequence[Tensor], length: int) -> tuple[Tensor, Tensor]:
    states = rows[0].new_zeros(len(rows), length, rows[0].shape[-1])
    mask = torch.zeros(len(rows), length, dtype=torch.long, device=states.device)
    for i, row in enumerate(rows):
        states[i, : len(row)], mask[i, : len(row)] = row, 1
    return states, mask


def _cut(states: Tensor, mask: Tensor) -> list[Tensor]:
    return [row[: int(count)] for row, count in zip(states, mask.sum(1), strict=True)]
