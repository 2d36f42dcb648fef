"""The leaderboard's editors are what their sources say, and its cells are kept, resumed and compared rightly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from astrogate.core.direction import Direction
from astrogate.core.parts import Hold
from astrogate.core.point import Point
from astrogate.core.protocols import Model, Readings
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.measure.leakage import Cell, Target
from astrogate.measure.scores import Estimate
from astrogate.methods.edit.contrast import contrast
from astrogate.models.sampler.edits import plain
from astrogate.studies.edit import editors, leaderboard, leakage
from astrogate.studies.edit.editors import (
    OTHERS,
    WHOLE,
    Attribute,
    Editor,
    Find,
    Options,
    attribute_control,
    clip_slider,
    mean_difference,
    ours,
    prompt_edit,
    prompt_weighting,
)
from astrogate.studies.edit.interactions import interactions, lines
from astrogate.studies.edit.leakage import Bench, ratio, run_cells, table

FAT = Attribute("fat", "thin", Target("build"))
PROMPT = "a painting of a dog"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny language has no other media and subjects."""
    media, subjects = ("painting", "photo"), ("dog", "cat", "horse")
    monkeypatch.setattr(editors, "MEDIA", media)
    monkeypatch.setattr(editors, "SUBJECTS", subjects)

    def small(model: Model, toward: str, away: str, **options: Any) -> Direction:
        return contrast(model, toward, away, **{"subjects": subjects, **options, "media": media})

    monkeypatch.setattr(editors, "contrast", small)


def vectors(point: Point) -> Tensor:
    """What a point's first steer adds to the text states."""
    steer = plain(point.steers[0], point.tensors)
    return steer.scale * steer.vectors["prompt_embeds"]


def moved(make: Callable[[Model, Attribute], Find], tiny: Model, point: Point, strength: float) -> Point:
    """A point with FAT by an editor at a strength."""
    return point.apply(make(tiny, FAT)(point, WHOLE), strength)


def edit_all(tiny: Model, point: Point, strength: float) -> dict[str, Tensor]:
    makers = {name: editor.make for name, editor in OTHERS.items()} | {
        "ours": ours(Options()),
        "ours, by the grid": ours(Options("grid", "all", "whiten", hold=Hold())),
        "ours, on the words": ours(Options("grid", "words")),
    }
    return {name: tiny.denoise([moved(make, tiny, point, strength)], Recipe(3)) for name, make in makers.items()}


def test_strength_zero_is_the_point_and_one_is_not(tiny: Model) -> None:
    point = tiny.point(PROMPT, seed=1)
    base = tiny.denoise([point], Recipe(3))
    for name, latents in edit_all(tiny, point, 0.0).items():
        assert torch.equal(latents, base), name
    for name, latents in edit_all(tiny, point, 1.0).items():
        assert not torch.allclose(latents, base, atol=1e-3), name


def test_prompt_edit_and_weight_one_are_the_edited_prompt(tiny: Model) -> None:
    point, edited = tiny.point(PROMPT), tiny.point("a painting of a fat dog").tensors["prompt_embeds"]
    for make in (prompt_edit, prompt_weighting):
        found = vectors(moved(make, tiny, point, 1.0))
        assert torch.allclose(point.tensors["prompt_embeds"] + found, edited, atol=1e-5)


def test_prompt_weighting_scales_the_words_tokens_from_the_empty_prompt(tiny: Model) -> None:
    point = tiny.point(PROMPT)
    one, three = (point.tensors["prompt_embeds"] + vectors(moved(prompt_weighting, tiny, point, w)) for w in (1.0, 3.0))
    empty = tiny.encode([""])["prompt_embeds"][0]
    assert torch.allclose(three[5], empty[5] + 3 * (one[5] - empty[5]), atol=1e-4)
    assert torch.allclose(three[torch.arange(16) != 5], one[torch.arange(16) != 5], atol=1e-5)


@pytest.mark.parametrize(("weight", "share"), [(0.5, 1.0), (0.25, 2.414214)])
def test_prompt_weighting_below_one_blends_with_states_that_do_not_attend(
    tiny: Any, weight: float, share: float
) -> None:
    point, prompt, low, high = tiny.point(PROMPT), "a painting of a fat dog", 5, 6
    ids = tiny.pipe.tokenizer(prompt, padding="max_length", return_tensors="pt").input_ids
    mask = torch.ones_like(ids)
    mask[:, low:high] = 0
    empty, edited = (tiny.encode([text])["prompt_embeds"][0] for text in ("", prompt))
    with torch.no_grad():
        blind = tiny.pipe.text_encoder(ids, attention_mask=mask).last_hidden_state[0]
    for states in (edited, blind):
        states[low:high] = empty[low:high] + weight * (states[low:high] - empty[low:high])
    found = point.tensors["prompt_embeds"] + vectors(moved(prompt_weighting, tiny, point, weight))
    assert torch.allclose(found, (edited + share * blind) / (1 + share), atol=1e-5)
    assert torch.equal(tiny.encode([prompt])["prompt_embeds"][0], tiny.point(prompt).tensors["prompt_embeds"])


