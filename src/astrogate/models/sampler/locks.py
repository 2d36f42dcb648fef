"""One thread at a time works with a model, in torch's usual state.

Hooks, schedulers and a tokenizer's padding belong to the model, not to a call; and what the caller made torch's
defaults changes no picture.

Each part has a lock, and a model's are taken together: models that share a denoiser, a tokenizer or an autoencoder take
turns. A thread that holds them may take them again.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from itertools import count
from threading import Lock, RLock
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import torch

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")
_locks: WeakKeyDictionary[Any, tuple[int, Any]] = WeakKeyDictionary()
_numbers, _making = count(), Lock()


class Turn(AbstractContextManager[None]):
    """The locks of a model's parts, taken together and always in the same order; plain values among them have none."""

    def __init__(self, parts: Iterable[Any]) -> None:
        with _making:
            found = {
                _locks.setdefault(part, (next(_numbers), RLock()))
                for part in parts
                if type(part).__module__ != "builtins"
            }
        self._locks = [lock for _, lock in sorted(found, key=lambda numbered: numbered[0])]

    def __enter__(self) -> None:
        for lock in self._locks:
            lock.acquire()

    def __exit__(self, *_: object) -> None:
        for lock in reversed(self._locks):
            lock.release()


def alone(method: Callable[Concatenate[Owner, P], R]) -> Callable[Concatenate[Owner, P], R]:
    """A method of a model that one thread at a time runs, in torch's usual state; `lock` is the model's."""

    @wraps(method)
    def call(self: Owner, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock, usual():  # type: ignore[attr-defined]
            return method(self, *args, **kwargs)

    return call


@contextmanager
def usual() -> Generator[None]:
    """While open, float32 and the CPU are torch's defaults, and there is neither autocast nor inference mode."""
    with ExitStack() as stack:
        if (default := torch.get_default_dtype()) != torch.float32:
            stack.callback(torch.set_default_dtype, default)
            torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def learning() -> Generator[None]:
    """While open, torch is in its usual state and keeps gradients, whatever the caller has switched off."""
    with usual(), torch.enable_grad():
        yield
