"""Laws of the frame cache: what makes a picture makes its key; nothing whole is drawn again, nothing broken is used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from astrogate.core.edit import Edit
from astrogate.core.parts import Guide, Parts, Steer
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.path.walk import walk
from astrogate.rendering.cache import FrameCache, frame_key
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

RECIPE = Recipe(2)


class Counting:
    """A model that counts the pictures that it draws, and can break down after some batches."""

    def __init__(self, model: Model, batches: int = 1000) -> None:
        self.model, self.left, self.drawn = model, batches, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def denoise(self, points: list[Point], recipe: Recipe) -> torch.Tensor:
        if self.left == 0:
            raise KeyboardInterrupt
        self.left -= 1
        self.drawn += len(points)
        return self.model.denoise(points, recipe)


def points(model: Model, n: int = 10) -> Iterator[Point]:
    path = walk(model.point("a dog", seed=1), model.point("a cat", seed=2))
    return path.sample(n)


def test_the_key_changes_with_all_that_makes_a_picture(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    states = torch.ones_like(point.tensors["prompt_embeds"])
    steer, guide = Steer({"prompt_embeds": states}), Guide({"prompt_embeds": states})

    def edited(*steers: Steer, guides: tuple[Guide, ...] = (), scale: float = 0.5) -> Point:
        return point.apply(Edit(Parts(steers, guides)), scale)

    knotted = replace(steer, vectors={"prompt_embeds": states[None]}, rule="knots", knots=(1.0,))
    variants = [
        (point, RECIPE, "w"),
        (point, RECIPE, "other"),
        (point, Recipe(3), "w"),
        (tiny.point("a dog", seed=2), RECIPE, "w"),
        (tiny.point("a cat", seed=1), RECIPE, "w"),
        (replace(point, seed=2), RECIPE, "w"),
        (replace(point, draw=1), RECIPE, "w"),
        (replace(point, extras={"image": torch.zeros(3, 8, 8)}), RECIPE, "w"),
        *((edited(steer, scale=scale), RECIPE, "w") for scale in (-1.0, 0.5, 1.0)),
        (edited(steer, steer), RECIPE, "w"),
        *((edited(replace(steer, **change)), RECIPE, "w") for change in (
            {"vectors": {"prompt_embeds": 2 * states}}, {"window": (0.2, 1.0)}, {"half": "both"},
            {"window": ("noise", 1.0, 0.2)},
            {"curve": ((0.2, 0.5), (0.8, 1.0))}, {"rule": "turn"}, {"rule": "turn", "spans": ((1, 2),)},
        )),
        *((edited(replace(knotted, knots=(knot,))), RECIPE, "w") for knot in (1.0, 2.0)),
        *((edited(steer).held(*hold), RECIPE, "w") for hold in ((0.5,), (0.5, 0.3), (0.0, 0.3))),
        *((edited(guides=(guide,), scale=scale), RECIPE, "w") for scale in (0.5, 1.0)),
        *((edited(guides=(replace(guide, **change),)), RECIPE, "w") for change in (
            {"quantile": 0.5}, {"window": (0.2, 1.0)}, {"window": ("noise", 1.0, 0.2)},
            {"added": True}, {"base": "negative"},
        )),
    ]  # fmt: skip
    keys = [frame_key(*variant) for variant in variants]
    assert len(set(keys)) == len(keys)
    same = [
        tiny.point("a dog", seed=1),
        edited(steer, scale=0.0),
        edited(steer.scaled(0.0)),
        edited(steer.scaled(0.0)).held(0.0, 0.3),
        point.held(0.5, 0.3),
        replace(point, origin={**point.origin, "note": "x"}, recipe=RECIPE),
    ]
    assert {frame_key(other, Recipe(2.0, 4), "w") for other in same} == {keys[0]}


def test_recipes_that_draw_alike_share_their_frames(tiny: Model, tmp_path: Path) -> None:
    """The model's own settings by name, too."""
    model, cache, point = Counting(tiny), FrameCache(tmp_path), tiny.point("a dog", seed=1)
    for recipe in (None, tiny.recipe, replace(tiny.recipe, dtype="float32")):
        list(render(model, point, recipe=recipe, cache=cache))
    assert model.drawn == 1


def test_weights_say_which_adapters_are_loaded(tiny: Model) -> None:
    before = tiny.weights
    unet = tiny.pipe.unet
    kept = unet.conv_in.weight.detach().clone()
    with torch.no_grad():
        unet.conv_in.weight.add_(1e-3)
    assert tiny.weights != before
    with torch.no_grad():
        unet.conv_in.weight.copy_(kept)
    assert tiny.weights == before


def test_a_second_run_draws_nothing(tiny: Model, tmp_path: Path) -> None:
    cache, model = FrameCache(tmp_path), Counting(tiny)
    first = to_tensor(render(model, points(tiny), recipe=RECIPE, batch_size=4, cache=cache))
    assert model.drawn == 12
    again = to_tensor(render(model, points(tiny), recipe=RECIPE, batch_size=4, cache=cache))
    assert model.drawn == 12
    assert torch.equal(first, again)
    finer = to_tensor(render(model, points(tiny, 19), recipe=RECIPE, batch_size=3, cache=cache))
    assert model.drawn == 12 + 9
    assert torch.equal(finer[::2], first)


def test_equal_points_of_a_batch_are_drawn_once(tiny: Model, tmp_path: Path) -> None:
    first, second = points(tiny, 2)
    model, given = Counting(tiny), [first, first, second, first, second]
    pictures = to_tensor(render(model, given, recipe=RECIPE, batch_size=5, cache=FrameCache(tmp_path)))
    assert model.drawn == 5  # one batch, padded
    assert len(list(tmp_path.rglob("*.png"))) == 2
    assert torch.equal(pictures[[0, 0, 2, 0, 2]], pictures)
    assert not torch.equal(pictures[0], pictures[2])
    again = Counting(tiny)
    list(render(again, (p for p in [*given, *given]), recipe=Recipe(3), batch_size=2, cache=FrameCache(tmp_path)))
    assert again.drawn == 2


def test_an_interrupted_run_goes_on(tiny: Model, tmp_path: Path) -> None:
    whole = to_tensor(render(tiny, points(tiny), recipe=RECIPE, batch_size=4))
    broken = Counting(tiny, batches=1)
    with pytest.raises(KeyboardInterrupt):
        list(render(broken, points(tiny), recipe=RECIPE, batch_size=4, cache=FrameCache(tmp_path)))
    model = Counting(tiny)
    resumed = to_tensor(render(model, points(tiny), recipe=RECIPE, batch_size=4, cache=FrameCache(tmp_path)))
    assert model.drawn == 8
    assert float((resumed - whole).abs().max()) <= 1.01 / 255


def test_a_broken_frame_is_drawn_again(tiny: Model, tmp_path: Path) -> None:
    cache = FrameCache(tmp_path)
    first = to_tensor(render(tiny, points(tiny, 4), recipe=RECIPE, batch_size=4, cache=cache))
    files = sorted(tmp_path.rglob("*.png"))
    assert len(files) == 4
    files[0].write_bytes(files[0].read_bytes()[:-200])
    files[1].write_bytes(b"")
    with Image.open(files[2]) as image:
        info = PngInfo()
        info.add_text("checksum", image.text["checksum"])
        ImageOps.invert(image.convert("RGB")).save(files[2], pnginfo=info)
    model = Counting(tiny)
    again = to_tensor(render(model, points(tiny, 4), recipe=RECIPE, batch_size=1, cache=cache))
    assert model.drawn == 3
    assert float((again - first).abs().max()) <= 1.01 / 255
