"""The families that there are: a module each in `models.families`, and those that other packages name.

Another package adds a family by an entry point of the group "astrogate.families" that is a `Family`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Protocol

from astrogate.core.errors import AstrogateError
from astrogate.core.plugins import loaded
from astrogate.models import families as package
from astrogate.models.family import ABILITIES, Family, Row, StackFamily

#: The entry points of other packages' families.
GROUP = "astrogate.families"


class AbilityError(AstrogateError):
    """A model was asked for what its family can't do."""


@cache
def families() -> tuple[Row, ...]:
    """Every row, our own first. Raises AstrogateError for an entry point that is none, or takes another's pipeline."""
    rows: list[Row] = [
        import_module(f"{package.__name__}.{module.name}").FAMILY for module in iter_modules(package.__path__)
    ]
    for entry in entry_points(group=GROUP):
        row = loaded(entry.load, entry.value)
        if not isinstance(row, (Family, StackFamily)):
            raise AstrogateError(f"the entry point {entry.value!r} is no family", "let it name a Family")
        taken = {name for other in rows for name in other.pipelines} & set(row.pipelines)
        if taken:
            raise AstrogateError(f"two families draw {', '.join(sorted(taken))}", f"remove {entry.value!r}")
        rows.append(row)
    return tuple(rows)


def family_of(pipeline: str, name: str) -> Row:
    """The row of a pipeline's class. Raises AstrogateError, which says what `name` is, where there is none."""
    for row in families():
        if pipeline in row.pipelines:
            return row
    known = ", ".join(row.name for row in families())
    raise AstrogateError(
        f"{name} is a {pipeline}, which no family draws",
        f"use a checkpoint of {known}, or add a row for it, as docs/add_a_family.md says",
    )


class Able(Protocol):
    """A model, or a row."""

    @property
    def name(self) -> str: ...

    @property
    def can(self) -> frozenset[str]: ...


def require(model: Able, *abilities: str, remedy: str = "") -> None:
    """Raise AbilityError where a model can't do one of `ABILITIES`, with a remedy or the families that can."""
    for ability in abilities:
        if ability not in model.can:
            able = [row.name for row in families() if ability in row.can]
            raise AbilityError(
                f"{model.name} can't {ABILITIES[ability]}",
                remedy or f"use a model of {', '.join(able) or 'another kind'}",
            )
