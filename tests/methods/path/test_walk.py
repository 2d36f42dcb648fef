"""Laws of walks: key points are themselves, every space moves by its rule, edits fade, circles close."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Hold
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import generator
from astrogate.methods.path.walk import walk, walk_circle
from astrogate.ops.interpolate import lerp, nlerp, slerp
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from tests.checkpoints import made

RECIPE = Recipe(3)


def point(model: Model, prompt: str = "a dog", seed: int = 1) -> Point:
    return model.point(prompt, seed=seed)


def test_key_points_are_themselves_once(tiny: Model) -> None:
    keys = [point(tiny), point(tiny, "a cat", 2), point(tiny, "a man", 3)]
    path = walk(*keys)
    points = list(path.sample(9))
    assert [points[0], points[4], points[8]] == keys
    assert len({id(p) for p in points}) == 9
    round_trip = walk(*keys, closed=True)
    points = list(round_trip.sample(9))
    assert [points[0], points[3], points[6]] == keys
    assert round_trip(1.0) is keys[0]


@pytest.mark.parametrize(("by", "rule"), [("slerp", slerp), ("lerp", lerp), ("nlerp", nlerp)])
def test_all_spaces_of_all_families_move(model: Model, family: str, by: str, rule: object) -> None:
    a, b = made(model, family, "a dog", 1), made(model, family, "a cat in snow", 2)
    middle = walk(a, b, by=by)(0.3)  # type: ignore[arg-type]
    for space in model.spaces:
        assert middle.tensors[space].shape == a.tensors[space].shape
        wanted = rule if space == "latents" else slerp
        if torch.equal(a.tensors[space], b.tensors[space]):
            assert middle.tensors[space] is a.tensors[space]
        elif not a.tensors[space].is_floating_point():
            assert torch.equal(middle.tensors[space], a.tensors[space] | b.tensors[space])
        else:
            expected = wanted(a.tensors[space], b.tensors[space], 0.3)  # type: ignore[operator]
            assert torch.allclose(middle.tensors[space], expected, atol=1e-6)


def test_negatives_of_zeros_and_of_words(tiny_folders: object) -> None:
    from astrogate.models.loading.load import load

    model = load(str(tiny_folders("stable_diffusion_xl")), device="cpu")  # type: ignore[operator]
    a, b = model.point("a dog", seed=1), model.point("a dog", seed=2, negative="a cat")
    a = replace(a, tensors={**a.tensors, "negative_prompt_embeds": torch.zeros_like(b.tensors["prompt_embeds"])})
    middle = walk(a, b)(0.5).tensors["negative_prompt_embeds"]
    assert torch.allclose(middle, b.tensors["negative_prompt_embeds"] / 2)


def test_between_two_prompts_there_is_none(tiny: Model) -> None:
    path = walk(point(tiny), point(tiny, "a cat", 2), point(tiny, "a cat", 3))
    assert [path(u).prompt for u in (0.0, 0.25, 0.5, 0.75, 1.0)] == ["a dog", "", "a cat", "a cat", "a cat"]
    assert path(0.25).segments == ()


def test_one_space_alone(tiny: Model) -> None:
    a, b = point(tiny), point(tiny, "a cat", 2)
    path = walk(a, b, spaces=("latents",))
    assert torch.equal(path(1.0).tensors["latents"], b.tensors["latents"])
    assert path(1.0).tensors["prompt_embeds"] is a.tensors["prompt_embeds"]
    assert path(1.0).origin["prompt"] == path(0.5).prompt == "a dog"
    assert path(1.0).seed == 2
    with pytest.raises(AstrogateError, match="no space"):
        walk(a, b, spaces=("image_embeds",))


def test_the_ends_draw_what_their_points_draw(tiny: Model) -> None:
    a, b = point(tiny), point(tiny, "a cat", 2)
    path = walk(a, b)
    drawn = to_tensor(render(tiny, map(path, [0.0, 0.5, 1.0]), recipe=RECIPE, batch_size=3))
    alone = to_tensor(render(tiny, [a, b, b], recipe=RECIPE, batch_size=3))
    assert torch.equal(drawn[0], alone[0])
    assert torch.equal(drawn[2], alone[1])


def test_correlated_noise_keeps_its_spread(tiny: Model) -> None:
    a = point(tiny)
    a = replace(a, tensors={**a.tensors, "latents": torch.randn((4, 64, 64), generator=generator(1))})
    noise = 0.6 * a.tensors["latents"] + 0.8 * torch.randn((4, 64, 64), generator=generator(2))
    b = replace(a, tensors={**a.tensors, "latents": noise})
    assert float(walk(a, b, by="nlerp")(0.5).tensors["latents"].std()) == pytest.approx(1, abs=0.02)


def test_edits_of_one_end_fade_and_common_ones_stay(tiny: Model) -> None:
    a = point(tiny)
    direction = Direction({"end": torch.ones(a.tensors["prompt_embeds"].shape[-1])}, tiny.fingerprint)
    common, own = direction.at(a), direction.at(a)
    path = walk(a.apply(common, 2.0).apply(own), a.with_noise(9).apply(common, 2.0))
    assert [s.scale for s in path(0.25).steers] == [2.0, 0.75]
    assert [s.scale for s in path(1.0).steers] == [2.0]
    path = walk(a.apply(common, 1.0).apply(common, 2.0), a.with_noise(9).apply(common, 3.0))
    assert [s.scale for s in path(0.5).steers] == [2.0, 1.0]
    path = walk(a, a.apply(common.held(0.8, 0.2), 2.0))
    assert path(0.5).holding == Hold(0.4, 0.6)


def test_both_ends_from_one_generator(tiny: Model) -> None:
    source = generator(1)
    shape = (1, *point(tiny).tensors["latents"].shape)
    first, second = (torch.randn(shape, generator=source)[0] for _ in range(2))
    a = point(tiny)
    assert torch.equal(a.tensors["latents"], first)
    assert torch.equal(a.with_noise(1).tensors["latents"], first)
    other = replace(a, recipe=RECIPE).with_noise(1, draw=1)
    assert torch.equal(other.tensors["latents"], second)
    assert (other.seed, other.draw, other.recipe) == (1, 1, None)


def test_a_circle_closes_by_way_of_the_other(tiny: Model) -> None:
    a, b = point(tiny), point(tiny, "a cat", 2)
    path = walk_circle(a, b)
    assert path(0.0) is a
    assert path(1.0) is a
    assert torch.equal(path(0.25).tensors["latents"], b.tensors["latents"])
    assert path(0.25).tensors["prompt_embeds"] is a.tensors["prompt_embeds"]


def test_keys_of_long_walks_are_exact(tiny: Model) -> None:
    keys = [point(tiny).with_noise(seed) for seed in range(50)]
    path = walk(*keys)
    assert [path(u) for u in path.keys] == keys


def test_bad_walks(tiny: Model, tiny_folders: object) -> None:
    a = point(tiny)
    opposite = replace(a, tensors={**a.tensors, "latents": -a.tensors["latents"]})
    for points, match in (
        ([a], "two or more"),
        ([a, a], "the same"),
        ([a, point(tiny)], "the same"),
        ([a, opposite], "opposite"),
        ([a, replace(point(tiny, seed=2), model="other")], "different models"),
        ([a, tiny.point("a dog", seed=2, width=32)], "shapes"),
        ([a, replace(point(tiny, seed=2), extras={"image": torch.zeros(3, 8, 8)})], "only some"),
    ):
        with pytest.raises(AstrogateError, match=match):
            walk(*points)
    stranger = replace(point(tiny, seed=2), model="other")
    for make in (lambda: walk(a, stranger, spaces=("latents",)), lambda: walk_circle(a, stranger)):
        with pytest.raises(AstrogateError, match="different models"):
            make()
    with pytest.raises(AstrogateError, match="from 0 to 1"):
        walk(a, point(tiny, seed=2))(1.5)