def test_clip_slider_weighs_tokens_by_their_cosine_to_the_end(tiny: Model) -> None:
    point = tiny.point(PROMPT)
    move, states, end = vectors(moved(clip_slider, tiny, point, 2.0)), point.tensors["prompt_embeds"], 6
    cosine = torch.nn.functional.cosine_similarity(states, states[end][None], dim=-1)
    assert torch.allclose(move, cosine[:, None] * move[end], atol=1e-5)
    whole = vectors(moved(mean_difference, tiny, point, 2.0))[end]
    assert torch.nn.functional.cosine_similarity(move[end], whole, dim=0) > 0.98


def test_attribute_control_moves_the_subject_alone(tiny: Model) -> None:
    move = vectors(moved(attribute_control, tiny, tiny.point(PROMPT), 2.0))
    assert move.abs().sum(1).nonzero().flatten().tolist() == [5]


class Brightness:
    """Reads the mean of red as the build, and of blue as the mood."""

    def read(self, pictures: Tensor) -> Readings:
        values = {"build": pictures[:, 0].mean((1, 2)), "mood": pictures[:, 2].mean((1, 2))}
        return Readings({}, {}, values, torch.zeros(len(pictures), *pictures.shape[-2:]))


@pytest.fixture
def bench(tiny: Model, tmp_path: Path) -> Bench:
    return Bench(
        tiny, Brightness(), lambda subject: frozenset({"build", "mood"}), {"build": 0.0005, "mood": 0.0005}, tmp_path,
        subjects=("dog", "cat"), seeds=(1, 2), recipe=Recipe(2),
    )  # fmt: skip


def test_cells_are_kept_and_a_run_goes_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = {"up": Editor(mean_difference, (1, 4, 16))}
    attributes = (FAT, Attribute("thin", "fat", Target("build", sign=-1)))
    said: list[str] = []
    cells = run_cells(bench, sweep, attributes, matched=False, report=said.append)
    assert len(cells) == 4
    assert len(list(bench.folder.iterdir())) == 4
    assert said == ["up, fat", "up, thin"]
    for cell in cells.values():
        assert cell.strengths[0] == cell.leaks[0] == cell.outsides[0] == 0
        assert cell.effects[-1] >= 1 or cell.strengths[-1] == 16
        assert len(cell.strengths) == len(cell.effects)

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("drawn again")

    monkeypatch.setattr(leakage, "render", never)
    assert run_cells(bench, sweep, attributes, matched=False) == cells
    with pytest.raises(AssertionError, match="drawn again"):
        run_cells(bench, sweep, attributes, matched=True)
    next(bench.folder.iterdir()).unlink()
    with pytest.raises(AssertionError, match="drawn again"):
        run_cells(bench, sweep, attributes, matched=False)


def cell(effects: tuple[float, ...], leaks: tuple[float, ...]) -> Cell:
    return Cell(tuple(float(i) for i in range(len(effects))), effects, leaks, leaks, 1.0)


def test_the_table_counts_what_is_unreached_and_leaves_out_what_was_there() -> None:
    cells = {
        ("a", "fat", "dog"): cell((0, 1), (0, 0.2)), ("a", "fat", "cat"): cell((0, 2), (0, 0.4)),
        ("a", "tall", "dog"): cell((0, 0.5), (0, 9)), ("a", "tall", "cat"): cell((1.5, 2), (0, 9)),
        ("b", "fat", "dog"): cell((0, 1), (0, 0.1)), ("b", "fat", "cat"): cell((0, 1), (0, 0.1)),
        ("b", "tall", "dog"): cell((0, 1), (0, 0.1)), ("c", "fat", "dog"): cell((0, 0.1), (0, 0.1)),
    }  # fmt: skip
    first, second, third = table(cells, matched=True)
    assert (first.editor, first.reached, first.cells, first.leakage.value) == ("b", 3, 3, pytest.approx(0.1))
    assert (second.editor, second.reached, second.cells, second.leakage.value) == ("a", 2, 3, pytest.approx(0.2))
    assert (third.editor, third.reached, third.cells) == ("c", 0, 1)
    assert ratio(cells, "b", "a").value == pytest.approx(0.5)
    assert ratio(cells, "b", "a").n == 2


