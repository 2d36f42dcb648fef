"""Hold: while an edited picture is drawn, the unedited one is drawn beside it and keeps the rest of it in place.

    eps'(x') + h (eps(x) - eps(x'))

x' are the latents of the edited picture and x those of the same point without its edits, eps' the edited prediction and
eps the unedited one, in each half of classifier-free guidance; h is the point's `hold`. A sampler answers every change
of x' with changes of its own, and these are what leaks where prompts leave factors open. At h = 1 the edit's own term
alone moves the picture; at 0 this is plain steering. Each held row costs one more (eps at x'), and each start another.

That keeps every pixel near, so it does not help an edit that has to move shapes. There, from the point's `attend` on,
the edited row's self-attention takes its keys and values from the unedited one (mutual self-attention, Cao et al. 2023,
MasaCtrl), so that it draws the new shape of the same things; in U-Nets, whose self-attention is apart.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from astrogate.core.point import Point
from astrogate.models.sampler.hooks import Progress


@dataclass(frozen=True, slots=True)
class Held:
    """An edited row, the row that predicts without the edit at its latents, and the unedited picture's row."""

    row: int
    shadow: int
    base: int
    share: float
    attend: float


def companions(points: Sequence[Point]) -> tuple[list[int], list[Held]]:
    """Of which rows further ones are to be added, without their edits, and what is held by them."""
    sources: list[int] = []
    held: list[Held] = []
    bases = {_start(point): row for row, point in enumerate(points) if not _edited(point)}
    for row, point in enumerate(points):
        if point.hold == 0 or not _edited(point):
            continue
        if _start(point) not in bases:
            bases[_start(point)] = len(points) + len(sources)
            sources.append(row)
        held.append(Held(row, len(points) + len(sources), bases[_start(point)], point.hold, point.attend))
        sources.append(row)
    return sources, held


def unedited(point: Point) -> Point:
    return replace(point, steers=(), guides=(), hold=0.0, attend=1.0)


def _edited(point: Point) -> bool:
    return any(edit.scale != 0 for edit in (*point.steers, *point.guides))


def _start(point: Point) -> tuple[int, ...]:
    """What two points share that differ in their edits alone."""
    return tuple(id(tensor) for tensor in (*point.tensors.values(), *point.extras.values()))


@contextmanager
def holding(denoisers: Sequence[nn.Module], held: Sequence[Held], rows: int, progress: Progress) -> Generator[None]:
    """While open, held rows are kept close; `rows` counts all. Enter it last: it sees the final predictions."""
    done = 0.0

    def put(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        nonlocal done
        done = progress(kwargs["timestep"] if "timestep" in kwargs else args[1])
        name = None if args else "hidden_states" if "hidden_states" in kwargs else "sample"
        states = (args[0] if name is None else kwargs[name]).clone()
        for half in range(0, states.shape[0], rows):
            for h in held:
                states[half + h.shadow] = states[half + h.row]
        return ((states, *args[1:]), kwargs) if name is None else (args, {**kwargs, name: states})

    def keep(module: nn.Module, args: tuple[Any, ...], out: Any) -> Any:
        predicted: Tensor = out[0].clone()
        for half in range(0, predicted.shape[0], rows):
            for h in held:
                predicted[half + h.row] += h.share * (out[0][half + h.base] - out[0][half + h.shadow])
        return (predicted, *out[1:]) if isinstance(out, tuple) else type(out)(predicted)

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        looking = [h for h in held if done >= h.attend]
        if not looking or kwargs.get("encoder_hidden_states") is not None:
            return None
        own: Tensor = args[0] if args else kwargs["hidden_states"]
        seen = own.clone()
        for half in range(0, own.shape[0], rows):
            for h in looking:
                seen[half + h.row] = own[half + h.base]
        return args, {**kwargs, "encoder_hidden_states": seen}

    with ExitStack() as stack:
        for module in _self_attention(denoisers[0]) if any(h.attend < 1 for h in held) else ():
            stack.callback(module.register_forward_pre_hook(look, with_kwargs=True).remove)
        for denoiser in denoisers if held else ():
            stack.callback(denoiser.register_forward_pre_hook(put, prepend=True, with_kwargs=True).remove)
        if held:
            stack.callback(denoisers[0].register_forward_hook(keep).remove)
        yield


def _self_attention(denoiser: nn.Module) -> list[nn.Module]:
    """The layers of a U-Net in which places look at one another."""
    return [module for name, module in denoiser.named_modules() if name.endswith(".attn1")]
