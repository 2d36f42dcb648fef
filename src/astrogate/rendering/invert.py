"""Pictures -> points: DDIM inversion by fixed-point iteration (Song et al. 2021; Pan et al. 2023, AIDI).

A step of DDIM from y at t to x is undone by the y that solves

    y = step(x, eps(y, t)),    y <- step(x, eps(y, t)) from y = x on

with `ops.ddim.step` from the level of x back to that of y. One iteration is the plain inverse, which takes eps at x.
The point that comes out gives the picture back under DDIM with the same number of steps and the same guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Predictor
from astrogate.core.recipe import Recipe
from astrogate.core.values import several, whole
from astrogate.models.finite import check_made
from astrogate.models.registry import require
from astrogate.ops.ddim import step

#: What a picture is inverted by: guidance makes the way back less exact.
INVERSION = Recipe(50, 1.0)


def by_ddim(recipe: Recipe) -> Recipe:
    """The recipe, saying DDIM. Raises AstrogateError for one of another scheduler, or with noise in every step."""
    if recipe.scheduler not in (None, "DDIM", "DDIMScheduler") or recipe.eta:
        raise AstrogateError(f"{recipe.scheduler or 'DDIM'} with eta {recipe.eta:g}", "use DDIM with eta 0")
    return replace(recipe, scheduler="DDIM")


@torch.no_grad()
def invert(
    model: Predictor,
    pictures: Tensor,
    points: Sequence[Point],
    *,
    recipe: Recipe = INVERSION,
    iterations: int = 5,
) -> list[Point]:
    """`points`, each with the noise from which DDIM draws its picture; `pictures` [n, 3, h, w] in [0, 1].

    The points remember `recipe`, and are drawn by it unless another one is asked for. Takes num_inference_steps x
    iterations predictions, of one batch. Raises AstrogateError for a model that can't invert, for another scheduler
    than DDIM, and where pictures and points don't match in number or size.
    """
    require(model, "invert")
    drawn = by_ddim(recipe)
    iterations = whole(iterations, "{} iterations", 1, 1000, "use 1 (the plain inverse) to 1000")
    points = several(points, Point, "point", "make one by model.point(prompt)")
    if len(pictures) != len(points):
        raise AstrogateError(f"{len(pictures)} pictures for {len(points)} points", "give a point for each picture")
    x = model.latents(pictures)
    if any(point.tensors["latents"].shape != x.shape[1:] for point in points):
        raise AstrogateError("the points make pictures of another size", "resize the pictures, see `fitted`")
    steps, guidance_scale = recipe.num_inference_steps, recipe.guidance_scale
    levels = model.levels(steps)
    for i in reversed(range(steps)):
        (t, a), (_, a_next) = levels[i], levels[i + 1]
        y = x
        for _ in range(iterations):
            eps = model.epsilon(points, y, t, guidance_scale=guidance_scale, u=i / steps)
            y = step(x, eps.to(x), a_next, a)
        x = y
        check_made([x], f"latents at step {i + 1} of the inversion", {})
    return [
        replace(
            p, tensors={**p.tensors, "latents": z.cpu()}, recipe=drawn, origin={**p.origin, "iterations": iterations}
        )
        for p, z in zip(points, x, strict=True)
    ]
