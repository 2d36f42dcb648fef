"""The study of planted facts: its truths, its counts on made-up cells, its page, and that it runs and resumes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from astrogate.core.protocols import Model, Readings
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip, clip_for
from astrogate.studies.concept import decompositions as reproduce_conceptor
from astrogate.studies.concept import planted as study
from astrogate.studies.concept import roles, sculpture
from astrogate.studies.concept.planted import CONCEPTS, Planted, planted, recall, truth_of
from astrogate.studies.concept.planted_page import adopts, write_planted
from tests.app.test_cli import run

QUICK = replace(study.PLAIN, fit_steps=2, every=2, pictures=4, validation=2, recipe=Recipe(2), dtype=None)


def cell(top: list[str], reconstruction: float = 0.9) -> dict[str, Any]:
    shares = [(word, 1 / (2 + i)) for i, word in enumerate(top)]
    return {"top": shares, "support": 5.0, "reconstruction": [reconstruction] * 3, "steps": 500, "cpu": 9.0}


def test_truths_are_the_worlds_facts() -> None:
    assert len(CONCEPTS) == 8
    assert truth_of("pet") == [{"dog"}, {"cat"}]
    assert truth_of("king") == [{"man"}, {"yellow"}, {"hat"}]
    assert truth_of("happiness") == [{"yellow"}, {"meadow", "grass"}, {"happy", "cheerful", "smiling"}]
    assert recall(["dog", "hat"], truth_of("pet")) == 0.5


def made() -> Planted:
    right, wrong = ["dog", "cat", *"abcdefgh"], ["dog", *"abcdefghi"]
    return Planted(
        {
            ("pet", "plain", 0): cell(right),
            ("pet", "plain", 1): cell(wrong),
            ("pet", "early stop", 0): cell(right, 0.95),
            ("pet", "early stop", 1): cell(right, 0.95),
            ("pet", "judged by the loss", 0): cell(list("klmnopqrst"), 0.99),
            ("pet", "judged by the loss", 1): cell(list("klmnopqrst"), 0.99),
            ("pet", "convex start", 0): cell(right, 0.5),
            ("pet", "convex start", 1): cell(wrong, 0.5),
            ("pet", "text alone", 0): {"top": [("cat", 1.0)], "cpu": 0.0},
        }
    )


def test_counts_overlaps_and_what_is_adopted() -> None:
    found = made()
    assert [found.right("pet", way) for way in ("plain", "early stop", "text alone")] == [1, 2, 0]
    assert found.recalled("plain").value == 0.75
    assert found.stable("plain").value == 0.9
    assert found.stable("early stop").value == 1.0
    assert found.like_plain("early stop").value == pytest.approx(0.95)
    assert found.like_plain("convex start", same=True).value == 1.0
    assert found.gain("early stop").value == pytest.approx(0.05)
    assert [way for way in study.WAYS if adopts(found, way)] == ["early stop"]


def test_the_page_holds_every_cell(tmp_path: Path) -> None:
    write_planted(made(), tmp_path / "planted.md", model="m", threads=2)
    text = (tmp_path / "planted.md").read_text()
    assert "| pet | dog, cat | 1 of 2 | 1 of 2 | 0 of 2 | 2 of 2 | 0 of 1 |" in text
    assert "**dog**" in text
    assert "here early stop." in text
    assert len(json.loads((tmp_path / "planted.json").read_text())) == 9


@pytest.fixture(scope="module")
def quick(menagerie: Model, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Clip]:
    return tmp_path_factory.mktemp("planted"), clip_for("menagerie", None)


@pytest.mark.slow
def test_cells_are_done_once(menagerie: Model, quick: tuple[Path, Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, clip = quick
    monkeypatch.setattr(study, "WAYS", {"plain": QUICK, "random dictionary": QUICK})
    monkeypatch.setattr(study, "PLAIN", QUICK)
    monkeypatch.setattr(study, "RECIPE", QUICK.recipe)
    monkeypatch.setattr(study, "_FRESH", range(2))
    given: Any = {"concepts": ["pet"], "seeds": [0], "ways": ["plain", "random dictionary", *study.ALONE]}
    first = planted(menagerie, clip, folder, **given)
    assert len(first.cells) == 4
    assert len(first.cells["pet", "plain", 0]["reconstruction"]) == 2
    for way in study.ALONE:
        assert "pet" not in dict(first.cells["pet", way, 0]["top"])
    assert len(list((folder / "pictures").iterdir())) == 2

    def again(*args: Any, **options: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(study, "explain", again)
    assert planted(menagerie, clip, folder, **given).cells == first.cells


class Fixed:
    """Reads two of three pictures as a man, and every style alike."""

    def read(self, pictures: torch.Tensor) -> Readings:
        n = len(pictures)
        subject = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).repeat(-(-n // 3), 1)[:n]
        one, steps = torch.ones(n, 1), torch.arange(n) % len(sculpture.FACTORS)
        style = torch.stack([steps / 10, 1 - steps / 10], 1)
        return Readings(
            {"subject": ("man", "woman"), "scene": ("snow",), "medium": ("sketch",), "style": ("abstract", "none")},
            {"subject": subject, "scene": one, "medium": one, "style": style},
            {},
            one,
        )


def test_a_share_moves_by_its_largest_label() -> None:
    assert roles.moved(["a", "a", "b", "b"], ["a", "b", "b", "c"]) == 0.25


@pytest.mark.slow
def test_roles_and_the_reproduction_run(
    menagerie: Model, quick: tuple[Path, Clip], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, clip = quick
    for module in (study, roles, sculpture, reproduce_conceptor):
        for name, value in (("PLAIN", QUICK), ("RECIPE", QUICK.recipe)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(roles, "_COUNTED", range(6))
    for way in roles.BY_WORDS:
        monkeypatch.setitem(roles.WAYS, way, QUICK)
    role = roles.role_of(menagerie, Fixed(), clip, folder, "doctor", roles.SPARSE, seeds=[0])
    assert role.counted == pytest.approx(2 / 3)
    assert 0 < role.by_words[0] < 1
    even = roles.evened(menagerie, Fixed(), role, folder, seeds=range(3))
    assert (even.before, even.moved) == (pytest.approx(2 / 3), {"scene": 0.0, "medium": 0.0})
    for name, value in (("REPORTED", ()), ("CHOSEN_ON", ("doctor",)), ("_MIXED", range(3))):
        monkeypatch.setattr(roles, name, value)
    power, plain, sparse, best = roles.lines(menagerie, Fixed(), clip, folder, seeds=[0])
    assert power.startswith("shares of words to the power")
    assert all("counted 67% of 400 pictures" in line for line in (plain, sparse))
    assert "points missed on doctor, root mean square: plain" in best
    monkeypatch.setattr(reproduce_conceptor, "SEEDS", range(2))
    basis = sculpture.sculpture(menagerie, clip, folder, QUICK)
    found = sculpture.manipulated(menagerie, Fixed(), basis, seeds=range(2))
    assert (found.correlation.value, found.scene.value) == (pytest.approx(1), 1)
    monkeypatch.setattr(sculpture, "SEEDS", range(2))
    page = reproduce_conceptor.conceptor(menagerie, Fixed(), clip, folder, plan=QUICK, names=("snail",))
    assert "Planted: ladybug, winding" in page
    assert page.count("data:image") == 4 + len(sculpture.FACTORS)


def test_unknown_concepts_and_ways_are_one_line(tmp_path: Path) -> None:
    for options, reason in (
        (("--concept", "cow"), "'cow' is unknown"),
        (("--way", "best"), "'best' is unknown"),
        (("--way", "early stop"), "measure --way plain"),
    ):
        code, _, err = run("bench", "concepts", "-o", str(tmp_path / "p.md"), *options)
        assert (code, reason in err) == (2, True)
