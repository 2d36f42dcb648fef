"""One thread at a time works with a model: hooks, schedulers and a tokenizer's padding belong to it, not to a call.

The lock is the denoiser's, so models that share one share the lock too. A thread that holds it may take it again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from threading import Lock, RLock
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")
_locks: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
_making = Lock()


def lock_of(denoiser: nn.Module) -> Any:
    """The lock of a denoiser."""
    with _making:
        return _locks.setdefault(denoiser, RLock())


def alone(method: Callable[Concatenate[Owner, P], R]) -> Callable[Concatenate[Owner, P], R]:
    """A method of a model that one thread at a time runs; `lock` is the model's."""

    @wraps(method)
    def call(self: Owner, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:  # type: ignore[attr-defined]
            return method(self, *args, **kwargs)

    return call
