"""Steers enter through one forward pre-hook on the denoiser (and on a ControlNet), which removes itself.

With classifier-free guidance a denoiser's batch is [negative; positive], or the two come in turn, positive first; a
steer moves the half that it names, in its window of the steps, row by row. Steers of scale 0 add no hook at all, so
the picture is bit-identical to none.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Steer

#: Where a space enters the denoiser: the path to it in the keyword arguments of a call.
Sites = Mapping[str, tuple[str, ...]]

#: The share of the sampling that is done at a timestep.
Progress = Callable[[Tensor | float], float]


@contextmanager
def steering(
    denoisers: Sequence[nn.Module],
    points: Sequence[Point],
    sites: Sites,
    progress: Progress,
    *,
    in_turn: bool = False,
) -> Generator[None]:
    """While open, every call of a denoiser sees its conditioning moved by the steers of `points` (one a row).

    `progress` turns the timestep of a call into the share of the sampling that is done. `in_turn` says that positive
    and negative halves are calls of their own, as in Flux with true classifier-free guidance.
    """
    active = [(row, steer) for row, point in enumerate(points) for steer in point.steers if steer.scale != 0]
    for space in {space for _, steer in active for space in steer.vectors}:
        if space not in sites:
            raise AstrogateError(f"this model has no space {space!r} to steer", f"choose one of {', '.join(sites)}")
    with ExitStack() as stack:
        for denoiser in denoisers if active else ():
            hook = _Hook(active, len(points), sites, progress, in_turn)
            stack.callback(denoiser.register_forward_pre_hook(hook, with_kwargs=True).remove)
        yield


class _Hook:
    """Moves the conditioning of one call of a denoiser."""

    def __init__(
        self,
        active: list[tuple[int, Steer]],
        rows: int,
        sites: Sites,
        progress: Progress,
        in_turn: bool,
    ) -> None:
        self.active, self.rows, self.sites, self.progress, self.in_turn = active, rows, sites, progress, in_turn
        self.calls = 0

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        negative = self.in_turn and self.calls % 2 == 1
        self.calls += 1
        u = self.progress(kwargs["timestep"] if "timestep" in kwargs else args[1])
        for space, path in self.sites.items():
            kwargs = moved(kwargs, path, lambda states, space=space: self._move(states, space, u, negative))
        return args, kwargs

    def _move(self, states: Tensor, space: str, u: float, negative: bool) -> Tensor:
        """`states` [rows or 2 rows, ...] with what the steers add; the same object when they add nothing."""
        both = states.shape[0] == 2 * self.rows
        offsets = {"negative": 0, "positive": self.rows} if both else {"negative" if negative else "positive": 0}
        delta: Tensor | None = None
        for row, steer in self.active:
            strength = steer.strength(u)
            if space not in steer.vectors or strength == 0:
                continue
            for half, offset in offsets.items():
                if steer.half in (half, "both"):
                    delta = torch.zeros_like(states) if delta is None else delta
                    delta[row + offset] += strength * steer.vectors[space].to(states)
        return states if delta is None else states + delta


def moved(kwargs: dict[str, Any], path: tuple[str, ...], move: Callable[[Any], Any]) -> dict[str, Any]:
    """The arguments with the tensor at `path` moved; the caller's own are left as they are. Absent ones stay absent."""
    head, *rest = path
    value = kwargs.get(head)
    if value is None:
        return kwargs
    return {**kwargs, head: moved(value, tuple(rest), move) if rest else move(value)}


@contextmanager
def forwarding(denoiser: nn.Module, forward: Callable[..., Any]) -> Generator[None]:
    """While open, `forward` is the denoiser's; hooks stay around it."""
    had, own = "forward" in vars(denoiser), denoiser.forward
    denoiser.forward = forward
    try:
        yield
    finally:
        if had:
            denoiser.forward = own
        else:
            del denoiser.forward


@contextmanager
def replacing(denoiser: nn.Module, path: tuple[str, ...], value: Any) -> Generator[None]:
    """While open, every call of a denoiser has `value` at `path` in its keyword arguments, where there was any."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return args, moved(kwargs, path, lambda _: value)

    handle = denoiser.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def nearest_step(timesteps: Callable[[], Tensor], unit: float = 1.0) -> Progress:
    """The share of the sampling that is done at a timestep, by its place among the scheduler's `timesteps`.

    `unit` is the scheduler's step for one of the denoiser's own (Flux's transformer takes thousandths).
    """

    def progress(timestep: Tensor | float) -> float:
        now = unit * torch.as_tensor(timestep, dtype=torch.float64).flatten()[0].item()
        steps = timesteps()
        return float((steps.to("cpu", torch.float64) - now).abs().argmin()) / len(steps)

    return progress
