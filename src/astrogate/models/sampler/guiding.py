"""Guides enter through a pre-hook and a hook on the denoiser, which remove themselves.

The pre-hook appends one row of the batch for each guide that acts at this step, with the guide's conditioning; the hook
takes these rows off again and adds

    scale * mask * (eps(edit) - eps(base))

to every half of the guide's row, so that the term passes unchanged through u + g (p - u). Where the halves come in turn
(Flux), the term of the positive call, which comes first, is added to the negative one too.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Guide, Point
from astrogate.models.sampler.hooks import Progress, Sites, moved

#: Arguments whose first axis is not the batch, whatever its length.
_NOT_BATCHED = frozenset({"img_ids", "txt_ids"})


@contextmanager
def guiding(
    denoiser: nn.Module,
    points: Sequence[Point],
    sites: Sites,
    progress: Progress,
    *,
    in_turn: bool = False,
    channel_axis: int = 0,
) -> Generator[None]:
    """While open, the denoiser's predictions carry the terms of the guides of `points` (one a row)."""
    active = [(row, guide) for row, point in enumerate(points) for guide in point.guides if guide.scale != 0]
    for space in {space for _, guide in active for space in guide.tensors}:
        if space not in sites:
            raise AstrogateError(f"this model has no space {space!r} to guide by", f"choose one of {', '.join(sites)}")
    if not active:
        yield
        return
    hook = _Guiding(active, len(points), sites, progress, in_turn, channel_axis)
    handles = [
        denoiser.register_forward_pre_hook(hook.extend, with_kwargs=True),
        denoiser.register_forward_hook(hook.combine),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Guiding:
    """The two hooks, and what the first leaves for the second."""

    def __init__(
        self,
        active: list[tuple[int, Guide]],
        rows: int,
        sites: Sites,
        progress: Progress,
        in_turn: bool,
        channel_axis: int,
    ) -> None:
        self.active, self.rows, self.sites, self.progress = active, rows, sites, progress
        self.in_turn, self.channel_axis = in_turn, channel_axis
        self.calls = 0
        self.now: list[tuple[int, Guide]] = []
        self.terms: list[tuple[int, Tensor]] = []

    def extend(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Append the rows of the guides that act now."""
        negative = self.in_turn and self.calls % 2 == 1
        self.calls += 1
        self.now = []
        if negative:
            return args, kwargs
        u = self.progress(kwargs["timestep"] if "timestep" in kwargs else args[1])
        self.now = [(row, guide) for row, guide in self.active if guide.window[0] <= u < guide.window[1]]
        self.terms = []
        if not self.now:
            return args, kwargs
        size = _first(args, kwargs).shape[0]
        index = [*range(size), *(size - self.rows + row for row, _ in self.now)]
        args = tuple(_extended(value, index, size) for value in args)
        kwargs = {k: v if k in _NOT_BATCHED else _extended(v, index, size) for k, v in kwargs.items()}
        for space, path in self.sites.items():
            kwargs = moved(kwargs, path, lambda states, space=space: self._put(states, space, size))
        return args, kwargs

    def _put(self, states: Tensor, space: str, size: int) -> Tensor:
        states = states.clone()
        for i, (_, guide) in enumerate(self.now):
            if space in guide.tensors:
                own = states[size + i] if guide.added else 0
                states[size + i] = own + guide.tensors[space].to(states)
        return states

    def combine(self, module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        """Take the guides' rows off and add their terms."""
        predicted: Tensor = out[0]
        if self.now:
            size = predicted.shape[0] - len(self.now)
            self.terms = [
                (row, self._term(guide, predicted[size + i], predicted, row, size))
                for i, (row, guide) in enumerate(self.now)
            ]
            predicted = predicted[:size]
        if not self.terms:
            return out
        predicted = predicted.clone()
        for row, term in self.terms:
            predicted[row :: self.rows] += term
        return (predicted, *out[1:]) if isinstance(out, tuple) else type(out)(predicted)

    def _term(self, guide: Guide, edit: Tensor, predicted: Tensor, row: int, size: int) -> Tensor:
        if guide.base == "negative" and self.in_turn:
            raise AstrogateError("this model's halves come in turn", "guide by a direction instead of a phrase")
        if guide.base == "negative" and size == self.rows:
            raise AstrogateError("there is no negative half to measure against", "use a guidance scale above 1")
        base = predicted[row if guide.base == "negative" else size - self.rows + row]
        difference = edit - base
        if guide.quantile:
            size_of = difference.float().abs().mean(self.channel_axis, keepdim=True)
            difference = difference * (size_of >= torch.quantile(size_of, guide.quantile))
        return guide.scale * difference


def _first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    return args[0] if args else kwargs.get("hidden_states", kwargs.get("sample"))


def _extended(value: Any, index: list[int], size: int) -> Any:
    """Every tensor of `size` rows in nested arguments, with the rows that `index` names."""
    if isinstance(value, Tensor):
        return value[index] if value.ndim and value.shape[0] == size else value
    if isinstance(value, (list, tuple)):
        return type(value)(_extended(item, index, size) for item in value)
    if isinstance(value, dict):
        return {key: _extended(item, index, size) for key, item in value.items()}
    return value
