"""Laws of pictures as points of unCLIP."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.image.encode import encode
from astrogate.models.unclip.adapter import UnCLIP

RECIPE = Recipe(25, 1.0)


def drawn(stack: UnCLIP, *points: Point, eta: float = 0.0) -> torch.Tensor:
    return stack.denoise(points, replace(RECIPE, eta=eta))


def test_an_encoded_picture_is_its_reconstruction(stack: UnCLIP, encoded: list[Point], pictures: torch.Tensor) -> None:
    """The denoiser is random, so ten iterations are not exact; they are far closer than the plain inverse."""
    plain = encode(stack, pictures, recipe=RECIPE, iterations=1)
    target = stack.latents(pictures)
    missed = [float((drawn(stack, *found) - target).abs().median()) for found in (plain, encoded)]
    assert missed[1] < missed[0] / 5
    for point, z in zip(encoded, stack.embed(pictures), strict=True):
        assert torch.equal(point.tensors["image_embeds"], z)
        assert point.recipe == replace(RECIPE, scheduler="DDIM")
        assert point.origin["iterations"] == 10


def test_bad_input_is_named(stack: UnCLIP, pictures: torch.Tensor, tiny: Model) -> None:
    with pytest.raises(AstrogateError, match="can't draw from an image embedding"):
        encode(tiny, pictures)
    with pytest.raises(AstrogateError, match="3 prompts for 2 pictures"):
        encode(stack, pictures, prompts=["a"] * 3)
