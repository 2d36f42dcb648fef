"""Edits reach a pipeline's denoiser by one hook before its forward and one behind it, which remove themselves.

Without edits there is no hook at all, so that the picture is bit-identical to plain diffusers. A ControlNet sees the
conditioning moved as the denoiser does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Half, Moment
from astrogate.models.family import Family, Guidance, Site
from astrogate.models.sampler.edits import Acting, conditioned, kept, moved, terms
from astrogate.models.sampler.layers import flat, unflat
from astrogate.models.sampler.lengths import as_batch, as_given
from astrogate.models.sampler.levels import noise_levels

#: Where the sampling is at a timestep of the denoiser's.
Progress = Callable[[Tensor | float], Moment]
Sites = Mapping[str, Site]
Call = tuple[tuple[Any, ...], dict[str, Any]]


@contextmanager
def editing(
    denoisers: Sequence[nn.Module], acting: Acting, family: Family, progress: Progress, *, guided: bool
) -> Generator[None]:
    """While open, what acts on a batch reaches every call of the denoisers, the first of which predicts.

    `guided` says that there are both halves of guidance.
    """
    with ExitStack() as stack:
        if acting.steers or acting.guides or acting.held:
            for i, denoiser in enumerate(denoisers):
                hooks = _Hooks(acting, family, progress, guided, _control_sites(denoiser, family) if i else None)
                stack.callback(denoiser.register_forward_pre_hook(hooks.before, with_kwargs=True).remove)
                if i == 0 and (acting.guides or acting.held):
                    stack.callback(denoiser.register_forward_hook(hooks.behind, with_kwargs=True).remove)
                if i == 0 and any(h.attend < 1 for h in acting.held):
                    stack.enter_context(looking(denoiser, lambda hooks=hooks: hooks.pairs, family))
        yield


def _control_sites(net: nn.Module, family: Family) -> Sites:
    """Where tensors enter a ControlNet: some are given zeros for the pooled text."""
    config: Any = getattr(net, "config", {})
    unseen = {"pooled_prompt_embeds"} if config.get("force_zeros_for_pooled_projection") else set[str]()
    return {space: site for space, site in family.sites.items() if space not in unseen}


class _Turns:
    """Which half of guidance a call is of, where they come in turn: the second at a timestep is the other one."""

    def __init__(self, guidance: Guidance) -> None:
        self.order, self.last, self.count = guidance.order, float("nan"), 0

    def half(self, timestep: float) -> Half:
        """The half of a call at a timestep."""
        self.count = self.count + 1 if timestep == self.last else 0
        self.last = timestep
        return self.order[self.count % 2]


class _Hooks:
    """The hooks of one denoiser, and what the first leaves for the second."""

    def __init__(self, acting: Acting, family: Family, progress: Progress, guided: bool, sites: Sites | None) -> None:
        self.acting, self.family, self.progress, self.guided = acting, family, progress, guided
        self.sites, self.predicts = sites or family.sites, sites is None
        self.turns = _Turns(family.guidance) if guided and family.guidance.layout == "in turn" else None
        self.halves: dict[Half, int] = {}
        self.now: list[tuple[int, Guide]] = []
        self.terms: list[tuple[int, Tensor]] = []
        self.memory: dict[tuple[int, int], Tensor] = {}
        self.moment = Moment(0.0, 1.0)
        self.pairs: list[tuple[int, int]] = []

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Put what acts now into the arguments of a call."""
        if self.family.layers is not None:
            (args, kwargs), layers = flat(args, kwargs, self.family)
            return unflat(*self._edited(args, kwargs), self.family, layers)
        if not self.family.unpadded:
            return self._edited(args, kwargs)
        return as_given(*self._edited(*as_batch(args, kwargs, self.family)), self.family)

    def _edited(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        timestep = number(kwargs["timestep"] if "timestep" in kwargs else args[1])
        now, family, rows = self.progress(timestep), self.family, self.acting.rows
        self.moment = now
        size = len(_latents(args, kwargs))
        self.halves = self._halves(timestep, size)
        starts = self.halves.values()
        if self.acting.held:
            args, kwargs = self._shadowed(args, kwargs)
        for space, site in self.sites.items():
            if not site.fixed:
                args, kwargs = replaced(
                    args,
                    kwargs,
                    site.path,
                    lambda states, space=space: moved(states, space, self.acting.steers, now, self.halves),
                )
        self.pairs = self.acting.looking(now, starts)
        if not self.predicts or (self.turns is not None and "negative" in self.halves):
            self.now = []  # the terms of the positive call, which comes first, are added to the negative one too
            return args, kwargs
        self.now, self.terms = self.acting.guiding(now), []
        if self.now:
            index = [*range(size), *(self.halves["positive"] + row for row, _ in self.now)]
            args = tuple(_extended(value, index, size) for value in args)
            kwargs = {k: v if k in family.shared else _extended(v, index, size) for k, v in kwargs.items()}
            for space, site in family.sites.items():
                args, kwargs = replaced(
                    args,
                    kwargs,
                    site.path,
                    lambda states, space=space: conditioned(states, space, self.now, size),
                )
        assert size % rows == 0
        return args, kwargs

    def _halves(self, timestep: float, size: int) -> dict[Half, int]:
        """Where each half of this call starts in its batch."""
        if self.turns is not None:
            return {self.turns.half(timestep): 0}
        order = self.family.guidance.order if size == 2 * self.acting.rows else ("positive",)
        return {half: i * self.acting.rows for i, half in enumerate(order)}

    def _shadowed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """The arguments with the latents of held rows in their shadows' places."""
        states = _latents(args, kwargs).clone()
        for start in self.halves.values():
            for h in self.acting.held:
                states[start + h.shadow] = states[start + h.row]
        if args:
            return (states, *args[1:]), kwargs
        return args, {**kwargs, _latents_name(kwargs): states}

    def behind(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        """Take the guides' rows off, add their terms, and keep held rows near the unedited ones."""
        said = predicted = torch.stack(out[0]) if self.family.unpadded == "lists" else out[0]
        if self.now:
            size = len(predicted) - len(self.now)
            row = _latents(args, kwargs)[0]
            axis = 1 if row.ndim == 2 else 0
            own = row.shape[axis]  # some predict a variance behind the noise
            self.terms = terms(
                predicted, self.now, self.halves, size, self.moment, channel_axis=axis, channels=own, memory=self.memory
            )
            predicted = predicted[:size]
        if self.terms:
            predicted = predicted.clone()
            for row, term in self.terms:
                for start in self.halves.values():
                    predicted[start + row] += term
        if self.acting.held:
            predicted = kept(predicted, self.acting.held, self.halves.values())
        if predicted is said:
            return out
        given = list(predicted) if self.family.unpadded == "lists" else predicted
        return (given, *out[1:]) if isinstance(out, tuple) else type(out)(given)


@contextmanager
def looking(
    denoiser: nn.Module, pairs: Callable[[], Sequence[tuple[int, int]]], family: Family | None = None
) -> Generator[None]:
    """While open, rows of a batch take the keys and values of their self-attention from others, as `pairs` say.

    The text's own keys and values stay theirs. Raises AstrogateError for a denoiser without self-attention that is
    projected apart.
    """
    count, texts, patch = 0, list[int](), 1 if family is None else family.patch
    first = family is not None and family.picture_first

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal count
        row = _latents(args, kwargs)[0]
        count = len(row) if row.ndim == 2 else row[0].numel() // patch**2
        texts[:] = [] if family is None or family.packed is None else kwargs[family.packed].sum(1).tolist()

    def look(module: nn.Module, args: tuple[Any, ...], out: Tensor, part: slice = slice(None)) -> Tensor | None:
        chosen = pairs()
        if not chosen:
            return None
        text = 0 if first else max(0, out.shape[1] - count)  # where text and picture are one sequence
        starts = texts if text and texts else [text] * len(out)
        seen = out.clone()
        for row, source in chosen:
            own, other = starts[row], starts[source]
            seen[row, own : own + count, part] = out[source, other : other + count, part]
        return seen

    layers = list(_self_attention(denoiser, () if family is None else family.text_layers))
    if not layers:
        raise AstrogateError("this denoiser has no self-attention to look with", "hold the edit without attending")
    with ExitStack() as stack:
        stack.callback(denoiser.register_forward_pre_hook(note, with_kwargs=True).remove)
        for layer in layers:
            if (fused := getattr(layer, "to_qkv_mlp_proj", None)) is not None:
                part = slice(layer.inner_dim, 3 * layer.inner_dim)
                stack.callback(fused.register_forward_hook(partial(look, part=part)).remove)
                continue
            for projection in (layer.to_k, layer.to_v):
                stack.callback(projection.register_forward_hook(look).remove)
        yield


def _self_attention(denoiser: nn.Module, without: tuple[str, ...]) -> Iterator[Any]:
    """The layers in which places of the picture look at one another, whatever their names, `without` some.

    Where they look at the text too, its keys and values have projections of their own, or one with the picture's.
    """
    for name, module in denoiser.named_modules():
        if name.startswith(without):
            continue
        alone = getattr(module, "add_k_proj", None) is not None or not getattr(module, "is_cross_attention", False)
        apart = getattr(module, "to_k", None) is not None and getattr(module, "to_v", None) is not None
        if alone and (apart or getattr(module, "to_qkv_mlp_proj", None) is not None):
            yield module


def replaced(
    args: tuple[Any, ...], kwargs: dict[str, Any], path: Sequence[str | int], move: Callable[[Any], Any]
) -> Call:
    """A call's arguments with the tensor at `path` moved; the caller's own stay. Absent ones stay absent."""
    head, *rest = path
    if isinstance(head, int):
        return (*args[:head], _at(args[head], rest, move), *args[head + 1 :]), kwargs
    return args, _at(kwargs, path, move)


def _at(value: Any, path: Sequence[str | int], move: Callable[[Any], Any]) -> Any:
    if not path:
        return move(value)
    head, *rest = path
    if value is None or value.get(head) is None:
        return value
    return {**value, head: _at(value[head], rest, move)}


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
def replacing(denoiser: nn.Module, path: Sequence[str | int], values: Iterator[Any]) -> Generator[None]:
    """While open, each call of a denoiser has the next of `values` at `path` of its arguments, where there was any."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        return replaced(args, kwargs, path, lambda _: next(values))

    handle = denoiser.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def nearest_step(scheduler: Any, family: Family) -> Progress:
    """Where the sampling of a scheduler is at a time of the denoiser's, by its place among the scheduler's."""

    def progress(timestep: Tensor | float) -> Moment:
        time, levels = number(timestep), noise_levels(scheduler, angles=family.angles)
        wanted = family.timesteps * (1 - time if family.reversed else time)
        if family.angles:
            wanted = math.atan2(time, 1 - time)
        steps = scheduler.timesteps[: len(levels)].to("cpu", torch.float64)
        i = int((steps - wanted).abs().argmin())
        return Moment(i / len(levels), levels[i])

    return progress


def number(timestep: Tensor | float) -> float:
    """A timestep, or the first of a batch of them, as a number."""
    return torch.as_tensor(timestep, dtype=torch.float64).flatten()[0].item()


def _latents_name(kwargs: dict[str, Any]) -> str:
    return "hidden_states" if "hidden_states" in kwargs else "sample"


def _latents(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else kwargs[_latents_name(kwargs)]


def _extended(value: Any, index: list[int], size: int) -> Any:
    """Every tensor of `size` rows in nested arguments, with the rows that `index` names."""
    if isinstance(value, Tensor):
        return value[index] if value.ndim and value.shape[0] == size else value
    if isinstance(value, (list, tuple)):
        return type(value)(_extended(item, index, size) for item in value)
    if isinstance(value, dict):
        return {key: _extended(item, index, size) for key, item in value.items()}
    return value
