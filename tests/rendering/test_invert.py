"""Laws of inversion: a picture that a model drew comes back, the better the more iterations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.registry import AbilityError
from astrogate.rendering.invert import invert
from astrogate.rendering.render import render
from tests.checkpoints import made, steered

STEPS = 10


class Known:
    """A model whose latents of a picture are known: the autoencoder of a random checkpoint loses them."""

    def __init__(self, model: Model, known: torch.Tensor) -> None:
        self.model, self.known = model, known

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def latents(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.known


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_what_was_drawn_comes_back_closer_with_every_iteration(model: Any, family: str, guidance: float) -> None:
    points = [made(model, family, "a dog", seed=1), made(model, family, "a cat", seed=2)]
    recipe = Recipe(STEPS, guidance, scheduler="DDIM")
    drawn = model.denoise(points, recipe)
    missed: list[float] = []
    for iterations in (1, 3, 10):
        known: Any = Known(model, drawn)
        starts = [point.with_noise(9) for point in points]
        inverted = invert(
            known, torch.zeros(2, 3, 16, 16), starts, recipe=replace(recipe, scheduler=None), iterations=iterations
        )
        missed.append(float((model.denoise(inverted, recipe) - drawn).abs().max() / drawn.abs().max()))
    assert missed[0] > 5 * missed[1] > 25 * missed[2]
    assert missed[2] < 1e-4
    for point, found in zip(points, inverted, strict=True):
        assert torch.allclose(found.tensors["latents"], point.tensors["latents"], atol=1e-3)
        assert (found.recipe, found.origin["iterations"]) == (recipe, 10)
    assert [frame.recipe for frame in render(model, inverted)] == [recipe, recipe]


def test_an_edited_point_is_inverted_with_its_edit(tiny: Model) -> None:
    """Its picture comes back where the edit acts as it did, in its window."""
    point = tiny.point("a dog", seed=1)
    edited = point.apply(steered(tiny, point, window=(0.0, 0.5)))
    recipe = Recipe(STEPS, 1.0, scheduler="DDIM")
    model: Any = Known(tiny, tiny.denoise([edited], recipe))
    (found,) = invert(model, torch.zeros(1, 3, 16, 16), [edited.with_noise(9)], recipe=recipe, iterations=10)
    assert torch.allclose(found.tensors["latents"], point.tensors["latents"], atol=1e-3)


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


def test_bad_inversions(tiny: Model, tiny_folders: object) -> None:
    from astrogate.models.loading.load import load

    point = tiny.point("a dog", seed=1)
    pictures = torch.rand(1, 3, tiny.size, tiny.size)
    with pytest.raises(AstrogateError, match="iterations"):
        invert(tiny, pictures, [point], iterations=0)  # type: ignore[arg-type]
    for recipe in (Recipe(5, 1.0, scheduler="EulerDiscrete"), Recipe(5, 1.0, eta=0.5)):
        with pytest.raises(AstrogateError, match="use DDIM with eta 0"):
            invert(tiny, pictures, [point], recipe=recipe)  # type: ignore[arg-type]
    with pytest.raises(AstrogateError, match="a point for each"):
        invert(tiny, pictures, [point, point])  # type: ignore[arg-type]
    with pytest.raises(AstrogateError, match="another size"):
        invert(tiny, torch.rand(1, 3, 64, 128), [point])  # type: ignore[arg-type]
    flux = load(str(tiny_folders("flux")), device="cpu")  # type: ignore[operator]
    with pytest.raises(AbilityError, match="can't find the noise of a picture: use a model of"):
        invert(flux, pictures, [point])  # type: ignore[arg-type]
