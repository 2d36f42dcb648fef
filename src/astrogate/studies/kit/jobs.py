"""The items of a study, done once wherever they run: at least once, idempotent, kept by content.

    key = key_of(spec, digest of what works on it)

A result is one JSON file under its key, whole or absent, with the key of its content in it; a broken one counts as
absent. Any engine that calls `run_item` for every spec until all have returned finishes the study, and goes on with one
that was cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from astrogate.core.errors import AstrogateError
from astrogate.core.files import write_text
from astrogate.core.keys import key_of
from astrogate.core.texts import read_text

Spec = Mapping[str, Any]


class Work(Protocol):
    """What turns a spec into a result; both are JSON objects."""

    @property
    def digest(self) -> str:
        """Of all that makes a result beside its spec: the model's weights, the version of the code."""
        ...

    def __call__(self, spec: Spec) -> Mapping[str, Any]:
        """The result of a spec."""
        ...


#: Makes a Work where it is to run: an engine sends this, never a model.
Maker = Callable[[], Work]


@dataclass(frozen=True, slots=True)
class Store:
    """Results by key in a folder that all workers see."""

    folder: Path

    def get(self, key: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """An item's spec and result; None where there is none or a broken one."""
        try:
            kept = json.loads(read_text(self.folder / f"{key}.json"))
            whole = kept["checksum"] == key_of(key, kept["spec"], kept["result"])
            return (kept["spec"], kept["result"]) if whole else None
        except (AstrogateError, ValueError, LookupError, TypeError, RecursionError):
            return None

    def put(self, key: str, spec: Spec, result: Mapping[str, Any]) -> None:
        """Keep a result, whole or not at all."""
        kept = {"spec": dict(spec), "result": dict(result), "checksum": key_of(key, dict(spec), dict(result))}
        write_text(self.folder / f"{key}.json", json.dumps(kept, indent=1))


def run_item(spec: Spec, work: Work, store: Store) -> str:
    """Do one item, unless it is done, and return its key."""
    key = key_of(spec, work.digest)
    if store.get(key) is None:
        store.put(key, spec, work(spec))
    return key


def in_process(make: Maker, specs: Sequence[Spec], store: Store) -> Iterator[str]:
    """The plain engine: one item after the other, here. Yields keys as items are done."""
    work = make()
    for spec in specs:
        yield run_item(spec, work, store)
