"""The public names: each can be imported, type checkers know all of them, and no public function needs another."""

from __future__ import annotations

import ast
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import astrogate
from astrogate.app.stub import stub

PUBLIC = {name: getattr(astrogate, name) for name in astrogate.__all__}


def test_the_stub_says_what_the_table_says() -> None:
    assert Path(astrogate.__file__).with_suffix(".pyi").read_text() == stub(), "run `make stub`"


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = astrogate.nonsense  # type: ignore[attr-defined]
    assert {*astrogate.__all__, "__version__"} == {*dir(astrogate)}


def _names(module: types.ModuleType) -> dict[str, Any]:
    """A module's names with those that it imports for type checkers alone."""
    found = dict(vars(module))
    for part in ast.parse(inspect.getsource(module)).body:
        if isinstance(part, ast.If) and isinstance(part.test, ast.Name) and part.test.id == "TYPE_CHECKING":
            exec(compile(ast.Module(part.body, []), module.__name__, "exec"), found)
    return found


def _classes(hint: Any) -> Iterator[type]:
    """This package's own classes in a type."""
    if isinstance(hint, type) and hint.__module__.startswith("astrogate."):
        yield hint
    for part in (*hint,) if isinstance(hint, (list, tuple)) else typing.get_args(hint):
        yield from _classes(part)


def _hints(thing: Any) -> dict[str, Any]:
    return typing.get_type_hints(thing, _names(sys.modules[thing.__module__]))


#: A class that `load` makes: what it is made of is not for users to give.
_LOADED = astrogate.UnCLIP


def _said(thing: Any) -> Iterator[tuple[str, Any]]:
    """What a public name says that it takes and returns: a function, or a class with its fields and public methods."""
    if not isinstance(thing, type):
        yield from _hints(thing).items()
        return
    for owner in (c for c in thing.__mro__ if c.__module__.startswith("astrogate.")):
        yield from _hints(owner).items()
        for name, member in vars(owner).items():
            member = (
                getattr(member, "fget", None) or getattr(member, "func", None) or getattr(member, "__func__", member)
            )
            made = name == "__init__" and thing is not _LOADED
            if inspect.isfunction(member) and (not name.startswith("_") or made):
                yield from ((f"{name}.{argument}", hint) for argument, hint in _hints(member).items())


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_all_that_a_public_name_takes_or_returns_is_public(name: str) -> None:
    known = {thing for thing in PUBLIC.values() if isinstance(thing, type)}
    hidden = {
        f"{c.__module__}.{c.__name__} ({at})"
        for at, hint in _said(PUBLIC[name])
        for c in _classes(hint)
        if c not in known
    }
    assert not hidden
