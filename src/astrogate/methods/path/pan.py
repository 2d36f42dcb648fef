"""Pan: moving the window over noise, so that the picture moves (seed 002's Translation and slice mixing).

`pan` lays the noise of its points side by side as a ring and moves a window of one picture's width over it, by steps
of less than a cell (`ops.noise`). `wipe` replaces one noise by another column by column: the seed's C. The picture
follows the noise but is drawn anew every frame; scenery that stands still is one wide canvas, drawn in overlapping
windows (`Recipe.stride`), of which `views` are cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.core.path import Path
from astrogate.core.point import Point
from astrogate.core.recipe import Frame
from astrogate.ops.noise import finer, shifted, splice


def pan(*points: Point, steps: int = 8, closed: bool = False) -> Path:
    """The window from the noise of the first point to that of the last, or round to the first; the rest is the first's.

    `steps` to a cell: 8 are about a pixel each for Stable Diffusion. Whole cells are exact, so key points are. Raises
    AstrogateError for fewer than two points and for points of different models or sizes.
    """
    first = _checked(points)
    if steps < 1:
        raise AstrogateError(f"{steps} steps a cell", "use 1 or more")
    noise = [point.tensors["latents"] for point in points]
    ring, width = torch.cat(noise, -1), noise[0].shape[-1]
    fine = finer(ring, steps, seed=int(first.origin.get("seed", 0)))
    stretches = len(points) if closed else len(points) - 1
    seeds = [point.origin.get("seed") for point in points]

    def at(u: float) -> Point:
        start = u * stretches * width
        return _with_noise(first, shifted(ring, fine, start, width), {"pan": seeds, "column": start, "steps": steps})

    return Path(at, tuple(i / stretches for i in range(stretches + 1)), closed)


def wipe(start: Point, end: Point) -> Path:
    """From the noise of one point to that of another, column by column from the right; the rest is the first's."""
    first = _checked((start, end))
    a, b = start.tensors["latents"], end.tensors["latents"]
    width = a.shape[-1]

    def at(u: float) -> Point:
        t = round((1 - u) * width)
        return _with_noise(first, splice(a, b, t), {"wipe": end.origin.get("seed"), "column": t})

    return Path(at)


def views(canvas: Frame, n: int, *, width: int | None = None, closed: bool = True) -> Iterator[Frame]:
    """`n` windows of a wide frame, `width` pixels each (None: as wide as it is high), round its end if `closed`."""
    image = canvas.image
    width = width or image.height
    if not 0 < width <= image.width or n < 2:
        raise AstrogateError(f"{n} views of {width} pixels", f"ask for two or more, of at most {image.width} pixels")
    double = Image.new(image.mode, (2 * image.width, image.height))
    double.paste(image, (0, 0))
    double.paste(image, (image.width, 0))
    way = image.width if closed else image.width - width
    for i in range(n):
        left = round(way * i / (n if closed else n - 1))
        yield Frame(double.crop((left, 0, left + width, image.height)), canvas.point, canvas.recipe)


def _checked(points: tuple[Point, ...]) -> Point:
    if len(points) < 2:
        raise AstrogateError(f"{len(points)} points", "name two or more")
    if len({point.model for point in points}) > 1:
        raise AstrogateError("the points come from different models", "make them with one model")
    if len({point.tensors["latents"].shape for point in points}) > 1:
        raise AstrogateError("the points make pictures of different sizes", "make them of one size")
    return points[0]


def _with_noise(point: Point, latents: torch.Tensor, told: dict[str, object]) -> Point:
    return replace(point, tensors={**point.tensors, "latents": latents}, origin={**point.origin, **told})
