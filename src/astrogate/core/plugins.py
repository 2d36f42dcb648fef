"""What other packages add, by name: an object of theirs as "module:object", or an entry point of a group.

Groups: "astrogate.families" (a `Family`), "astrogate.methods" (model, point -> Edit), "astrogate.editors" (an `Editor`
of the leaderboard) and "astrogate.readers" (a `Reader`, or what makes one without arguments).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError


def named(name: str, group: str) -> Any:
    """The object that "module:object", or an entry point of a group, names.

    Raises AstrogateError for one that is not there, or fails to import.
    """
    for entry in entry_points(group=group):
        if entry.name == name:
            return loaded(entry.load, name)
    module, colon, path = name.partition(":")
    if not colon or not module or not path:
        known = ", ".join(sorted(entry.name for entry in entry_points(group=group)))
        raise AstrogateError(
            f"{name!r} is none of {group}", f"write module:object{f', or choose from {known}' if known else ''}"
        )

    def load() -> Any:
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))  # a module beside the work, as `python -m` finds it
        found: Any = import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
        return found

    return loaded(load, name)


def loaded(load: Callable[[], Any], name: str) -> Any:
    """What `load` imports. Whatever its module raises, raises an AstrogateError that says so with `name`."""
    try:
        return load()
    except AstrogateError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise AstrogateError(
            f"{name!r} can't be imported ({reason})", "install or mend it, and check its name"
        ) from error
