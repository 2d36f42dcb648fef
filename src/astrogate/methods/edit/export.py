"""Export: a direction as a file that other programs read.

ComfyUI's ConDelta nodes add `strength * conditioning_delta` [1, tokens, width] to a prompt's states and
`strength * pooled_output` [1, width] to its pooled text: the file is a placed direction, exact for the prompt that it
was placed on. `mismatch` says by how much the same file misses on other prompts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from astrogate.core import archive
from astrogate.core.direction import Direction
from astrogate.core.edit import Edit
from astrogate.core.point import Point
from astrogate.models.sampler.edits import plain


def save_condelta(edit: Edit, point: Point, path: Path | str, *, scale: float = 1.0) -> None:
    """Write what an edit adds to a point at a scale as a ConDelta file, whole or not at all; the rest is zero."""
    moves, states = moved(edit, point, scale), point.tensors["prompt_embeds"]
    pooled = point.tensors.get("pooled_prompt_embeds", states[0])
    delta, pooled_delta = (
        moves.get(space, torch.zeros_like(like)).float()
        for space, like in (("prompt_embeds", states), ("pooled_prompt_embeds", pooled))
    )
    archive.write(path, {"conditioning_delta": delta[None], "pooled_output": pooled_delta[None]})


def moved(edit: Edit, point: Point, scale: float = 1.0) -> dict[str, Tensor]:
    """What an edit's steers add to a point's tensors at a scale, by space."""
    found: dict[str, Tensor] = {}
    for steer in (plain(steer, point.tensors) for steer in point.plain().apply(edit, scale).steers):
        for space, vector in steer.vectors.items():
            found[space] = found.get(space, torch.zeros_like(vector)) + steer.scale * vector
    return found


def mismatch(direction: Direction, point: Point, others: Iterable[Point]) -> float:
    """How far a file made for a point is from the direction on other prompts: mean |difference| / |direction|."""
    given, errors = moved(direction.at(point), point), list[float]()
    for other in others:
        for space, wanted in moved(direction.at(other), other).items():
            errors.append(_relative(given.get(space, torch.zeros_like(wanted)), wanted))
    return sum(errors) / len(errors) if errors else 0.0


def _relative(given: Tensor, wanted: Tensor) -> float:
    return float((given - wanted).norm() / wanted.norm())
