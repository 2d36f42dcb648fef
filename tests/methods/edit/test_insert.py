"""A word put into a prompt by degrees: what moves, where the denoiser listens, and that the rest is held."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Steer
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.insert import HOLDS, LISTENS, focus, in_prompt, insert, inserted, parts, together
from astrogate.models.loading.load import load
from tests.app.test_cli import run
from tests.app.test_cli_directions import record

PROMPT, RECIPE = "a painting of a dog", Recipe(2)


def test_the_whole_edit_makes_the_words_and_the_end_those_of_the_edited_prompt(tiny: Model) -> None:
    point, edited = tiny.point(PROMPT), tiny.point("a painting of a fat dog")
    words, rest = parts(in_prompt(tiny, point, "fat", "dog"), point, "dog")
    states = point.tensors["prompt_embeds"] + together(words, rest).vectors["prompt_embeds"]
    (here, end), (there, last) = ((s.find("dog"), s.end) for s in (point.segments[0], edited.segments[0]))
    assert here is not None
    assert there is not None
    new = edited.tensors["prompt_embeds"]
    assert torch.allclose(states[slice(*here)], new[slice(*there)], atol=1e-5)
    assert torch.allclose(states[end], new[last], atol=1e-5)
    assert torch.equal(states[: here[0]], point.tensors["prompt_embeds"][: here[0]])
    assert words.vectors["prompt_embeds"].abs().sum(1).nonzero().flatten().tolist() == list(range(*here))


class Listening:
    """A model whose latents are a word's states weighed by how it listens to the words and to the end."""

    def __init__(self, words: float, end: float) -> None:
        self.weights = torch.tensor([words, end])

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        moves = [
            sum((s.scale * s.vectors["prompt_embeds"] for s in point.steers), start=torch.zeros(2)) for point in points
        ]
        return torch.stack([self.weights * move for move in moves])[:, :, None, None]


@pytest.mark.parametrize("share", [0.9 * LISTENS, 1.1 * LISTENS])
def test_it_moves_the_words_alone_where_the_denoiser_listens(share: float) -> None:
    words, rest = (Steer({"prompt_embeds": torch.tensor(v)}) for v in ([1.0, 0.0], [0.0, 1.0]))
    model: Any = Listening(share, 1.0)
    chosen = focus(model, Point({}, ""), words, rest, recipe=RECIPE)
    expected = [1.0, 0.0] if share > LISTENS else [1.0, 1.0]
    assert chosen.vectors["prompt_embeds"].tolist() == expected
    assert (chosen.origin["moved"], chosen.half) == (("words", "both") if share > LISTENS else ("all", "positive"))
    assert chosen.origin["responses"] == pytest.approx([share / 2**0.5, 1 / 2**0.5])


def test_every_family_takes_it_and_scale_zero_is_the_point(tiny_folders: Callable[[str], Path], family: str) -> None:
    model = load(str(tiny_folders(family)), device="cpu")
    point = model.point(PROMPT, seed=1)
    steer = insert(model, point, "fat", on="dog", recipe=RECIPE)
    assert (steer.name, steer.origin["method"], steer.origin["on"]) == ("fat", "insert", "dog")
    assert min(steer.origin["responses"]) > 0
    if steer.origin["moved"] == "all":
        assert ("pooled_prompt_embeds" in steer.vectors) == ("pooled_prompt_embeds" in model.spaces)
    plain, zero, moved = (model.denoise([p], RECIPE) for p in (point, *(inserted(point, steer, s) for s in (0, 1))))
    assert torch.equal(plain, zero)
    assert not torch.allclose(plain, moved, atol=1e-5)


@pytest.mark.parametrize("moved", ["words", "all"])
def test_it_is_held_by_what_moves_unless_told_otherwise(tiny: Model, moved: str) -> None:
    point, steer = tiny.point(PROMPT), Steer({}, origin={"moved": moved})
    assert inserted(point, steer, 0.0) is point
    half = inserted(point, steer, 0.5)
    assert ((half.hold, half.attend), half.steers[0].scale) == (HOLDS[moved], 0.5)
    free = inserted(point, steer, hold=(0.0, 1.0))
    assert ((free.hold, free.attend), free.steers[0].scale) == ((0.0, 1.0), 1.0)


def test_the_prompt_may_hold_braces_and_capitals(tiny: Model) -> None:
    point = tiny.point("a {painting} of a Dog, {0}")
    direction = in_prompt(tiny, point, "fat", "dog")
    assert direction.origin["template"] == "a {{painting}} of a {word} {subject}, {{0}}"
    assert direction.origin["subjects"] == ["Dog"]
    assert bool(direction.vectors["subject"].any())


@pytest.mark.parametrize(
    ("prompt", "word", "on", "said"),
    [
        (PROMPT, "fat", "cat", "0 times"),
        ("a dog and a dog", "fat", "dog", "2 times"),
        (PROMPT, " ", "dog", "empty"),
        (PROMPT, "fat", " ", "empty"),
    ],
)
def test_bad_input_is_told(tiny: Model, prompt: str, word: str, on: str, said: str) -> None:
    with pytest.raises(AstrogateError, match=said):
        insert(tiny, tiny.point(prompt), word, on=on, recipe=RECIPE)


def test_a_point_between_prompts_is_refused(tiny: Model) -> None:
    point = replace(tiny.point(PROMPT), segments=())
    with pytest.raises(AstrogateError, match="between prompts"):
        insert(tiny, point, "fat", on="dog", recipe=RECIPE)


def test_the_command_draws_to_both_sides_held(tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    using = ("--model", str(tiny_folder), "--steps", "2", "--device", "cpu", "-o", str(target))
    code, out, err = run("insert", PROMPT, "fat", "--on", "dog", "--against", "thin", "-n", "3", *using)
    assert (code, err) == (0, "")
    assert "fat on " in out
    kept = record(target)
    assert kept["scales"] == [-1.5, 0.0, 1.5]
    assert (kept["against"], kept["hold"], kept["steers"]) == ("thin", 0.0, [])
    assert [kept["insert"][side]["direction"]["toward"] for side in ("above", "below")] == ["fat", "thin"]
    assert kept["insert"]["above"]["moved"] in HOLDS
    assert (kept["insert"]["window"], kept["insert"]["hold"]) == ([0.2, 1.0], None)
    code, _, err = run("insert", PROMPT, "fat", "--on", "dog", "-n", "1", *using)
    assert (code, err) == (0, "")
    assert (record(target)["hold"], record(target)["attend"]) in HOLDS.values()
    code, _, err = run("insert", PROMPT, "fat", "--on", "dog", "-n", "1", "--hold", "0.3:0.7", *using)
    assert (code, err, record(target)["hold"], record(target)["attend"]) == (0, "", 0.3, 0.7)
    assert run("insert", PROMPT, "fat", "--on", "dog", "--hold", "much", *using)[0] == 2
    assert run("insert", PROMPT, "fat", "--on", "cat", *using)[0] == 2
