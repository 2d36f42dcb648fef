"""Frames, sheets and files: whole or absent, and able to say how they were made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_file, write_text
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import generator, noise
from astrogate.methods.edit.contrast import contrast
from astrogate.methods.edit.slide import slide
from astrogate.rendering.png import save_png
from astrogate.rendering.render import render, to_tensor
from astrogate.rendering.sheet import sheet

RECIPE = Recipe(num_inference_steps=2)


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
    with pytest.raises(AstrogateError, match="multiples of 2"):
        tiny.point("a dog", height=17)


def test_recipes_are_values() -> None:
    assert Recipe() == Recipe()
    assert hash(Recipe()) == hash(Recipe())
    assert Recipe(**Recipe(7, 3.0).to_json()).hash == Recipe(7, 3.0).hash != Recipe().hash
    for bad in ({"num_inference_steps": 0}, {"guidance_scale": float("nan")}, {"dtype": "int8"}, {"height": 7}):
        with pytest.raises(AstrogateError):
            Recipe(**bad)  # type: ignore[arg-type]


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
    frame = list(render(tiny, slide(point, direction, -1, 1, n=3), recipe=RECIPE))[2]
    save_png(frame.image, tmp_path / "x.png", frame=frame, more={"scales": [1]})
    image = Image.open(tmp_path / "x.png")
    kept = json.loads(image.text["astrogate"])
    assert kept["point"]["prompt"] == "a dog"
    assert kept["point"]["seed"] == 4
    assert kept["steers"][0]["scale"] == 1.0
    assert kept["steers"][0]["name"] == "fat - thin"
    assert kept["steers"][0]["direction"]["toward"] == "fat"
    assert kept["point"]["fingerprint"] == tiny.fingerprint
    assert kept["scales"] == [1]
    assert Recipe(**kept["recipe"]) == RECIPE
    head, negative, settings = image.text["parameters"].split("\n")
    assert (head, negative) == ("a dog", "Negative prompt: sad")
    assert settings.startswith("Steps: 2, Sampler: default, CFG scale: 4, Seed: 4, Size: 16x16")
    again = tiny.point(kept["point"]["prompt"], seed=kept["point"]["seed"], negative=kept["point"]["negative"])
    strip = slide(again, direction, -1, 1, n=3)
    remade = list(render(tiny, strip, recipe=Recipe(**kept["recipe"])))[2]
    assert np.array_equal(remade.image, image)


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "first")

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "first"
    assert os.listdir(path.parent) == ["file.txt"]
    with pytest.raises(AstrogateError, match="cannot write"):
        write_text(path / "below-a-file", "x")
    with pytest.raises(AstrogateError, match="cannot write"):
        write_text(path.parent, "a folder")
