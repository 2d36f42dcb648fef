"""One thread at a time works with a model, in torch's usual state.

Hooks, schedulers and a tokenizer's padding belong to the model, not to a call.

Each part has a lock, and a model's are taken together: models that share a denoiser, a tokenizer or an autoencoder take
turns. A thread that holds them may take them again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from functools import wraps
from itertools import count
from threading import Lock, RLock, local
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from astrogate.core.state import usual

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")
_locks: WeakKeyDictionary[Any, tuple[int, Any]] = WeakKeyDictionary()
_numbers, _making = count(), Lock()


class Turn(AbstractContextManager[None]):
    """The locks of a model's parts, taken together and always in the same order; plain values among them have none.

    `parts` gives those that it has by now: one may be exchanged.
    """

    def __init__(self, parts: Callable[[], Iterable[Any]]) -> None:
        self._parts, self._thread = parts, local()

    def __enter__(self) -> None:
        with _making:
            found = {
                _locks.setdefault(part, (next(_numbers), RLock()))
                for part in self._parts()
                if type(part).__module__ != "builtins"
            }
        with ExitStack() as taken:  # who is interrupted while waiting for one holds none
            for _, lock in sorted(found, key=lambda numbered: numbered[0]):
                taken.enter_context(lock)
            vars(self._thread).setdefault("turns", []).append(taken.pop_all())

    def __exit__(self, *_: object) -> None:
        self._thread.turns.pop().close()


def alone(method: Callable[Concatenate[Owner, P], R]) -> Callable[Concatenate[Owner, P], R]:
    """A method of a model that one thread at a time runs, in torch's usual state; `lock` is the model's."""

    @wraps(method)
    def call(self: Owner, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock, usual():  # type: ignore[attr-defined]
            return method(self, *args, **kwargs)

    return call
