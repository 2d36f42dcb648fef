"""A word's share, more or less: factor 1 is the decomposition itself, and only the named weight moves."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.methods.concept.cutoffs import Cutoffs
from astrogate.methods.concept.manipulate import direction_of, manipulate, scale_of, whole, with_words
from astrogate.methods.concept.pseudo_point import basis_place, basis_points, states
from astrogate.models.sampler.edits import plain
from tests.methods.concept.test_explain_image import decomposed


def test_factors_move_one_weight(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    word = basis.top(3)[1][0]
    edit = manipulate(tiny, basis, word, [1.0, 0.0, 1.5, 3.0])
    (start,), (unnamed,) = whole(tiny, basis, word, [4]), basis_points(tiny, basis, [4])
    assert all(torch.equal(value, start.tensors[space]) for space, value in unnamed.tensors.items())
    assert [scale_of(factor, 3.0) for factor in (0.0, 0.5, 1.0, 2.0, 3.0)] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert start.apply(edit, scale_of(1.0, 3.0)) is start
    for factor in (0.0, 1.5, 3.0):
        top = basis.order()[:8]
        weights = basis.weights.clone()
        weights[basis.place(word)] *= factor
        vector = basis.lengths["encoder 0"] * F.normalize(weights[top] @ basis.atoms["encoder 0"][top], dim=0)
        wanted = states(tiny, basis_place(basis), [vector])["prompt_embeds"][0]
        assert torch.allclose(_states(start.apply(edit, scale_of(factor, 3.0))), wanted, atol=1e-5)
        assert not torch.allclose(wanted, start.tensors["prompt_embeds"], atol=1e-4)
    lower, upper = (_states(start.apply(edit, scale_of(factor, 3.0))) for factor in (1.5, 3.0))
    assert torch.allclose(_states(start.apply(edit, scale_of(2.25, 3.0))), (lower + upper) / 2, atol=1e-5)


@pytest.mark.parametrize(("factors", "most"), [((0.0,), 2.0), ((0.5, 1.0), 2.0), ((1.5,), 1.5), ((0.5, 3.0), 3.0)])
def test_both_ends_are_there_whatever_the_factors(
    tiny: Model, clip: Clip, factors: tuple[float, ...], most: float
) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    word = basis.top(3)[1][0]
    (start,), edit = whole(tiny, basis, word, [4]), manipulate(tiny, basis, word, factors)
    ends = manipulate(tiny, basis, word, [0.0, most])
    for scale in (-1.0, 1.0):
        assert torch.allclose(_states(start.apply(edit, scale)), _states(start.apply(ends, scale)), atol=1e-6)


def test_a_small_weight_counts_when_it_is_named(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    least = basis.names[basis.order()[-1]]
    kept = with_words(basis, [least])
    assert kept.used == 9
    assert float(kept.weights[kept.place(least)]) == float(basis.weights[basis.place(least)])
    assert int((kept.weights > 0).sum()) == 9
    assert with_words(basis, [basis.top(1)[0][0]]).used == 8


def test_another_prompt_may_hold_the_concept(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    word = basis.top(1)[0][0]
    edit = manipulate(tiny, basis, word, prompt="a painting of a dog")
    (start,) = whole(tiny, basis, word, [0], prompt="a painting of a dog")
    assert start.origin["prompt"] == "a painting of a dog"
    assert not torch.equal(_states(start.apply(edit, -1.0)), _states(start.apply(edit, 1.0)))
    with pytest.raises(AstrogateError, match="made for another prompt"):
        whole(tiny, basis, word, [0])[0].apply(edit)
    with pytest.raises(AstrogateError, match="does not contain 'dog'"):
        manipulate(tiny, basis, word, [2.0], prompt="a painting of a cat")

    def make(text: str, seed: int) -> Point:
        return tiny.point(text, seed=seed, negative="cat")

    (made,) = whole(tiny, basis, word, [3], make=make)
    assert (made.origin["negative"], made.seed) == ("cat", 3)
    assert made.apply(manipulate(tiny, basis, word, make=make)).steers


def test_in_a_late_window_the_first_steps_are_the_decompositions(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    word, recipe = basis.top(1)[0][0], Recipe(4)
    (start,) = whole(tiny, basis, word, [4])
    now, late, never = (
        start.apply(manipulate(tiny, basis, word, [5.0], window=window))
        for window in ((0.0, 1.0), (0.5, 1.0), (0.9, 1.0))
    )
    drawn = tiny.denoise([start, now, late, never], recipe)
    assert torch.equal(drawn[0], drawn[3])
    apart = [float((latents - drawn[0]).abs().mean()) for latents in drawn[1:3]]
    assert apart[0] > apart[1] > 0


def _states(point: Point) -> torch.Tensor:
    """The text states when the point's only steer counts."""
    steer = plain(point.steers[0], point.tensors)
    return point.tensors["prompt_embeds"] + steer.scale * steer.vectors["prompt_embeds"]


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
def test_a_word_gives_a_direction(model: Model, clip: Clip, family: str) -> None:
    """Placed on the decomposition without the word, it gives back that with it, at the tokens of its roles."""
    from astrogate.methods.concept.explain import explain
    from astrogate.methods.concept.plan import Plan

    few = Plan(fit_steps=2, every=2, pictures=4, validation=2, recipe=Recipe(2))
    basis = explain(model, "a photo of a happy dog", plan=few, clip=clip)
    word = basis.top(1)[0][0]
    found = direction_of(model, basis, word)
    (start,) = whole(model, basis, word, [0])
    (segment, *_) = start.segments
    moved = start.tensors["prompt_embeds"] - _states(start.apply(manipulate(model, basis, word), -1.0))
    assert torch.allclose(found.vectors["end"], moved[segment.end], atol=1e-5)
    assert torch.allclose(found.vectors["subject"], moved[segment.end - 1], atol=1e-5)
    assert ("pooled" in found.vectors) == (family == "stable_diffusion_xl")
    point = model.point("a photo of a cat")
    assert point.apply(found.at(point)).steers


def test_what_cannot_be_manipulated_is_refused(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    with pytest.raises(AstrogateError, match="'moon' is no part of 'dog'"):
        manipulate(tiny, basis, "moon", [1.0])
    with pytest.raises(AstrogateError, match="factors -1, 2: use 0 to 1000"):
        manipulate(tiny, basis, basis.names[0], [-1.0, 2.0])
    none = basis.scaled({basis.names[0]: 0.0})
    with pytest.raises(AstrogateError, match="has no weight in 'dog'"):
        manipulate(tiny, none, basis.names[0], [1.0])
