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
from astrogate.core.parts import Hold, Parts, Steer, late
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.insert import HOLDS, LISTENS, chosen, in_prompt, insert, parts, respond
from astrogate.methods.edit.style import style
from astrogate.models.loading.load import load
from tests.app.test_cli import run
from tests.app.test_cli_directions import record
from tests.checkpoints import made

PROMPT, RECIPE = "a painting of a dog", Recipe(2)


def test_the_whole_edit_makes_the_words_and_the_end_those_of_the_edited_prompt(tiny: Model) -> None:
    point, edited = tiny.point(PROMPT), tiny.point("a painting of a fat dog")
    words, rest = parts(in_prompt(tiny, point, "fat", "dog"), point, "dog")
    whole = chosen(words, rest, "all").steers[0]
    states = point.tensors["prompt_embeds"] + whole.vectors["prompt_embeds"]
    (here, end), (there, last) = ((s.find("dog"), s.end) for s in (point.segments[0], edited.segments[0]))
    assert here is not None
    assert there is not None
    new = edited.tensors["prompt_embeds"]
    assert torch.allclose(states[slice(*here)], new[slice(*there)], atol=1e-5)
    assert torch.allclose(states[end], new[last], atol=1e-5)
    assert torch.equal(states[: here[0]], point.tensors["prompt_embeds"][: here[0]])
    assert words.vectors["prompt_embeds"].abs().sum(1).nonzero().flatten().tolist() == list(range(*here))


def test_nothing_computes_from_a_points_origin(tiny: Model) -> None:
    point = tiny.point(PROMPT)
    bare = replace(point, origin={})
    for edit in (lambda p: insert(tiny, p, "fat", before="dog", recipe=RECIPE), lambda p: style(tiny, p, "dog")):
        one, other = (edit(p).at(1.0).steers[0].vectors["prompt_embeds"] for p in (point, bare))
        assert torch.equal(one, other)


class Listening:
    """A model whose latents are a word's states weighed by how it listens to the words and to the end."""

    def __init__(self, words: float, end: float) -> None:
        self.weights = torch.tensor([words, end])

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        moves = [
            sum((s.scale * s.vectors["prompt_embeds"] for s in point.steers), start=torch.zeros(2)) for point in points
        ]
        return torch.stack([self.weights * move for move in moves])[:, :, None, None]


def test_a_response_is_how_far_the_latents_go(tiny: Model) -> None:
    words, rest = (Steer({"prompt_embeds": torch.tensor(v)}) for v in ([1.0, 0.0], [0.0, 1.0]))
    model: Any = Listening(0.2, 1.0)
    assert respond(model, Point({}, ""), words, rest, recipe=RECIPE) == pytest.approx((0.2 / 2**0.5, 1 / 2**0.5))


