"""Pictures as points of unCLIP: (z_i, x_T), all that a decoder needs to draw them (Ramesh et al. 2022, section 3).

    z_i = CLIP(picture),   x_T = DDIM inverted under z_i, by fixed-point iteration (`rendering.invert`)

z_i holds what CLIP recognises, x_T the rest. Drawn by DDIM with as many steps, the same guidance and eta 0, the point
gives the picture's reconstruction by the autoencoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.registry import require
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.invert import INVERSION, invert

if TYPE_CHECKING:
    from collections.abc import Sequence


def encode(
    model: Model,
    pictures: Tensor,
    *,
    prompts: Sequence[str] | None = None,
    seed: int = 0,
    recipe: Recipe = INVERSION,
    iterations: int = 5,
) -> list[Point]:
    """A point for each of `pictures` [n, 3, h, w] in [0, 1], of the model's `picture_size`, or of
    another size that its autoencoder's factor divides.

    `prompts` are captions for the decoder (None: none). `seed` is what DDIM's noise is drawn by, where a recipe's eta
    is above 0. The points remember `recipe`. Takes num_inference_steps x iterations predictions of one batch.

    Raises AstrogateError for a model that is no unCLIP and for pictures of a size that it can't draw.
    """
    stack = unclip(model)
    texts = list(prompts or [""] * len(pictures))
    if len(texts) != len(pictures):
        raise AstrogateError(f"{len(texts)} prompts for {len(pictures)} pictures", "give one for each, or none")
    height, width = pictures.shape[-2:] if stack.picture_size == stack.size else (None, None)
    points = [
        stack.point_at(z, text, seed=seed, height=height, width=width)
        for z, text in zip(stack.embed(pictures), texts, strict=True)
    ]
    return invert(stack, pictures, points, recipe=recipe, iterations=iterations)


def unclip(model: Model) -> UnCLIP:
    """The model, which must draw from image embeddings. Raises AstrogateError for others."""
    require(model, "embeds")
    return model  # type: ignore[return-value]
