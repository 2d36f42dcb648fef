"""Laws of variations."""

from __future__ import annotations

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.methods.image.vary import vary
from astrogate.models.unclip.adapter import UnCLIP


def drawn(stack: UnCLIP, *points: Point, eta: float = 0.0) -> torch.Tensor:
    return stack.denoise(points, Recipe(25, 1.0, eta=eta))


def test_variations_differ_by_eta_and_seed_alone(stack: UnCLIP, encoded: list[Point]) -> None:
    several = vary(encoded[0], 3, seed=5)
    still, noisy = drawn(stack, *several), drawn(stack, *several, eta=1.0)
    assert torch.allclose(still[0], still[2], atol=1e-4)
    assert not torch.allclose(noisy[0], noisy[2], atol=1e-2)
    assert torch.equal(noisy, drawn(stack, *vary(encoded[0], 3, seed=5), eta=1.0))
    with pytest.raises(AstrogateError, match="1 or more"):
        vary(encoded[0], 0)
