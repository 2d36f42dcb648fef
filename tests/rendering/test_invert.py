"""Laws of inversion: a picture that a model drew comes back, the better the more iterations."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from PIL import Image

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.path.walk import redrawn
from astrogate.rendering.invert import fitted, invert

STEPS = 10


class Known:
    """A model whose latents of a picture are known: the autoencoder of a random checkpoint loses them."""

    def __init__(self, model: Model, known: torch.Tensor) -> None:
        self.model, self.known = model, known

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def latents(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.known


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_what_was_drawn_comes_back_closer_with_every_iteration(tiny: Model, guidance: float) -> None:
    points = [tiny.point("a dog", seed=1), tiny.point("a cat in snow", seed=2)]
    recipe = Recipe(STEPS, guidance_scale=guidance, scheduler="DDIM")
    drawn = tiny.denoise(points, recipe)
    unknown = [redrawn(point, 9) for point in points]
    missed: list[float] = []
    for iterations in (1, 3, 10):
        model: Any = Known(tiny, drawn)
        inverted = invert(
            model,
            torch.zeros(2, 3, 8, 8),
            unknown,
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            iterations=iterations,
        )
        missed.append(float((tiny.denoise(inverted, recipe) - drawn).abs().max() / drawn.abs().max()))
    assert missed[0] > 5 * missed[1] > 25 * missed[2]
    assert missed[2] < 1e-4
    for point, found in zip(points, inverted, strict=True):
        assert torch.allclose(found.tensors["latents"], point.tensors["latents"], atol=1e-3)
    assert inverted[0].origin["inverted"] == {"steps": STEPS, "guidance_scale": guidance, "iterations": 10}


def test_latents_are_what_decodes_to_a_picture(tiny: Model) -> None:
    """The scale is the checkpoint's own: diffusers' means times its factor."""
    model: Any = tiny
    pictures = torch.rand((1, 3, tiny.size, tiny.size), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        means = model.pipe.vae.encode(2 * pictures - 1).latent_dist.mean
    assert torch.equal(model.latents(pictures), means * model.pipe.vae.config.scaling_factor)


def test_a_scheduler_that_clips_cannot_be_inverted(tiny: Model) -> None:
    model: Any = tiny
    own = model.pipe.scheduler
    model.pipe.scheduler = type(own).from_config(own.config, clip_sample=True)
    try:
        with pytest.raises(AstrogateError, match="clip_sample"):
            model.levels(5)
    finally:
        model.pipe.scheduler = own


def test_a_picture_of_another_size_is_resized_and_said_so() -> None:
    image = Image.new("L", (40, 30), 128)
    with pytest.warns(AstrogateWarning, match="40 x 30, resized to 32 x 32"):
        assert fitted(image, 32, 32).shape == (3, 32, 32)
    assert float(fitted(Image.new("RGB", (32, 32), (255, 0, 0)), 32, 32)[0].min()) == 1


def test_bad_inversions(tiny: Model, tiny_folders: object) -> None:
    from astrogate.models.loading.load import load

    point = tiny.point("a dog", seed=1)
    pictures = torch.rand(1, 3, tiny.size, tiny.size)
    with pytest.raises(AstrogateError, match="iterations"):
        invert(tiny, pictures, [point], iterations=0)  # type: ignore[arg-type]
    with pytest.raises(AstrogateError, match="a point for each"):
        invert(tiny, pictures, [point, point])  # type: ignore[arg-type]
    with pytest.raises(AstrogateError, match="another size"):
        invert(tiny, torch.rand(1, 3, 64, 128), [point])  # type: ignore[arg-type]
    flux = load(str(tiny_folders("flux")), device="cpu")  # type: ignore[operator]
    with pytest.raises(AstrogateError, match="can't be inverted"):
        invert(flux, pictures, [point])  # type: ignore[arg-type]