@pytest.mark.parametrize("share", [0.9 * LISTENS, LISTENS, 1.1 * LISTENS])
def test_it_moves_the_words_alone_where_the_denoiser_listens(
    tiny: Model, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """And holds the rest by what moves, unless told otherwise."""
    monkeypatch.setattr("astrogate.methods.edit.insert.respond", lambda *args, **options: (share, 1.0))
    point = tiny.point(PROMPT)
    edit = insert(tiny, point, "fat", before="dog", recipe=RECIPE)
    (steer,) = edit.above.steers
    moved, half = ("words", "both") if share >= LISTENS else ("all", "positive")
    words, rest = parts(in_prompt(tiny, point, "fat", "dog"), point, "dog")
    wanted = words.vectors["prompt_embeds"] + (rest.vectors["prompt_embeds"] if moved == "all" else 0)
    assert torch.equal(steer.vectors["prompt_embeds"], wanted)
    assert (edit.origin["moved"], edit.origin["responses"]) == (moved, [share, 1.0])
    assert (steer.half, steer.window, edit.above.hold) == (half, late(RECIPE.num_inference_steps), HOLDS[moved])
    assert point.apply(edit, 0.0) is point
    half_way = point.apply(edit, 0.5)
    assert (half_way.holding, half_way.steers[0].scale) == (HOLDS[moved], 0.5)
    assert point.apply(edit.held(0.0)).holding == Hold(0.0)
    assert half_way.held(0.3, 0.7).holding == Hold(0.3, 0.7)


def test_every_family_takes_it_and_scale_zero_is_the_point(tiny_folders: Callable[[str], Path], family: str) -> None:
    model = load(str(tiny_folders(family)), device="cpu")
    point = made(model, family, PROMPT, 1)
    edit = insert(model, point, "fat", before="dog", recipe=RECIPE)
    assert (edit.name, edit.origin["method"], edit.origin["before"]) == ("fat", "insert", "dog")
    assert edit.origin["responses"][0] > 0  # what stands behind the words may be masked
    if edit.origin["moved"] == "all":
        assert ("pooled_prompt_embeds" in edit.above.spaces()) == ("pooled_prompt_embeds" in model.spaces)
    plain, zero, moved = (model.denoise([p], RECIPE) for p in (point, *(point.apply(edit, s) for s in (0, 1))))
    assert torch.equal(plain, zero)
    assert not torch.allclose(plain, moved, atol=1e-5)


def test_below_zero_the_opposite_word_is_put_in_or_this_one_backwards(tiny: Model) -> None:
    point = tiny.point(PROMPT)
    both = insert(tiny, point, "fat", before="dog", against="thin", recipe=RECIPE)
    other = insert(tiny, point, "thin", before="dog", recipe=RECIPE)
    assert isinstance(both.below, Parts)
    assert same(both.at(-0.5), other.at(0.5))
    assert both.origin["below"]["word"] == "thin"
    assert (both.range, other.range) == ((-1.5, 1.5), (0.0, 1.5))
    assert other.at(-0.5).steers[0].scale == -0.5


def same(a: Parts, b: Parts) -> bool:
    """Whether two parts of one steer each do the same."""
    x, y = a.steers[0], b.steers[0]
    alike = all(torch.equal(x.vectors[space], y.vectors[space]) for space in x.vectors | y.vectors)
    return alike and (x.scale, x.half, x.window, a.hold) == (y.scale, y.half, y.window, b.hold)


def test_the_prompt_may_hold_braces_and_capitals(tiny: Model) -> None:
    point = tiny.point("a {painting} of a Dog, {0}")
    direction = in_prompt(tiny, point, "fat", "dog")
    assert direction.origin["template"] == "a {{painting}} of a {word} {subject}, {{0}}"
    assert direction.origin["subjects"] == ["Dog"]
    assert bool(direction.vectors["subject"].any())


@pytest.mark.parametrize(
    ("prompt", "word", "before", "said"),
    [
        (PROMPT, "fat", "cat", "0 times"),
        ("a dog and a dog", "fat", "dog", "2 times"),
        (PROMPT, " ", "dog", "empty"),
        (PROMPT, "fat", " ", "empty"),
    ],
)
def test_bad_input_is_told(tiny: Model, prompt: str, word: str, before: str, said: str) -> None:
    with pytest.raises(AstrogateError, match=said):
        insert(tiny, tiny.point(prompt), word, before=before, recipe=RECIPE)


@pytest.mark.parametrize(("against", "said"), [(" ", "a pole is empty"), (" FAT", "two different words")])
def test_the_other_word_is_looked_at_before_anything_is_drawn(
    tiny: Model, monkeypatch: pytest.MonkeyPatch, against: str, said: str
) -> None:
    monkeypatch.setattr("astrogate.methods.edit.insert.respond", lambda *args, **options: pytest.fail("it draws"))
    with pytest.raises(AstrogateError, match=said):
        insert(tiny, tiny.point(PROMPT), "fat", before="dog", against=against, recipe=RECIPE)


def test_a_point_between_prompts_is_refused(tiny: Model) -> None:
    point = replace(tiny.point(PROMPT), segments=())
    with pytest.raises(AstrogateError, match="between prompts"):
        insert(tiny, point, "fat", before="dog", recipe=RECIPE)


def test_the_command_draws_to_both_sides_held(tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    using = ("--model", str(tiny_folder), "--steps", "2", "--device", "cpu", "-o", str(target))
    code, out, err = run("insert", PROMPT, "fat", "--before", "dog", "--against", "thin", "-n", "3", *using)
    assert (code, err) == (0, "")
    assert "fat on " in out
    kept = record(target)
    assert kept["scales"] == [-1.5, 0.0, 1.5]
    assert (kept["edits"], kept["hold"]) == ([], [0.0, 1.0])
    (along,) = kept["along"]
    assert (along["word"], along["below"]["word"], along["before"]) == ("fat", "thin", "dog")
    assert along["moved"] in HOLDS
    code, _, err = run("insert", PROMPT, "fat", "--before", "dog", "-n", "1", *using)
    assert (code, err) == (0, "")
    assert record(target)["hold"] in [[hold.share, hold.attend] for hold in HOLDS.values()]
    code, _, err = run("insert", PROMPT, "fat", "--before", "dog", "-n", "1", "--hold", "0.3:0.7", *using)
    assert (code, err, record(target)["hold"]) == (0, "", [0.3, 0.7])
    assert run("insert", PROMPT, "fat", "--before", "dog", "--hold", "much", *using)[0] == 2
    assert run("insert", PROMPT, "fat", "--before", "cat", *using)[0] == 2
