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

from astrogate.core.direction import Direction, place
from astrogate.core.files import whole_file
from astrogate.core.point import Point, Steer


def save_condelta(steer: Steer, point: Point, path: Path | str) -> None:
    """Write a steer as a ConDelta file, whole or not at all; what the steer leaves alone is zero."""
    from safetensors.torch import save

    states = point.tensors["prompt_embeds"]
    pooled = point.tensors.get("pooled_prompt_embeds", states[0])
    delta, pooled_delta = (
        steer.scale * steer.vectors.get(space, torch.zeros_like(like)).float()
        for space, like in (("prompt_embeds", states), ("pooled_prompt_embeds", pooled))
    )
    tensors = {"conditioning_delta": delta[None].contiguous(), "pooled_output": pooled_delta[None].contiguous()}
    with whole_file(Path(path)) as file:
        file.write(save(tensors, {"name": steer.name}))


def mismatch(direction: Direction, steer: Steer, others: Iterable[Point]) -> float:
    """How far a file made from `steer` is from the direction placed on other prompts: mean |difference| / |placed|."""
    errors: list[float] = []
    for point in others:
        placed = place(direction, point).vectors
        for space, wanted in placed.items():
            errors.append(_relative(steer.vectors.get(space, torch.zeros_like(wanted)), wanted))
    return sum(errors) / len(errors) if errors else 0.0


def _relative(given: Tensor, wanted: Tensor) -> float:
    return float((given - wanted).norm() / wanted.norm())
