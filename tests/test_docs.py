"""The documents say what the program does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from astrogate.app.cli.reference import reference, with_table

ROOT = Path(__file__).parent.parent
#: Parts of a decomposition, which its own page and test cover.
PARTS = ("cutoffs", "dictionary", "judges", "pictures", "plan", "pseudo_point", "run", "starts")
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def test_the_reference_is_what_help_prints() -> None:
    assert (ROOT / "docs" / "cli.md").read_text() == reference(), "run `make docs`"


def test_the_families_table_is_what_the_rows_say() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    assert with_table(page) == page, "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_method_has_a_page_and_a_test() -> None:
    methods = ROOT / "src" / "astrogate" / "methods"
    for module in methods.glob("[a-z]*/[a-z]*.py"):
        if module.stem in PARTS:
            continue
        page = {"slide": "contrast", "explain": "conceptor"}.get(module.stem, module.stem)
        assert (ROOT / "docs" / f"{page}.md").exists()
        test = "contrast" if module.stem == "slide" else module.stem
        assert (ROOT / "tests" / "methods" / module.parent.name / f"test_{test}.py").exists()


def test_tracked_modules_are_small() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 320, path
