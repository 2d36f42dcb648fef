"""Laws of CLIP guidance: scale 0 is plain DDIM; the gradient raises the cosine; levels and noise are diffusers' own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.methods.edit.clip_guided import clip_guided
from astrogate.models.loading.load import load
from astrogate.ops.ddim import clean, step
from astrogate.rendering.render import render
from tests.checkpoints import made, steered

RECIPE = Recipe(6, guidance_scale=3.0)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_scale_zero_is_plain_ddim(
    tiny_folder: Path, tmp_path: Path, clip: Clip, prediction: str, guidance: float
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "prediction_type": prediction}))
    model: Any = load(str(folder), device="cpu")
    points, recipe = [model.point("a dog", seed=s) for s in (1, 2)], Recipe(6, guidance_scale=guidance)
    *_, last = clip_guided(model, clip, points, "a cat", scale=0.0, recipe=recipe)
    for ours, plain in zip(last.frames, render(model, points, recipe=recipe), strict=True):
        assert np.abs(np.asarray(ours.image, int) - np.asarray(plain.image, int)).max() <= 1
    assert last.u == 1


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
def test_edited_and_held_points_are_drawn_as_the_pipeline_draws_them(model: Any, family: str, clip: Clip) -> None:
    point, other = made(model, family, seed=1), made(model, family, "a cat", seed=2)
    points = [point.apply(steered(model, point, window=(0.0, 0.5))).held(1.0, 0.5), other.apply(steered(model, other))]
    recipe = Recipe(6, 3.0, scheduler="DDIM")
    *_, last = clip_guided(model, clip, points, "a cat", scale=0.0, recipe=recipe)
    assert [frame.point.edits for frame in last.frames] == [point.edits for point in points]
    for ours, plain in zip(last.frames, render(model, points, recipe=recipe), strict=True):
        assert np.abs(np.asarray(ours.image, int) - np.asarray(plain.image, int)).max() <= 1


def test_the_gradient_raises_the_cosine(tiny: Any, clip: Clip) -> None:
    """Also from the negative prompt alone, where CLIP is all that knows the text."""
    points = [tiny.point("a dog", seed=s) for s in range(3)]
    for recipe in (RECIPE, Recipe(6, guidance_scale=0.0)):
        ends = [
            [s.cosines for s in clip_guided(tiny, clip, points, "a happy cat", scale=scale, recipe=recipe)][-1]
            for scale in (0.0, 0.3)
        ]
        assert all(pulled > plain + 0.01 for plain, pulled in zip(*ends, strict=True))
    assert not any(p.grad is not None for p in tiny.module("unet").parameters())
    assert not tiny.denoiser._forward_pre_hooks


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
def test_without_guidance_the_negative_prompt_alone_is_seen(model: Any, family: str, clip: Clip) -> None:
    """By every tensor of it, the pooled text among them."""
    point, other = model.point("a dog", seed=1, negative="a sad cat"), model.point("a sad cat", seed=1)
    unguided, plain = (
        [*clip_guided(model, clip, [p], "a cat", scale=0.0, recipe=Recipe(3, guidance_scale=g))][-1].frames[0].image
        for p, g in ((point, 0.0), (other, 1.0))
    )
    assert np.abs(np.asarray(unguided, int) - np.asarray(plain, int)).max() <= 1


def test_frames_say_what_pulled_them(tiny: Any, clip: Clip) -> None:
    *_, last = clip_guided(tiny, clip, [tiny.point("a dog")], "a cat", scale=0.2, recipe=RECIPE)
    assert last.frames[0].point.origin["clip_guided"] == {"method": "clip_guided", "text": "a cat", "scale": 0.2}
    assert last.frames[0].recipe == replace(RECIPE, scheduler="DDIM")


def test_ddim_there_and_back() -> None:
    g = torch.Generator().manual_seed(0)
    x, eps = torch.randn(3, 4, generator=g), torch.randn(3, 4, generator=g)
    there = step(x, eps, 0.2, 0.7)
    assert torch.allclose(step(there, eps, 0.7, 0.2), x, atol=1e-5)
    assert torch.allclose(step(x, eps, 0.2, 1.0), clean(x, eps, 0.2))


def test_distance_is_zero_for_equal_pictures_and_grows(clip: Clip) -> None:
    g = torch.Generator().manual_seed(0)
    a, noise = torch.rand(5, 3, 24, 24, generator=g), torch.randn(5, 3, 24, 24, generator=g)
    assert torch.equal(clip.between(a, a), torch.zeros(5))
    near, far = (clip.between(a, (a + s * noise).clamp(0, 1)) for s in (0.02, 0.2))
    assert (near > 0).all()
    assert (far > near).all()
    assert torch.allclose(clip.between(a, a.flip(0)), clip.between(a.flip(0), a), atol=1e-6)
    assert torch.allclose(clip.between(a, a.flip(0), batch_size=2), clip.between(a, a.flip(0)), atol=1e-5)
    with pytest.raises(AstrogateError, match="shapes"):
        clip.between(a, a[:3])


def test_bad_requests_are_refused(tiny: Any, clip: Clip, tiny_folders: Any) -> None:
    points = [tiny.point("a dog")]
    for match, text, scale in (("empty", " ", 0.1), ("scale", "a cat", float("nan")), ("scale", "a cat", -1)):
        with pytest.raises(AstrogateError, match=match):
            next(clip_guided(tiny, clip, points, text, scale=scale))
    for options, match in (
        ({"scheduler": "EulerDiscrete"}, "EulerDiscrete with eta 0: use DDIM"),
        ({"eta": 0.5}, "DDIM with eta 0.5"),
        ({"dtype": "bfloat16"}, "dtype bfloat16 on a model of float32"),
        ({"height": 24, "width": 24}, "the recipe says 24 x 24"),
    ):
        with pytest.raises(AstrogateError, match=match):
            next(clip_guided(tiny, clip, points, "a cat", recipe=replace(RECIPE, **options)))  # type: ignore[arg-type]
    other: Model = load(str(tiny_folders("stable_diffusion_3")), device="cpu")
    with pytest.raises(AstrogateError, match="can't predict noise step by step"):
        next(clip_guided(other, clip, [other.point("a dog")], "a cat"))  # type: ignore[arg-type]
