"""Laws of the families' table: rows that fit together, rows of other packages, and what contradicts itself refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import diffusers
import pytest

from astrogate.core.errors import AstrogateError
from astrogate.models import registry
from astrogate.models.families.astrogate_unclip import FAMILY as STACK
from astrogate.models.families.stable_diffusion import FAMILY
from astrogate.models.family import ABILITIES, Family
from astrogate.models.registry import families, family_of


@pytest.fixture
def fresh() -> Iterator[None]:
    """The table is read again, now and afterwards."""
    families.cache_clear()
    yield
    families.cache_clear()


def entry(row: Any) -> Any:
    return SimpleNamespace(value="other:FAMILY", load=lambda: row)


def test_every_row_fits_in_the_table() -> None:
    rows = families()
    pipelines = [name for row in rows for name in row.pipelines]
    assert len(set(pipelines)) == len(pipelines)
    assert len({row.name for row in rows}) == len(rows)
    assert set(ABILITIES) == set[str]().union(*(row.can for row in rows))
    for row in rows:
        assert all(family_of(name, "it") is row for name in row.pipelines)
        if isinstance(row, Family):
            assert all(hasattr(diffusers, name) for name in (*row.pipelines, *row.wraps))
    with pytest.raises(AstrogateError, match=r"it is a AudioLDMPipeline, which no family draws: .* or add a row"):
        family_of("AudioLDMPipeline", "it")


@pytest.mark.usefixtures("fresh")
def test_another_package_adds_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(FAMILY, name="another", pipelines=("AnotherPipeline",))
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry(other)])
    assert family_of("AnotherPipeline", "it") is other


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(("row", "said"), [(FAMILY, "two families draw StableDiffusion"), (3, "is no family")])
def test_rows_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch, row: Any, said: str) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry(row)])
    with pytest.raises(AstrogateError, match=said):
        families()


@pytest.mark.parametrize(
    ("row", "change", "said"),
    [
        (FAMILY, {"pipelines": ()}, "names no pipeline"),
        (FAMILY, {"can": frozenset({"fly"})}, "can fly"),
        (FAMILY, {"encoded": (None,)}, "has sites for prompt_embeds"),
        (FAMILY, {"texts": ()}, "says nothing of its text"),
        (FAMILY, {"sites": {}}, "says nothing of its text"),
        (FAMILY, {"can": FAMILY.can | {"pooled"}}, "contradicts itself about pooled text"),
        (STACK, {"needed": 0}, "needs 0 of"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(row: Any, change: dict[str, Any], said: str) -> None:
    with pytest.raises(AstrogateError, match=said):
        replace(row, **change)


@pytest.mark.usefixtures("fresh")
def test_a_row_that_fails_to_import_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Any:
        raise NameError("oh")

    broken = SimpleNamespace(value="other:FAMILY", load=load)
    monkeypatch.setattr(registry, "entry_points", lambda group: [broken])
    with pytest.raises(AstrogateError, match=r"'other:FAMILY' can't be imported \(NameError: oh\)"):
        families()
