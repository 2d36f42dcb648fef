"""Edits that act, do nothing, saturate or leave the usual range are told apart; planted cases, none by hand."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import astrogate as ag
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateWarning
from astrogate.core.parts import Parts, Steer
from astrogate.models.text.usual import PROMPTS, Usual
from astrogate.rendering.effects import effects
from astrogate.rendering.strip import spaced
from tests.app.test_cli import run

PROMPT, RECIPE = "a painting of a dog", ag.Recipe(4)
#: How many edits are planted in Menagerie, one of each kind; the long run has 1000.
PLANTED = int(os.environ.get("ASTROGATE_PLANTED", "8"))
KINDS = ("word", "acts", "zero", "no step", "flat above", "flat below", "unusual", "no half")


def painted(frame: ag.Frame, edit: Edit, scales: list[float], change: Any, seed: int = 0) -> list[ag.Frame]:
    """Frames of a scale each, whose pictures are what `change` makes of it, with a little noise."""
    rng = np.random.default_rng(seed)
    point = frame.point
    found: list[ag.Frame] = []
    for scale in scales:
        level = np.clip(128 + change(scale) + rng.normal(0, 0.05, (64, 64, 3)), 0, 255)
        image = Image.fromarray(level.round().astype(np.uint8))
        found.append(replace(frame, image=image, point=point.apply(edit, scale)))
    return found


@pytest.fixture(scope="module")
def frame(tiny: Any) -> ag.Frame:
    return next(ag.render(tiny, [tiny.point(PROMPT)], recipe=RECIPE))


def test_a_thousand_planted_curves_are_told_apart(frame: ag.Frame) -> None:
    rng, wrong, total = np.random.default_rng(0), 0, 0
    steer = Steer({"prompt_embeds": torch.zeros_like(frame.point.tensors["prompt_embeds"])})
    for i in range(1000):
        edit = Edit(Parts((steer,)), name=f"e{i}", limits=(-9, 9), range=(-2, 2))
        n, height, end = int(rng.integers(5, 12)), float(rng.uniform(3, 60)), float(rng.uniform(0.3, 1.2))
        kind = ("acts", "nothing", "saturates above", "saturates below", "both")[i % 5]
        low, high = (
            -end if kind in ("saturates below", "both") else -9,
            end if kind in ("saturates above", "both") else 9,
        )
        slope = 0.0 if kind == "nothing" else height
        curve = partial(lambda s, slope, low, high: slope * max(low, min(s, high)), slope=slope, low=low, high=high)
        (found,) = effects(painted(frame, edit, spaced(-2, 2, n), curve, i))
        expected = (kind != "nothing", kind in ("saturates below", "both"), kind in ("saturates above", "both"))
        seen = (found.acted, found.saturated[0] is not None, found.saturated[1] is not None)
        total += 1
        wrong += seen != expected
    assert wrong <= 0.05 * total, wrong


def planted(model: Any, kind: str, seed: int) -> tuple[ag.Point, Edit, ag.Recipe, tuple[float, float]]:
    """A point, an edit whose effect is known by how it is made, a recipe, and the first and last scale."""
    rng, space = np.random.default_rng(seed), "prompt_embeds"
    draw = torch.Generator().manual_seed(seed)
    prompt = f"a {rng.choice(['painting', 'drawing', 'photo'])} of a {rng.choice(['dog', 'cat', 'man', 'woman'])}"
    point, recipe, usual = model.point(prompt, seed=seed), ag.Recipe(4), Usual.of(model)
    states = point.tensors[space]
    noise = torch.randn(states.shape, generator=draw) * usual.deviation

    def edit(**options: Any) -> Edit:
        return Edit(Parts((Steer(**options),)), name=kind, limits=(-9, 9), range=(-2, 2))

    def knots(*rising: float, at: tuple[float, ...]) -> Edit:
        return edit(vectors={space: torch.stack([a * noise for a in at])}, rule="knots", knots=rising)

    if kind == "word":
        word = str(rng.choice(["fat", "thin", "tall", "happy", "red", "green"]))
        return point, ag.insert(model, point, word, before=prompt.split()[-1]), recipe, (0, 1)
    if kind == "zero":
        return point, edit(vectors={space: torch.zeros_like(states)}), recipe, (-2, 2)
    if kind == "no step":
        low = float(rng.choice([0.05, 0.3, 0.55, 0.8]))
        return point, edit(vectors={space: noise}, window=(low, low + 0.15)), recipe, (-2, 2)
    if kind == "flat above":
        return point, knots(0, 1, 2, at=(0, 1, 1)), recipe, (0, 2)
    if kind == "flat below":
        return point, knots(-2, -1, 0, at=(1, 1, 0)), recipe, (-2, 0)
    if kind == "unusual":
        return point, edit(vectors={space: usual.most * noise}), recipe, (0, 3)
    if kind == "no half":
        return point, edit(vectors={space: noise}, half="negative"), replace(recipe, guidance_scale=1.0 + 1e-6), (-2, 2)
    return point, edit(vectors={space: noise}), recipe, (-1, 1)


def told_wrongly(model: Any, kind: str, seed: int) -> str:
    """What is reported wrongly of a planted edit; empty if all is right."""
    point, edit, recipe, (low, high) = planted(model, kind, seed)
    (found,) = ag.strip(model, point, edit, low, high, n=7, recipe=recipe).effects
    if found.acted != (kind not in ("zero", "no step", "no half")):
        return f"{kind} {seed}: acted {found.acted}"
    flat = (kind == "flat below", kind == "flat above")
    if found.acted and kind != "word" and tuple(scale is not None for scale in found.saturated) != flat:
        return f"{kind} {seed}: saturated {found.saturated}"
    beyond = kind == "unusual"
    if kind in ("word", "unusual", "zero") and (found.unusual != (None, None)) != beyond:
        return f"{kind} {seed}: unusual {found.unusual}"
    return ""


def test_planted_edits_are_told_apart(menagerie: Any) -> None:
    wrong = [told for i in range(PLANTED) if (told := told_wrongly(menagerie, KINDS[i % len(KINDS)], i))]
    assert len(wrong) <= 0.05 * PLANTED, wrong


def direction(model: Any) -> ag.Direction:
    return ag.contrast(model, "fat", "thin", media=("painting",), subjects=("dog", "cat"))


def test_what_acts_and_what_does_not(tiny: Any) -> None:
    point = tiny.point(PROMPT)
    found = direction(tiny)
    acts = ag.strip(tiny, point, found.at(point), -2, 2, n=5, recipe=RECIPE)
    assert [e.acted for e in acts.effects] == [True]
    late = ag.strip(tiny, point, found.at(point, window=(0.8, 1.0)), -2, 2, n=3, recipe=RECIPE)
    assert [e.acted for e in late.effects] == [False]
    assert "no effect" in repr(late)
    wrong = ag.strip(tiny, point, found.at(point, half="negative"), n=3, recipe=replace(RECIPE, guidance_scale=1.5))
    assert [e.acted for e in wrong.effects] == [True]
    zero = Edit(Parts((Steer({"prompt_embeds": torch.zeros_like(point.tensors["prompt_embeds"])}),)), name="zero")
    assert [str(e) for e in ag.strip(tiny, point, zero, n=3, recipe=RECIPE).effects] == ["zero: no effect"]


def test_an_edit_that_stays_is_compared_with_the_picture_without_it(tiny: Any) -> None:
    point = tiny.point(PROMPT)
    found = direction(tiny)
    held = found.at(point)
    moving = found.at(point, on="dog", roles=("end",))
    strip = ag.strip(
        tiny, point.apply(replace(held, name="held"), 1.0), replace(moving, name="moving"), n=3, recipe=RECIPE
    )
    told = {e.name: e.acted for e in strip.effects}
    assert told["held"] is True
    assert {e.acted for e in effects(strip.frames[:1])} == {None}
    once = ag.strip(tiny, point, held, 1, 2, n=1, recipe=RECIPE)
    assert [e.acted for e in once.effects] == [True]


def test_grids_tell_of_both(tiny: Any) -> None:
    point = tiny.point(PROMPT)
    a, b = direction(tiny).at(point), direction(tiny).at(point, window=(0.9, 1.0))
    grid = ag.grid(tiny, point, replace(a, name="a"), replace(b, name="b"), -1, 1, n=3, recipe=RECIPE)
    assert {e.name: e.acted for e in grid.effects} == {"a": True, "b": False}


def test_edits_that_move_together_are_told_together(tiny: Any) -> None:
    point = tiny.point(PROMPT)
    a, b = (replace(direction(tiny).at(point), name=name) for name in "ab")
    assert [e.name for e in ag.strip(tiny, point, [a, b], -1, 1, n=3, recipe=RECIPE).effects] == ["a with b"]


def test_the_usual_range_holds_usual_prompts_and_not_much_more(tiny: Any) -> None:
    usual = Usual.of(tiny)
    assert Usual.of(tiny) is usual
    assert len(set(PROMPTS)) == len(PROMPTS) == 48
    reached = [usual.leaves(tiny.point(prompt)) for prompt in PROMPTS[:6]]
    assert not any(reached)
    point = tiny.point("a drawing of a dog")
    edit = direction(tiny).at(point)
    leaves = [usual.leaves(point.apply(edit, scale)) for scale in (0.01, 50)]
    assert leaves == [False, True]


def test_a_record_and_a_line_tell(tmp_path: Path, tiny_folder: Path) -> None:
    path = tmp_path / "x.png"
    asked = ("slide", "a fat dog", "--direction", "fat:thin", "--model", str(tiny_folder), "--steps", "2", "-n", "3")
    code, out, err = run(*asked, "--window", "0.6:1", "-o", str(path))
    assert code == 0, err
    assert "no effect" in out
    from astrogate.rendering.record import read_record

    (told,) = read_record(path)["effects"]
    assert told["acted"] is False
    code, out, _ = run("again", str(path))
    assert "the same bytes" in out
    code, out, _ = run(*asked, "-o", str(tmp_path / "frames"))
    assert "acted" in out


def test_an_edit_that_sleeps_says_why(tiny: Any) -> None:
    point = tiny.point(PROMPT)
    steer = Steer({"prompt_embeds": torch.ones_like(point.tensors["prompt_embeds"])}, window=(0.2, 1.0))
    strip = ag.strip(tiny, point, Edit(Parts((steer,)), name="late"), -1, 1, n=3, recipe=ag.Recipe(1))
    assert str(strip.effects[0]) == "late: no effect (its window holds none of 1 step)"
    assert ag.strip(tiny, point, Edit(Parts((steer,))), -1, 1, n=3, recipe=RECIPE).effects[0].acted


def test_a_negative_prompt_without_guidance_is_not_swallowed(tiny: Any) -> None:
    points = [tiny.point(PROMPT, negative="a cat")]
    list(ag.render(tiny, points, recipe=RECIPE))
    with pytest.warns(AstrogateWarning, match="'a cat' does nothing without guidance"):
        list(ag.render(tiny, points, recipe=ag.Recipe(2, 1.0)))


@pytest.mark.parametrize("times", [0.5, 2])
def test_sizes_that_a_model_never_learned_are_told_of_once(tiny: Any, times: float) -> None:
    side = int(tiny.size * times)
    points = [tiny.point(PROMPT, seed=seed, height=side, width=side) for seed in (1, 2)]
    with pytest.warns(AstrogateWarning, match=f"{side} x {side} pixels of a model that learned {tiny.size}") as told:
        list(ag.render(tiny, points, recipe=RECIPE))
    assert len(told) == 1


def test_guidance_that_a_distilled_model_does_not_stand_is_warned_about(
    tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = tiny.point(PROMPT)
    next(ag.render(tiny, [point], recipe=ag.Recipe(1, 4.0)))
    monkeypatch.setattr(tiny, "recipe", ag.Recipe(4, 1.0))  # as a student's is
    next(ag.render(tiny, [point], recipe=ag.Recipe(1, 1.5)))
    with pytest.warns(AstrogateWarning, match="made to draw without"):
        next(ag.render(tiny, [point], recipe=ag.Recipe(1, 4.0)))
