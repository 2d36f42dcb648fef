"""Laws of edits: 0 is the point, 1 all of it; each rule of a steer; what is not there or too far is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from astrogate.core.edit import Edit, calibrated
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Hold, Moment, Parts, Steer
from astrogate.core.point import Point
from astrogate.core.segment import Segment
from astrogate.models.sampler.edits import plain
from astrogate.ops.interpolate import angle

NAN = float("nan")
DOG, CAT = (Segment(0, 1, 2, 5, ((word, 1, 2),)) for word in ("dog", "cat"))


def states(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


POINT = Point({"latents": states(0, 4, 8, 8), "prompt_embeds": states(1, 5, 3), "pooled_prompt_embeds": states(2, 4)},
              "a model", (DOG,))  # fmt: skip
ONE = Steer({"prompt_embeds": torch.ones(5, 3)})


def edit(*steers: Steer, **options: Any) -> Edit:
    return Edit(Parts(steers or (ONE,)), **options)


def move(steer: Steer, scale: float, space: str = "prompt_embeds") -> Tensor:
    """What a steer adds to the point at a scale."""
    moved = plain(steer.scaled(scale), POINT.tensors)
    assert moved.rule == "add"
    return moved.scale * moved.vectors[space]


def test_add_adds_and_is_plain_already() -> None:
    assert plain(ONE, POINT.tensors) is ONE
    assert torch.equal(move(ONE, -1.5), -1.5 * torch.ones(5, 3))


@pytest.mark.parametrize("space", ["prompt_embeds", "pooled_prompt_embeds"])
def test_turn_goes_along_the_great_circle_to_the_sum_and_away_to_the_difference(space: str) -> None:
    x = POINT.tensors[space]
    v = states(3, *x.shape)
    steer = Steer({space: v}, rule="turn", window=(0.2, 0.8), half="both")
    for scale, end in ((0.25, x + v), (1.0, x + v), (-0.5, x - v), (-1.0, x - v)):
        moved = x + move(steer, scale, space)
        assert angle(x, moved) == pytest.approx(abs(scale) * angle(x, end), abs=1e-4)
        assert angle(moved, end) == pytest.approx((1 - abs(scale)) * angle(x, end), abs=1e-4)
    assert torch.allclose(move(steer, 1.0, space), v, atol=1e-6)
    assert not move(steer, 0.0, space).any()
    same = plain(steer, POINT.tensors)
    assert (same.window, same.half) == (steer.window, steer.half)


def test_turn_turns_each_span_by_itself_and_the_pooled_text_whole() -> None:
    x, v = POINT.tensors["prompt_embeds"], states(3, 5, 3)
    pooled = states(4, 4)
    steer = Steer({"prompt_embeds": v, "pooled_prompt_embeds": pooled}, rule="turn", spans=((1, 2), (3, 5)))
    moved = move(steer, 0.4)
    assert moved.abs().sum(1).nonzero().flatten().tolist() == [1, 3, 4]
    for low, high in steer.spans:
        a, b = x[low:high], x[low:high] + v[low:high]
        assert angle(a, a + moved[low:high]) == pytest.approx(0.4 * angle(a, b), abs=1e-4)
    assert torch.allclose(move(steer, 1.0, "pooled_prompt_embeds"), pooled, atol=1e-6)


def test_toward_turns_to_a_direction_and_keeps_the_length() -> None:
    x, v = POINT.tensors["pooled_prompt_embeds"], states(3, 4)
    steer = Steer({"pooled_prompt_embeds": v}, rule="toward")
    for scale in (0.0, 0.3, 1.0):
        moved = x + move(steer, scale, "pooled_prompt_embeds")
        assert float(moved.norm()) == pytest.approx(float(x.norm()), rel=1e-5)
        assert angle(x, moved) == pytest.approx(scale * angle(x, v), abs=1e-3)
    assert torch.equal(move(steer, 1.0, "pooled_prompt_embeds"), move(replace(steer, vectors={
        "pooled_prompt_embeds": 2 * v}), 1.0, "pooled_prompt_embeds"))  # fmt: skip


def test_knots_are_met_and_joined_by_straight_lines() -> None:
    at_half, at_one = states(3, 5, 3), states(4, 5, 3)
    vectors = {"prompt_embeds": torch.stack([torch.zeros(5, 3), at_half, at_one])}
    steer = Steer(vectors, rule="knots", knots=(0.0, 0.5, 1.0))
    assert not move(steer, 0.0).any()
    assert torch.allclose(move(steer, 0.5), at_half)
    assert torch.allclose(move(steer, 1.0), at_one)
    assert torch.allclose(move(steer, 0.2), 0.4 * at_half, atol=1e-6)
    assert torch.allclose(move(steer, 0.75), (at_half + at_one) / 2, atol=1e-6)
    assert torch.allclose(move(steer, 1.5), 2 * at_one - at_half, atol=1e-5)


def test_a_rule_needs_the_space_that_it_turns() -> None:
    with pytest.raises(AstrogateError, match="no space 'image_embeds'"):
        plain(Steer({"image_embeds": torch.ones(3)}, rule="toward"), POINT.tensors)


def test_windows_and_curves_weigh_the_move_over_the_sampling() -> None:
    steer = Steer({}, 2.0, (0.2, 1.0), curve=((0.25, 0.0), (0.75, 1.0)))
    assert [steer.weight(Moment(u, 0.5)) for u in (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)] == [0, 0, 0.5, 1, 1, 0]
    assert Steer({}, 2.0).weight(Moment(0.5, 0.5)) == 1
    guide = Guide({}, window=(0.2, 0.8))
    assert [guide.acts(Moment(u, 0.5)) for u in (0.1, 0.2, 0.5, 0.8)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        *(({"curve": curve}, "curve") for curve in (
            ((0.5, 1.0), (0.5, 2.0)), ((0.7, 1.0), (0.2, 1.0)), ((0.0, NAN),), ((2.0, 1.0),)
        )),
        *(({"window": window}, "window") for window in ((0.5, 0.2), (0.5, 0.5), (-0.1, 1.0), (0.0, NAN))),
        *(({"scale": scale}, "scale") for scale in (NAN, float("inf"), 1e6)),
        ({"rule": "bend"}, "rule 'bend' is unknown"),
        ({"knots": (0.0, 1.0)}, "knots"),
        ({"rule": "knots"}, "knots"),
        ({"rule": "knots", "knots": (1.0, 0.0, 2.0, 3.0, 4.0)}, "rising"),
        ({"rule": "knots", "knots": (0.0, 1.0)}, "one vector per knot"),
    ],
)  # fmt: skip
def test_steers_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(AstrogateError, match=said):
        Steer({"prompt_embeds": torch.zeros(5, 3)}, **options)


def test_guides_and_holds_that_make_no_sense_are_refused() -> None:
    for quantile in (1.0, -0.1, NAN):
        with pytest.raises(AstrogateError, match="quantile"):
            Guide({}, quantile=quantile)
    for share in (1.5, -0.1, NAN):
        with pytest.raises(AstrogateError, match="hold"):
            Hold(share)
        with pytest.raises(AstrogateError, match="attend"):
            POINT.held(1.0, share)


def test_an_edit_at_zero_is_nothing_and_the_point_itself() -> None:
    assert POINT.apply(edit(), 0.0) is POINT
    nothing = edit().held(1.0).at(0.0)
    assert (nothing.steers, nothing.guides, nothing.hold) == ((), (), None)
    assert POINT.apply(edit(), 1.0).tensors is POINT.tensors


def test_without_a_side_of_its_own_an_edit_goes_backwards() -> None:
    both = Edit(Parts((ONE.scaled(2.0),), (Guide({"prompt_embeds": torch.ones(5, 3)}, 3.0),), Hold(0.5)))
    for scale in (-1.5, 0.5):
        at = both.at(scale)
        assert (at.steers[0].scale, at.guides[0].scale, at.hold) == (2 * scale, 3 * scale, Hold(0.5))
    assert both.above.spaces() == {"prompt_embeds"}


def test_below_zero_its_own_side_acts() -> None:
    sides = Edit(Parts((ONE,), hold=Hold(1.0)), Parts((ONE.scaled(3.0), ONE), hold=Hold(0.2)))
    assert [s.scale for s in sides.at(-0.5).steers] == [1.5, 0.5]
    assert sides.at(-0.5).hold == Hold(0.2)
    assert [s.scale for s in sides.at(0.5).steers] == [0.5]
    assert POINT.apply(sides, -0.5).holding == Hold(0.2)
    assert [side.hold for side in (sides.held(0.4, 0.6).at(s) for s in (-1, 1))] == [Hold(0.4, 0.6)] * 2
    assert edit().held(0.4).below is None


def test_an_edit_goes_as_far_as_its_limits() -> None:
    turn = edit(limits=(0.0, 1.0), range=(0.0, 0.5), name="turn")
    assert turn.strength(1.0) == 1
    for scale in (-0.1, 1.1, NAN, float("inf")):
        with pytest.raises(AstrogateError, match="of turn: it goes from 0 to 1, choose a scale there"):
            POINT.apply(turn, scale)
    with pytest.raises(AstrogateError, match="it goes from -50 to 50"):
        POINT.apply(edit(), 51.0)


def test_calibrated_scales_reach_their_strengths_and_no_further() -> None:
    known = edit(calibration=(-3.0, 1.5), name="fat")
    assert [known.strength(s) for s in (-1, -0.5, 0, 0.5, 1)] == [-3, -1.5, 0, 0.75, 1.5]
    assert [POINT.apply(known, s).steers[0].scale for s in (-1.0, 1.0)] == [-3.0, 1.5]
    assert calibrated(2.0, None) == 2
    for scale in (-1.1, 1.1):
        with pytest.raises(AstrogateError, match="of fat: it is calibrated from -1 to 1"):
            POINT.apply(known, scale)
    for calibration in ((1.0, 2.0), (-1.0, 0.0), (-float("inf"), 1.0), (NAN, 1.0)):
        with pytest.raises(AstrogateError, match="calibration"):
            edit(calibration=calibration)


def test_a_range_lies_within_the_scales_that_an_edit_goes_to() -> None:
    for low, high in ((1.0, 1.0), (1.0, -1.0), (-60.0, 1.0), (NAN, 1.0)):
        with pytest.raises(AstrogateError, match="range"):
            edit(range=(low, high))
    assert edit(range=(-1.0, 1.0), limits=(-0.2, 0.3), calibration=(-0.2, 0.3)).strength(-1.0) == -0.2
    with pytest.raises(AstrogateError, match="range"):
        edit(range=(-2.0, 2.0), calibration=(-3.0, 3.0))


def test_edits_compose_in_their_order() -> None:
    a, b = edit(name="a"), Edit(Parts((ONE,), (Guide({}),)), name="b")
    point = POINT.apply(a, 0.5).apply(b, -2.0).apply(a, 1.0)
    assert [(e.name, s) for e, s in point.edits] == [("a", 0.5), ("b", -2.0), ("a", 1.0)]
    assert [s.scale for s in point.steers] == [0.5, -2.0, 1.0]
    assert [g.scale for g in point.guides] == [-2.0]
    assert POINT.edits == ()
    bare = point.held(0.5).plain()
    assert (bare.edits, bare.hold, bare.tensors) == ((), None, POINT.tensors)
    assert "+0.5 a, -2 b, +1 a" in repr(point)


def test_calibrated_edits_go_to_two_together_beside_any_others() -> None:
    known, free = edit(calibration=(-3.0, 1.5)), edit()
    point = POINT.apply(known, 1.0).apply(free, 30.0).apply(known, -1.0)
    assert point.apply(known, 0.0) is point
    with pytest.raises(AstrogateError, match=r"scales of 2\.1 in all: keep them at 2 together, and 1 each"):
        point.apply(known, 0.1)


def test_edits_of_another_model_or_prompt_are_refused() -> None:
    with pytest.raises(AstrogateError, match="found in another model"):
        POINT.apply(edit(model="another"))
    with pytest.raises(AstrogateError, match="made for another prompt"):
        POINT.apply(edit(model="a model", segments=(CAT,)))
    with pytest.raises(AstrogateError, match="made for another prompt"):
        replace(POINT, segments=()).apply(edit(segments=(DOG,)), 0.0)
    for fits in (edit(), edit(model="a model"), edit(segments=(DOG,))):
        assert len(POINT.apply(fits).edits) == 1


def test_several_edits_are_held_as_the_freest_of_those_that_hold() -> None:
    tight, free, none = (edit().held(1.0, 0.9), edit().held(0.3, 0.2), edit())
    assert POINT.holding == POINT.apply(none).holding == Hold()
    assert POINT.apply(tight).apply(none).holding == Hold(1.0, 0.9)
    both = POINT.apply(tight).apply(free).apply(none)
    assert both.holding == Hold(0.3, 0.2)
    assert both.held(0.7).holding == Hold(0.7, 1.0)
    mixed = POINT.apply(edit().held(1.0, 0.2)).apply(edit().held(0.5, 0.9))
    assert mixed.holding == Hold(0.5, 0.2)


def test_a_scale_is_a_plain_finite_number() -> None:
    ((_, scale),) = POINT.apply(edit(), np.float32(0.5)).edits  # type: ignore[arg-type]
    assert type(scale) is float
    endless = edit(limits=(-np.inf, np.inf))
    for bad in (NAN, np.inf, -np.inf):
        with pytest.raises(AstrogateError, match=f"scale {bad:g}"):
            POINT.apply(endless, bad)
