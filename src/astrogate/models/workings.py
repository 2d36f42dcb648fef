"""What changes a layer's work and is no weight: settings and processors of the libraries, which are told, and code of
others, which is not.

A hook, a processor, a replaced method or a class that is none of the libraries' may hold anything and change at any
call. So it is found, by where it was written, and nothing is said of what it does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module

#: Whose layers and hooks do what their settings say.
_LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "peft", "astrogate", "torchao", "bitsandbytes")
#: What their own methods are wrapped by.
_WRAPPING = ("contextlib", "huggingface_hub")
#: Whose methods in the place of others move weights, compile, or cast, and change no picture.
_MOVERS = ("accelerate", "diffusers.hooks", "torch._dynamo", "torch.compiler")
#: Methods that say what a layer is, and do nothing: torchao has its own.
_SAYING = ("extra_repr",)
#: Hooks of diffusers that do.
_MOVING = ("offload", "prefetch", "tracker")
#: Settings of a LoRA that its class works out.
_SETTINGS = ("active_adapters", "disable_adapters")
#: What every module has.
_EVERY = frozenset(vars(nn.Module()))
_PLAIN = (bool, int, float, str, type(None), torch.dtype)
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_GLOBAL = ("_global_forward_hooks", "_global_forward_pre_hooks")


def workings(layer: nn.Module) -> list[Any]:
    """What changes the work of a layer, without the layers within it."""
    own, kind = vars(layer), type(layer)
    kept = {name: told for name in sorted(own.keys() - _EVERY) if (told := _told(name, own[name]))}
    adapters = [str(getattr(layer, name)) for name in _SETTINGS if hasattr(kind, name)]
    hooks = [
        (name, {k: v for k, v in sorted(vars(hook).items()) if isinstance(v, int | float)})
        for name, hook in getattr(own.get("_diffusers_hook"), "hooks", {}).items()
        if not any(mark in name for mark in _MOVING)
    ]
    return [kind.__qualname__, layer.extra_repr(), layer.training, kept, adapters, hooks]


def foreign(things: Mapping[str, object]) -> str:
    """What the first code of others is that works in modules, schedulers or pipelines; "" for none.

    Looked at are classes, methods in the place of those of a class, hooks of a module and of all, and processors.
    """
    hooks = (hook for name in _GLOBAL for hook in getattr(torch_module, name).values())
    if (hook := next((hook for hook in hooks if not _is_of(hook, _LIBRARIES)), None)) is not None:
        return f"a hook of all modules, {_name(hook)}"
    known = set[type]()
    for part, thing in things.items():
        layers = thing.named_modules() if isinstance(thing, nn.Module) else [("", thing)]
        for path, layer in layers:
            if code := next(_codes(layer, known), ""):
                return f"{code} in {part}{'.' if path else ''}{path}"
    return ""


def _codes(layer: object, known: set[type]) -> Iterator[str]:
    """The code of others in one thing; `known` are classes that have none."""
    kind, own = type(layer), vars(layer)
    if kind not in known:
        methods = (value for base in kind.__mro__ for value in vars(base).values() if isinstance(value, FunctionType))
        if not _is_of(layer, _LIBRARIES) or not all(_is_of(method, (*_LIBRARIES, *_WRAPPING)) for method in methods):
            yield f"the class {kind.__name__}"
        known.add(kind)
    for name, value in own.items():
        if isinstance(value, FunctionType | MethodType | partial):
            in_place = hasattr(kind, name) and name not in _SAYING and not _is_of(value, _MOVERS)
            if in_place or not _is_of(value, _LIBRARIES):
                yield f"the method {name}"
    for hook in (hook for name in _HOOKS for hook in own.get(name, {}).values()):
        if not _is_of(hook, _LIBRARIES):
            yield f"the hook {_name(hook)}"
    if (look := own.get("processor")) is not None and not _is_of(look, _LIBRARIES):
        yield f"the processor {type(look).__name__}"


def _told(name: str, value: Any) -> Any:
    """What is told of an attribute of a layer; None for what does not change its work, or is told elsewhere."""
    if name.startswith("_") or name == "name_or_path":  # the same model lies in many places
        return None
    if isinstance(value, _PLAIN):
        return repr(value)
    if isinstance(value, FunctionType | BuiltinFunctionType):
        return value.__qualname__
    if isinstance(value, partial):
        return [_told("by", part) for part in (value.func, value.args, value.keywords)]  # pyright: ignore[reportUnknownMemberType]
    if isinstance(value, list | tuple | dict):
        held: Any = value.values() if isinstance(value, dict) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        return repr(value) if all(isinstance(v, _PLAIN) for v in held) else None  # pyright: ignore[reportUnknownArgumentType]
    if name == "processor" and not isinstance(value, nn.Module):
        plain = {k: v for k, v in sorted(getattr(value, "__dict__", {}).items()) if isinstance(v, _PLAIN)}
        return [type(value).__name__, plain]
    return None


def _is_of(value: Any, packages: tuple[str, ...]) -> bool:
    """Whether a function, or the class of an object, was written in one of some packages, whatever it says of itself:
    `functools.wraps` gives a function another's name.
    """
    while isinstance(value, MethodType | partial):
        value = value.__func__ if isinstance(value, MethodType) else value.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(value, FunctionType):
        home = str(value.__globals__.get("__name__"))
    else:
        home = str(value.__module__ if isinstance(value, BuiltinFunctionType) else type(value).__module__)  # pyright: ignore[reportUnknownArgumentType]
    return any(home == package or home.startswith(f"{package}.") for package in packages)


def _name(hook: Any) -> str:
    return str(getattr(hook, "__qualname__", type(hook).__name__))
