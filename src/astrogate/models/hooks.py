"""Steers enter through one forward pre-hook on the denoiser, which removes itself.

With classifier-free guidance the denoiser's batch is [negative; positive]; a steer moves the half that it names, in
its window of the steps, row by row. Steers of scale 0 add no hook at all, so the picture is bit-identical to none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Steer

_KEYWORD = {"prompt_embeds": "encoder_hidden_states"}


@contextmanager
def steering(denoiser: nn.Module, points: Sequence[Point], timesteps: Callable[[], Tensor]) -> Generator[None]:
    """While open, every call of `denoiser` sees its conditioning moved by the steers of `points` (one a row).

    `timesteps` returns the scheduler's timesteps, from which a call's place in the sampling is found.
    """
    active = [(row, steer) for row, point in enumerate(points) for steer in point.steers if steer.scale != 0]
    if not active:
        yield
        return
    for _, steer in active:
        if steer.space not in _KEYWORD:
            raise AstrogateError(
                f"this model has no space {steer.space!r} to steer", f"choose one of {', '.join(_KEYWORD)}"
            )

    def move(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        place = _progress(kwargs["timestep"] if "timestep" in kwargs else args[1], timesteps())
        for space, keyword in _KEYWORD.items():
            delta = _delta(active, space, kwargs[keyword], len(points), place)
            if delta is not None:
                kwargs = {**kwargs, keyword: kwargs[keyword] + delta}
        return args, kwargs

    handle = denoiser.register_forward_pre_hook(move, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _progress(timestep: Tensor | float, timesteps: Tensor) -> float:
    """The share of the sampling that is done when the denoiser is called at `timestep`."""
    now = torch.as_tensor(timestep, dtype=torch.float64).flatten()[0].item()
    nearest = (timesteps.to("cpu", torch.float64) - now).abs().argmin().item()
    return float(nearest) / len(timesteps)


def _delta(active: list[tuple[int, Steer]], space: str, states: Tensor, rows: int, place: float) -> Tensor | None:
    """What the steers add to `states` [rows or 2 rows, ...] at this place; None if nothing."""
    guided = states.shape[0] == 2 * rows
    delta: Tensor | None = None
    for row, steer in active:
        start, end = steer.window
        if steer.space != space or not start <= place < end:
            continue
        if delta is None:
            delta = torch.zeros_like(states)
        amount = steer.scale * steer.vector.to(states)
        if steer.half in ("positive", "both"):
            delta[row + rows if guided else row] += amount
        if guided and steer.half in ("negative", "both"):
            delta[row] += amount
    return delta
