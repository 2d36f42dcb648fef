"""Laws of style strength by slerp: theta 0 is the point itself, 1 adds the phrase's encoding, the span moves alone."""

from __future__ import annotations

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.export import moved
from astrogate.methods.edit.style import style
from astrogate.ops.interpolate import angle

RECIPE = Recipe(3)


def test_strength_zero_is_the_point_and_one_adds_the_phrase(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    base = tiny.denoise([point], RECIPE)
    happy = style(tiny, point, "happy")
    assert point.apply(happy, 0.0) is point
    full = moved(happy, point, 1.0)["prompt_embeds"]
    assert torch.allclose(full, tiny.encode(["happy"])["prompt_embeds"][0], atol=1e-5)
    assert not torch.equal(tiny.denoise([point.apply(happy, 0.3)], RECIPE), base)


def test_strength_turns_along_the_great_circle(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    e = point.tensors["prompt_embeds"]
    v = tiny.encode(["happy"])["prompt_embeds"][0]
    for theta, end in ((0.25, e + v), (0.5, e + v), (-0.5, e - v)):
        there = e + moved(style(tiny, point, "happy"), point, theta)["prompt_embeds"]
        assert angle(e, there) == pytest.approx(abs(theta) * angle(e, end), abs=1e-4)
        assert angle(there, end) == pytest.approx((1 - abs(theta)) * angle(e, end), abs=1e-4)


def test_in_span_moves_the_phrases_tokens_alone(tiny: Model) -> None:
    point = tiny.point("a photo of a happy fat dog")
    move = moved(style(tiny, point, "Happy fat", in_span=True), point, 0.4)["prompt_embeds"]
    assert move.abs().sum(1).nonzero().flatten().tolist() == [5, 6]


def test_difference_leads_away_from_the_prompt_without_the_phrase(tiny: Model) -> None:
    point = tiny.point("a photo of a happy dog")
    weaker = moved(style(tiny, point, "happy", difference=True), point, -1.0)["prompt_embeds"]
    assert torch.allclose(
        point.tensors["prompt_embeds"] + weaker, tiny.encode(["a photo of a dog"])["prompt_embeds"][0], atol=1e-4
    )


def test_difference_takes_out_the_words_and_nothing_else(tiny: Model) -> None:
    point = tiny.point("a cathode and a cat", seed=1)
    weaker = moved(style(tiny, point, "cat", difference=True), point, -1.0)["prompt_embeds"]
    without = tiny.encode(["a cathode and a"])["prompt_embeds"][0]
    assert torch.allclose(point.tensors["prompt_embeds"] + weaker, without, atol=1e-5)


def test_difference_in_span_moves_the_span(tiny: Model) -> None:
    point = tiny.point("a dog, happy", seed=1)
    low, high = point.segments[0].find("happy")  # type: ignore[misc]
    move = moved(style(tiny, point, "happy", difference=True, in_span=True), point, 0.5)["prompt_embeds"]
    assert bool(move[low:high].abs().sum(-1).gt(1e-4).all())
    assert not move[:low].any()
    assert not move[high:].any()


def test_bad_phrases_are_refused(tiny: Model) -> None:
    point = tiny.point("a dog")
    for match, text, options in (
        ("empty", " ", {}),
        ("does not contain", "cat", {"in_span": True}),
        ("does not contain", "cat", {"difference": True}),
        ("phrase alone", "a dog", {"difference": True}),
    ):  # fmt: skip
        with pytest.raises(AstrogateError, match=match):
            style(tiny, point, text, **options)
    for strength in (float("nan"), 3.0, -1.1):
        with pytest.raises(AstrogateError, match="of happy: it goes from -1 to 1"):
            point.apply(style(tiny, point, "happy"), strength)
