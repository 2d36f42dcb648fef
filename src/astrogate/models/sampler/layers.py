"""Texts of several of an encoder's layers: side by side in points, and on an axis of their own in some denoisers.

points:   [rows, tokens, layers * d]
denoiser: [rows, tokens, layers, d]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from astrogate.models.family import Family

_STATES = "prompt_embeds"
Call = tuple[tuple[Any, ...], dict[str, Any]]


def side_by_side(states: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Text states as points have them, by space, for what `encode_prompt` gave."""
    return {name: value.flatten(2) if value.ndim == 4 else value for name, value in states.items()}


def apart(states: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """What a pipeline is given for the states of points, by space."""
    return {name: x.unflatten(-1, (layers, -1)) if name.endswith(_STATES) else x for name, x in states.items()}


def flat(args: tuple[Any, ...], kwargs: dict[str, Any], family: Family) -> tuple[Call, int]:
    """A denoiser's call with layers side by side, and how many they are."""
    name = str(family.sites[_STATES].path[0])
    return (args, {**kwargs, name: kwargs[name].flatten(2)}), kwargs[name].shape[2]


def unflat(args: tuple[Any, ...], kwargs: dict[str, Any], family: Family, layers: int) -> Call:
    """The call as the denoiser takes it, from what `flat` made."""
    name = str(family.sites[_STATES].path[0])
    return args, {**kwargs, name: kwargs[name].unflatten(-1, (layers, -1))}
