"""The page of a student beside its teacher: every way of drawing on the same noise, whole tables."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.menagerie.oracle import load_oracle
from astrogate.studies.world import few_steps
from astrogate.studies.world.few_steps import write_few_steps
from astrogate.studies.world.strips import score_strips


def test_the_page_has_every_way_and_knob(menagerie: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_steps, "TEACHER", (2, 1))
    monkeypatch.setattr(few_steps, "STUDENT", (1,))
    monkeypatch.setattr(few_steps, "VARIED", 2)
    few = partial(score_strips, subjects=("dog",), seeds=(1, 2), n=3, recipe=Recipe(2))
    monkeypatch.setattr(few_steps, "score_strips", few)
    told: list[str] = []
    write_few_steps(menagerie, menagerie, load_oracle(), tmp_path / "x.md", captions=24, tell=told.append)
    numbers = json.loads((tmp_path / "x.json").read_text())
    names = [way["name"] for way in numbers["ways"]]
    assert names == ["teacher, 2 steps", "teacher, 1 step", "student, 1 step"]
    assert all(0 < way["variety"]["value"] < 1 for way in numbers["ways"])
    same = [replace(few_steps.Way(**way), name="", seconds=0) for way in numbers["ways"][1:]]
    assert same[0] == same[1]  # the student is the teacher here
    assert numbers["ways"][0]["distance"] != numbers["ways"][1]["distance"]
    assert [line.split(":")[0] for line in told] == names
    rows = [line for line in (tmp_path / "x.md").read_text().splitlines() if line.startswith("|")]
    columns = {row.count("|") for row in rows}
    assert columns == {5, 6}
    assert list(numbers["strips"]) == ["teacher, to 1", "student, to 1", "teacher, to 2", "student, to 2"]
    assert (
        numbers["strips"]["teacher, to 1"] == numbers["strips"]["student, to 1"] != numbers["strips"]["student, to 2"]
    )
    assert {row.split("|")[1].strip() for row in rows} >= {
        "subject",
        "pattern",
        "build",
        "seconds",
        "mood",
        "variety over seeds",
    }
