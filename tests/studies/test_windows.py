"""The page of windows: each set of steps once, in many steps and in few."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from astrogate.core.protocols import Model
from astrogate.menagerie.oracle import load_oracle
from astrogate.studies.edit import windows as study
from astrogate.studies.edit.leaderboard import menagerie_bench
from astrogate.studies.edit.leakage import REPORTED


def test_the_page_has_every_set_of_steps_once(
    menagerie: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "TEACHER", (4,))
    monkeypatch.setattr(study, "STUDENT", (1,))
    monkeypatch.setattr(study, "STRENGTHS", (2.0,))
    bench = menagerie_bench(menagerie, load_oracle(), tmp_path, menagerie.recipe, (200,))
    bench, told = replace(bench, subjects=("dog",)), list[str]()
    thin = [attribute for attribute in REPORTED if attribute.word == "thin"]
    found = study.windows(bench, bench, told.append, thin)
    study.write_windows(found, tmp_path / "x.md", seeds=1)
    assert {way: [(row.window, row.steps) for row in rows] for way, rows in found.items()} == {
        "teacher, 4 steps": [("all", (0, 1, 2, 3)), ("noise 0.7 to 0", (1, 2, 3))],
        "student, 1 step": [("all", (0,))],
    }
    assert len(told) == 3
    for row in (row for rows in found.values() for row in rows):
        assert row.effect.n == 1
        assert row.leak.value > 0
        assert row.cells == 1
    whole, late = found["teacher, 4 steps"]
    assert whole.leak != late.leak
    numbers = json.loads((tmp_path / "x.json").read_text())
    assert numbers["ways"]["teacher, 4 steps"][1]["steps"] == [1, 2, 3]
    rows = [line for line in (tmp_path / "x.md").read_text().splitlines() if line.startswith("|")]
    assert (len(rows), {row.count("|") for row in rows}) == (5, {9})
