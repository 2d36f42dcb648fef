"""What changes a layer's work and is no weight: settings, processors, hooks, methods that were replaced.

All is told as JSON that is the same in every process. A function is its code with what it holds on to: defaults,
closures, and the plain globals that it names. An object is its class and its attributes. So two hooks of one factory
are told apart, as are two processors of one class. What a library adds by itself is not told: hooks that watch, or move
weights. Lists are told by their plain values alone: hooks that look on fill them with tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

#: Settings of a LoRA that its class works out.
_SETTINGS = ("active_adapters", "disable_adapters")
#: Whose hooks watch, and change no picture: transformers adds some at the first call.
_WATCHING = ("transformers", "diffusers", "accelerate", "astrogate", "torch", "peft")
#: Hooks of diffusers, and modules of functions, that move weights, and change no picture.
_MOVING = ("offload", "prefetch", "tracker")
_MOVERS = ("accelerate", "diffusers.hooks")
#: What every module has.
_EVERY = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)
#: How far what an object holds is followed.
_DEEP = 6


def workings(layer: nn.Module, digest: Callable[[Tensor], bytes]) -> list[Any]:
    """What changes the work of a layer, without the layers within it. `digest` tells tensors apart."""
    tell = _Teller(digest)
    own = vars(layer)
    kept = [(name, tell(own[name])) for name in sorted(own.keys() - _EVERY) if _is_setting(name, own[name])]
    adapters = [str(getattr(layer, name)) for name in _SETTINGS if hasattr(type(layer), name)]
    called = (*layer._forward_hooks.values(), *layer._forward_pre_hooks.values())
    hooks = [tell(hook) for hook in called if not _is_of(hook, _WATCHING)]
    for name, hook in getattr(own.get("_diffusers_hook"), "hooks", {}).items():
        if not any(mark in name for mark in _MOVING):
            hooks.append([name, {k: repr(v) for k, v in sorted(vars(hook).items()) if isinstance(v, int | float)}])
    return [type(layer).__name__, layer.extra_repr(), layer.training, kept, adapters, hooks]


def replaced(thing: object, names: tuple[str, ...], digest: Callable[[Tensor], bytes]) -> list[Any]:
    """The functions that an object has for its own in place of its class's, and tensors of some names."""
    tell = _Teller(digest)
    own = sorted(vars(thing).items())
    return [[name, tell(value)] for name, value in own if name in names or isinstance(value, FunctionType | partial)]


def _is_setting(name: str, value: Any) -> bool:
    """Whether an attribute of a layer may change its work."""
    if isinstance(value, bool | int | float):
        return not name.startswith("_")
    if isinstance(value, FunctionType | MethodType | partial):
        return not _is_of(value, _WATCHING if name.startswith("_") else _MOVERS)
    if isinstance(value, list | tuple | dict):
        return not name.startswith("_") and all(isinstance(v, _PLAIN) for v in _values(value))
    return name == "processor"  # one that is a module is a layer of its own


def _values(held: Any) -> Iterator[Any]:
    return iter(held.values() if isinstance(held, Mapping) else held)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _is_of(value: Any, packages: tuple[str, ...]) -> bool:
    """Whether a function, or the class of an object, was written in one of some packages, whatever it says of itself:
    `functools.wraps` gives a function another's name."""
    while isinstance(value, MethodType | partial):
        value = value.__func__ if isinstance(value, MethodType) else value.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    home = value.__globals__.get("__name__", "") if isinstance(value, FunctionType) else type(value).__module__  # pyright: ignore[reportUnknownArgumentType]
    return any(home == package or home.startswith(f"{package}.") for package in packages)


class _Teller:
    """Tells what a value is, each object once."""

    def __init__(self, digest: Callable[[Tensor], bytes]) -> None:
        self.digest = digest
        self.seen: dict[int, int] = {}

    def __call__(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, _PLAIN):
            return repr(value)
        if depth > _DEEP:
            return type(value).__qualname__
        if id(value) in self.seen:
            return f"the same as {self.seen[id(value)]}"
        self.seen[id(value)] = len(self.seen)
        return self._told(value, depth + 1)

    def _told(self, value: Any, depth: int) -> Any:
        if isinstance(value, Tensor):
            return [str(value.dtype), list(value.shape), self.digest(value).hex()]
        if isinstance(value, FunctionType):
            return self._function(value, depth)
        if isinstance(value, CodeType):
            return [value.co_code.hex(), value.co_names, [self(const, depth) for const in value.co_consts]]
        if isinstance(value, MethodType):
            return [self(value.__func__, depth), self(value.__self__, depth)]
        if isinstance(value, partial):
            return [self(value.func, depth), self(value.args, depth), self(value.keywords, depth)]  # pyright: ignore[reportUnknownMemberType]
        if isinstance(value, nn.Module):
            state = value.state_dict() if not _is_of(value, _WATCHING) else {}  # pyright: ignore[reportUnknownVariableType]
            return [type(value).__qualname__, {k: self(v, depth) for k, v in sorted(state.items())}]
        if isinstance(value, Mapping):
            return sorted((repr(k), self(v, depth)) for k, v in value.items() if isinstance(k, _PLAIN))  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(value, list):
            return [repr(v) for v in value if isinstance(v, _PLAIN)]  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, tuple):
            return [self(v, depth) for v in value]  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, set | frozenset):
            return sorted(repr(v) for v in value if isinstance(v, _PLAIN))  # pyright: ignore[reportUnknownVariableType]
        if isinstance(value, type | BuiltinFunctionType):
            return value.__qualname__
        if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":  # pyright: ignore[reportUnknownMemberType]
            return self(torch.from_numpy(np.array(value)), depth)  # pyright: ignore[reportUnknownMemberType]
        called = next((vars(kind)["__call__"] for kind in type(value).__mro__ if "__call__" in vars(kind)), None)
        slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
        held = {name: getattr(value, name, None) for name in slots} | getattr(value, "__dict__", {})
        return [type(value).__qualname__, {k: self(v, depth) for k, v in sorted(held.items())}, self(called, depth)]

    def _function(self, value: FunctionType, depth: int) -> Any:
        if _is_of(value, _WATCHING):
            return value.__qualname__
        closed = [cell.cell_contents for cell in value.__closure__ or () if _is_full(cell)]
        named = [value.__globals__.get(name) for name in value.__code__.co_names]
        plain = [self(v, depth) for v in named if isinstance(v, (*_PLAIN, Tensor))]
        held = [self(v, depth) for v in (value.__defaults__, value.__kwdefaults__, *closed)]
        return [value.__qualname__, self(value.__code__, depth), held, plain]


def _is_full(cell: Any) -> bool:
    """Whether there is something in a cell of a closure: a function that names itself has one that is not."""
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
