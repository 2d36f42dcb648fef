"""Laws of style strength by slerp: theta 0 is the point itself, 1 adds the phrase's encoding, the span moves alone."""

from __future__ import annotations

import math

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.phrase import between, phrase
from astrogate.ops.interpolate import angle

RECIPE = Recipe(3)


def test_strength_zero_is_the_point_and_one_adds_the_phrase(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    base = tiny.denoise([point], RECIPE)
    assert torch.equal(tiny.denoise([point.with_steers(phrase(tiny, point, "happy", 0.0))], RECIPE), base)
    full = phrase(tiny, point, "happy", 1.0).vectors["prompt_embeds"]
    assert torch.allclose(full, tiny.encode(["happy"])["prompt_embeds"][0], atol=1e-5)
    assert not torch.equal(tiny.denoise([point.with_steers(phrase(tiny, point, "happy", 0.3))], RECIPE), base)


def test_strength_turns_along_the_great_circle(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    e = point.tensors["prompt_embeds"]
    v = tiny.encode(["happy"])["prompt_embeds"][0]
    for theta, end in ((0.25, e + v), (0.5, e + v), (-0.5, e - v)):
        moved = e + phrase(tiny, point, "happy", theta).vectors["prompt_embeds"]
        assert angle(e, moved) == pytest.approx(abs(theta) * angle(e, end), abs=1e-4)
        assert angle(moved, end) == pytest.approx((1 - abs(theta)) * angle(e, end), abs=1e-4)


def test_in_span_moves_the_phrases_tokens_alone(tiny: Model) -> None:
    point = tiny.point("a photo of a happy fat dog")
    move = phrase(tiny, point, "Happy fat", 0.4, in_span=True).vectors["prompt_embeds"]
    assert move.abs().sum(1).nonzero().flatten().tolist() == [5, 6]


def test_difference_leads_away_from_the_prompt_without_the_phrase(tiny: Model) -> None:
    point = tiny.point("a photo of a happy dog")
    weaker = phrase(tiny, point, "happy", -1.0, difference=True).vectors["prompt_embeds"]
    assert torch.allclose(
        point.tensors["prompt_embeds"] + weaker, tiny.encode(["a photo of a dog"])["prompt_embeds"][0], atol=1e-4
    )


def test_difference_takes_out_the_words_and_nothing_else(tiny: Model) -> None:
    point = tiny.point("a cathode and a cat", seed=1)
    moved = phrase(tiny, point, "cat", -1.0, difference=True).vectors["prompt_embeds"]
    without = tiny.encode(["a cathode and a"])["prompt_embeds"][0]
    assert torch.allclose(point.tensors["prompt_embeds"] + moved, without, atol=1e-5)


def test_difference_in_span_moves_the_span(tiny: Model) -> None:
    point = tiny.point("a dog, happy", seed=1)
    low, high = point.segments[0].find("happy")  # type: ignore[misc]
    moved = phrase(tiny, point, "happy", 0.5, difference=True, in_span=True).vectors["prompt_embeds"]
    assert bool(moved[low:high].abs().sum(-1).gt(1e-4).all())
    assert not moved[:low].any()
    assert not moved[high:].any()


def test_between_is_exact_at_both_prompts(tiny: Model) -> None:
    dog, cat = tiny.point("a dog", seed=1), tiny.point("a cat", seed=1)
    for u, end in ((0, dog), (1, cat)):
        assert torch.equal(tiny.denoise([between(dog, cat, u)], RECIPE), tiny.denoise([end], RECIPE))
    middle = between(dog, cat, 0.5).tensors["prompt_embeds"]
    a, b = (point.tensors["prompt_embeds"] for point in (dog, cat))
    assert angle(a, middle) == pytest.approx(angle(middle, b), abs=1e-5)
    assert 0 < angle(a, b) < math.pi


def test_bad_phrases_are_refused(tiny: Model) -> None:
    point = tiny.point("a dog")
    for match, text, options in (
        ("empty", " ", {}), ("does not hold", "cat", {"in_span": True}), ("does not hold", "cat", {"difference": True}),
        ("phrase alone", "a dog", {"difference": True}),
    ):  # fmt: skip
        with pytest.raises(AstrogateError, match=match):
            phrase(tiny, point, text, 0.3, **options)
    for strength in (float("nan"), 3.0):
        with pytest.raises(AstrogateError, match="strength"):
            phrase(tiny, point, "happy", strength)
