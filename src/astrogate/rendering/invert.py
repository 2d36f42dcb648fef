"""Pictures -> points: DDIM inversion by fixed-point iteration (Song et al. 2021; Pan et al. 2023, AIDI).

A step of DDIM from y at t to x is undone by the y that solves

    y = step(x, eps(y, t)),    y <- step(x, eps(y, t)) from y = x on

with `ops.ddim.step` from the level of x back to that of y. One iteration is the plain inverse, which takes eps at x.
The point that comes out gives the picture back under DDIM with the same number of steps and the same guidance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from warnings import warn

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.point import Point
from astrogate.core.protocols import Predictor
from astrogate.ops.ddim import step


def fitted(image: Image.Image, height: int, width: int) -> Tensor:
    """A picture [3, h, w] in [0, 1] of the size that is wanted; warns where it is resized."""
    image = image.convert("RGB")
    if image.size != (width, height):
        warn(f"the picture is {image.width} x {image.height}, resized to {width} x {height}", AstrogateWarning, 2)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)


@torch.no_grad()
def invert(
    model: Predictor,
    pictures: Tensor,
    points: Sequence[Point],
    *,
    num_inference_steps: int = 50,
    guidance_scale: float = 1.0,
    iterations: int = 5,
) -> list[Point]:
    """`points`, each with the noise from which DDIM draws its picture; `pictures` [n, 3, h, w] in [0, 1].

    Takes num_inference_steps x iterations predictions, of one batch. Raises AstrogateError for a model without
    step-by-step prediction and where pictures and points don't match in number or size.
    """
    if not hasattr(model, "epsilon"):
        raise AstrogateError(f"{model.name} can't be inverted", "use a Stable Diffusion 1.x or 2.x checkpoint")
    if iterations < 1 or num_inference_steps < 1:
        told = f"{num_inference_steps} steps of {iterations} iterations"
        raise AstrogateError(told, "use 1 (the plain inverse) or more of each")
    if len(pictures) != len(points):
        raise AstrogateError(f"{len(pictures)} pictures for {len(points)} points", "give a point for each picture")
    x = model.latents(pictures)
    if any(point.tensors["latents"].shape != x.shape[1:] for point in points):
        raise AstrogateError("the points make pictures of another size", "resize the pictures, see `fitted`")
    levels = model.levels(num_inference_steps)
    for i in reversed(range(num_inference_steps)):
        (t, a), (_, a_next) = levels[i], levels[i + 1]
        y = x
        for _ in range(iterations):
            eps = model.epsilon(points, y, t, guidance_scale=guidance_scale, u=i / num_inference_steps)
            y = step(x, eps.to(x), a_next, a)
        x = y
    told = {"steps": num_inference_steps, "guidance_scale": guidance_scale, "iterations": iterations}
    return [
        replace(p, tensors={**p.tensors, "latents": z.cpu()}, origin={**p.origin, "inverted": told})
        for p, z in zip(points, x, strict=True)
    ]