def test_the_halves_share_no_attribute_and_agree_with_the_world() -> None:
    from astrogate.menagerie.captions import WORDS
    from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS

    tuned, reported = ({a.word for a in half} for half in (leakage.TUNED, leakage.REPORTED))
    assert not tuned & reported
    assert len(reported) >= 8
    for attribute in (*leakage.TUNED, *leakage.REPORTED):
        target = attribute.target
        assert {attribute.word, attribute.opposite} <= set(WORDS)
        assert target.value in CATEGORICAL[target.factor] if target.value else target.factor in CONTINUOUS
    json.dumps([a.word for a in leakage.TUNED])


def test_the_page_holds_every_cell(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the tiny model, with two editors and three attributes that its language has."""
    kept = (FAT, Attribute("thin", "fat", Target("build", sign=-1)), Attribute("happy", "sad", Target("mood")))
    monkeypatch.setattr(leaderboard, "REPORTED", kept)
    monkeypatch.setattr(leaderboard, "OTHERS", {k: OTHERS[k] for k in ("mean difference", "prompt edit")})
    said: list[str] = []
    result = leaderboard.run_leaderboard(bench, said.append, Options("grid", "all", hold=Hold()))
    target = tmp_path / "page" / "leakage.md"
    leaderboard.write_leaderboard(result, {"colour": Estimate(0.5, 0.25, 0.75, 9)}, target)
    text = target.read_text()
    assert len(said) == 18
    named = ("fat, dog", "thin, cat", "happy, dog", "mean difference", "prompt edit")
    for word in ("| colour | 0.50 [0.25, 0.75] |", *named):
        assert word in text
    rows = [line for line in text.splitlines() if line.startswith("| fat, ")]
    assert len(rows) == 2
    assert all(row.count("|") == 5 for row in rows)
    assert json.loads(target.with_suffix(".json").read_text())["attributes"] == ["fat", "thin", "happy"]
    assert target.with_suffix(".svg").exists()
    assert "When the world itself is edited" in text
    assert result["floor"]["cells"] == 6
    ours_first = result["matched"]["ratios"]["mean difference"]
    assert ours_first["value"] == pytest.approx(1, abs=0.05) or ours_first["n"] == 0


@pytest.mark.filterwarnings("ignore:the prompt is:astrogate.core.errors.AstrogateWarning")
def test_clip_reads_on_other_models(tiny: Model, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaderboard, "SUBJECTS", ("dog", "cat"))
    bench = leaderboard.bench_of(tiny, leaderboard.zero_shot(clip), tmp_path, Recipe(2), (1, 2))
    assert set(bench.spread) == {"build", "height", "mood"}
    cells = run_cells(replace(bench, subjects=("dog",)), {"a": Editor(mean_difference, (1,))}, (FAT,), matched=False)
    assert set(cells) == {("a", "fat", "dog")}


def test_interactions_of_a_slider_with_itself_and_with_nothing(bench: Bench) -> None:
    """A slider that does nothing neither moves nor changes the other; two equal ones read each other alike."""
    fat = contrast(bench.model, "fat", "thin", media=("photo",), subjects=("dog", "cat"))
    sliders = {
        "fat": (fat, Target("build")),
        "again": (fat, Target("mood")),
        "nothing": (fat * 0.0, Target("build")),
    }
    found = interactions(bench, sliders, scale=3.0)
    assert found.names == ("fat", "again", "nothing")
    assert found.crosstalk[0] == found.crosstalk[1]
    assert found.crosstalk[2] == (0, 0, 0)
    assert found.crosstalk[0][0] != 0
    assert [found.together[i][2] for i in range(3)] == [0, 0, 0]
    assert [found.together[i][i] for i in range(3)] == [0, 0, 0]
    assert found.together[2][0] == pytest.approx(found.crosstalk[0][2])
    assert len(lines(found)) == 12


def test_tuning_screens_all_and_compares_the_best_on_the_whole_bench(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_grid = [Options("grid", tokens, None, Hold()) for tokens in ("all", "words")]
    kept = (*by_grid, Options("prompt", "all", None, Hold(0.5, 0.2)))
    monkeypatch.setattr(leaderboard, "_CANDIDATES", kept)
    monkeypatch.setattr(leaderboard, "TUNED", (FAT,))
    said: list[str] = []
    ranked = leaderboard.tune(replace(bench, subjects=("dog", "cat"), seeds=(1, 2, 3)), said.append, keep=2)
    assert len(said) == 5
    assert len(ranked) == 2
    assert {options for options, _ in ranked} < set(kept)
    most = max(row.reached for _, row in ranked)
    keys = [(row.reached < 0.9 * most, row.leakage.value) for _, row in ranked]
    assert keys == sorted(keys)
