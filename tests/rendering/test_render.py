"""Frames, sheets and files: whole or absent, and able to say how they were made."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import generator, noise
from astrogate.methods.edit.contrast import contrast
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.record import read_record, records, save_png
from astrogate.rendering.render import render
from astrogate.rendering.sheet import sheet

RECIPE, NAN = Recipe(num_inference_steps=2), float("nan")


def test_render_is_a_generator_and_deterministic(tiny: Model) -> None:
    points = [tiny.point("a dog", seed=s) for s in range(3)]
    stream = render(tiny, points, recipe=RECIPE)
    assert next(stream).point is points[0]
    again = list(render(tiny, points, recipe=RECIPE))
    assert all(
        np.array_equal(a.image, b.image) for a, b in zip(render(tiny, points, recipe=RECIPE), again, strict=True)
    )


def test_render_takes_one_point_none_or_a_stream(tiny: Model) -> None:
    point = tiny.point("a dog")
    assert len(list(render(tiny, point, recipe=RECIPE))) == 1
    assert list(render(tiny, [], recipe=RECIPE)) == []
    assert len(list(render(tiny, (point for _ in range(5)), recipe=RECIPE, batch_size=2))) == 5
    with pytest.raises(AstrogateError, match="batch size 0"):
        list(render(tiny, point, batch_size=0))


def test_sizes(tiny: Model) -> None:
    point = tiny.point("a dog", height=16, width=24)
    recipe = Recipe(num_inference_steps=2, height=16, width=24)
    assert next(render(tiny, point, recipe=recipe)).image.size == (24, 16)
    with pytest.raises(AstrogateError, match="24 x 16"):
        list(render(tiny, point, recipe=Recipe(num_inference_steps=2, height=16, width=16)))
    with pytest.raises(AstrogateError, match="multiples of 8"):
        tiny.point("a dog", height=17)


def test_recipes_are_values() -> None:
    assert Recipe() == Recipe()
    assert hash(Recipe()) == hash(Recipe())
    assert Recipe(**Recipe(7, 3.0).to_json()).hash == Recipe(7, 3.0).hash != Recipe().hash
    assert Recipe(7.0, 3, height=16.0).hash == Recipe(7, 3.0, height=16).hash  # type: ignore[arg-type]
    assert Recipe().resolved("float16") == Recipe(dtype="float16") == Recipe(dtype="float16").resolved("float32")
    for bad in (
        *({"num_inference_steps": steps} for steps in (0, 501, 2.5, NAN, float("inf"))),
        *({"guidance_scale": scale} for scale in (-1.0, NAN)), {"eta": 1.1}, {"dtype": "int8"}, {"height": 7},
    ):  # fmt: skip
        with pytest.raises(AstrogateError):
            Recipe(**bad)  # type: ignore[arg-type]


def test_a_point_is_drawn_by_its_own_recipe_or_the_models(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    found = replace(point, recipe=Recipe(3, 1.0, scheduler="DDIM"))
    assert next(render(tiny, point)).recipe == tiny.recipe
    own = next(render(tiny, found))
    assert own.recipe == found.recipe
    assert np.array_equal(own.image, next(render(tiny, point, recipe=found.recipe)).image)
    with pytest.warns(AstrogateWarning, match="found by num_inference_steps 3 and is drawn by 2"):
        assert next(render(tiny, found, recipe=Recipe(2, 1.0))).recipe == Recipe(2, 1.0)
    with pytest.warns(AstrogateWarning, match="found by guidance_scale 1 and is drawn by 4"):
        next(render(tiny, found, recipe=Recipe(3, scheduler=own.recipe.scheduler)))
    with warnings.catch_warnings():  # eta is there to draw other pictures
        warnings.simplefilter("error")
        next(render(tiny, found, recipe=replace(found.recipe, eta=1.0)))
    with pytest.warns(AstrogateWarning, match="found by scheduler DDIM and is drawn by EulerDiscrete"):
        next(render(tiny, found, recipe=replace(found.recipe, scheduler="EulerDiscreteScheduler")))
    same = replace(found.recipe, scheduler=None)
    next(render(tiny, replace(point, recipe=replace(same, scheduler=tiny.scheduler)), recipe=same))


def test_pictures_that_are_no_numbers_are_neither_shown_nor_kept(tiny: Model, tmp_path: Path) -> None:
    points = [tiny.point("a dog", seed=s) for s in range(3)]
    endless = tiny.point("a dog").tensors["latents"] * NAN
    points[1] = replace(points[1], tensors={**points[1].tensors, "latents": endless})
    for batch_size in (2, 3):
        with pytest.raises(AstrogateError, match="latents of a point are not finite"):
            list(render(tiny, points, recipe=RECIPE, batch_size=batch_size, cache=FrameCache(tmp_path)))
    assert not list(tmp_path.rglob("*.png"))


def test_a_size_is_refused_before_anything_is_drawn(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "denoise", lambda *given: pytest.fail("drawn"))
    with pytest.raises(AstrogateError, match="pictures of 16 x 16, the recipe says 32 x 32"):
        next(render(tiny, tiny.point("a dog"), recipe=Recipe(2, height=32, width=32)))


def test_noise_is_what_diffusers_draws() -> None:
    from diffusers.utils.torch_utils import randn_tensor

    drawn = randn_tensor((1, 4, 8, 8), generator=[generator(11)])
    assert np.array_equal(noise((4, 8, 8), 11), drawn[0])
    with pytest.raises(AstrogateError, match="seed -1"):
        generator(-1)


def test_to_tensor_inverts_rendering(tiny: Model) -> None:
    frames = list(render(tiny, [tiny.point("a dog", seed=s) for s in range(2)], recipe=RECIPE))
    assert np.array_equal(to_tensor(frames)[1].permute(1, 2, 0).numpy() * 255, np.asarray(frames[1].image, np.float32))


def test_sheet_lays_out_rows_and_labels(tiny: Model) -> None:
    frames = list(render(tiny, [tiny.point("a dog", seed=s) for s in range(6)], recipe=RECIPE))
    bare = sheet(frames, columns=3, tile=16)
    assert bare.size == (3 * 20 + 4, 2 * 20 + 4)
    assert np.array_equal(np.asarray(bare)[4:20, 24:40], np.asarray(frames[1].image))
    assert np.array_equal(np.asarray(bare)[24:40, 4:20], np.asarray(frames[3].image))
    labelled = sheet(frames, columns=3, labels=["-1", "0", "+1"], rows=["a", "b"], tile=100)
    assert labelled.size[0] > 3 * 112
    with pytest.raises(AstrogateError, match="no frames"):
        sheet([])
    told = sheet(frames, columns=3, labels=["a dog in the snow at night", "", ""], tile=100)
    assert told.width == sheet(frames, columns=3, tile=100).width
    assert told.height > labelled.height


def test_png_carries_what_makes_it_again(tiny: Model, tmp_path: Path) -> None:
    point = tiny.point("a dog", seed=4, negative="sad")
    direction = contrast(tiny, "fat", "thin", media=("photo",), subjects=("dog",))
    edited = point.apply(direction.at(point), -0.5).held(0.3, 0.7)
    frame = next(render(tiny, edited, recipe=RECIPE))
    save_png(frame.image, tmp_path / "x.png", frame=frame, more={"scales": [1]})
    image = Image.open(tmp_path / "x.png")
    kept = json.loads(image.text["astrogate"])
    assert kept == read_record(tmp_path / "x.png")
    assert kept["point"]["prompt"] == "a dog"
    assert (kept["point"]["seed"], kept["point"]["draw"]) == (4, 0)
    assert [(edit["name"], edit["scale"]) for edit in kept["edits"]] == [("fat - thin", -0.5)]
    assert kept["edits"][0]["direction"]["toward"] == "fat"
    assert kept["hold"] == [0.3, 0.7]
    assert kept["point"]["fingerprint"] == tiny.fingerprint
    assert kept["scales"] == [1]
    assert Recipe(**kept["recipe"]) == RECIPE
    assert records(tmp_path / "x.png", frame, {"scales": [1]})
    assert not records(tmp_path / "x.png", frame, {"scales": [2]})
    head, negative, settings = image.text["parameters"].split("\n")
    assert (head, negative) == ("a dog", "Negative prompt: sad")
    assert settings.startswith("Steps: 2, Sampler: default, CFG scale: 4, Seed: 4, Size: 16x16")
    again = tiny.point(kept["point"]["prompt"], seed=kept["point"]["seed"], negative=kept["point"]["negative"])
    again = again.apply(direction.at(again), kept["edits"][0]["scale"]).held(*kept["hold"])
    remade = next(render(tiny, again, recipe=Recipe(**kept["recipe"])))
    assert np.array_equal(remade.image, image)
