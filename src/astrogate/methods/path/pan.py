"""Pan: moving the window over noise, so that the picture moves.

By "window" the noise of the points lies side by side as a ring, and a window of one picture's width moves over it, by
steps of less than a cell (`ops.noise`). By "columns" one noise replaces another column by column, from the right. The
picture follows the noise but is drawn anew every frame; scenery that stands still is one wide canvas, drawn in
overlapping windows (`Recipe.stride`), of which `crop_views` cuts views.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.core.path import Path
from astrogate.core.point import Point
from astrogate.core.recipe import Frame
from astrogate.core.values import several, whole
from astrogate.ops.noise import finer, shifted, splice


def pan(*points: Point, by: Literal["window", "columns"] = "window", steps: int = 8, closed: bool = False) -> Path:
    """From the noise of the first point to that of the last, or round to the first; the rest is the first's.

    A window moves in `steps` to a cell: 8 are about a pixel each for Stable Diffusion. Whole cells are exact, so key
    points are. Raises AstrogateError for fewer than two points and for points of different models or sizes.
    """
    first = _checked(points)
    if by not in ("window", "columns"):
        raise AstrogateError(f"by {by!r}", "choose window or columns")
    steps = whole(steps, "{} steps per cell", 1, 1000, "use 1 or more")
    noise, seeds = [point.tensors["latents"] for point in points], [point.seed for point in points]
    ring, width = torch.cat(noise, -1), noise[0].shape[-1]
    fine = finer(ring, steps, seed=first.seed) if by == "window" else ring
    stretches = len(points) if closed else len(points) - 1

    def windowed(u: float) -> Point:
        column = u * stretches * width
        return moved(shifted(ring, fine, column, width), {"column": column, "steps": steps})

    def spliced(u: float) -> Point:
        column = round(u * stretches * width)
        i = min(column // width, stretches - 1)
        left = width * (i + 1) - column
        return moved(splice(noise[i], noise[(i + 1) % len(noise)], left), {"column": column})

    def moved(latents: torch.Tensor, told: dict[str, object]) -> Point:
        origin = {**first.origin, "pan": {"seeds": seeds, "by": by, **told}}
        return replace(first, tensors={**first.tensors, "latents": latents}, origin=origin)

    return Path(windowed if by == "window" else spliced, tuple(i / stretches for i in range(stretches + 1)), closed)


def crop_views(canvas: Frame, n: int, *, width: int | None = None, closed: bool = True) -> Iterator[Frame]:
    """`n` windows of a wide frame, `width` pixels each (None: as wide as it is high), round its end if `closed`."""
    (canvas,) = several(canvas, Frame, "frame", "give what `render` draws")
    image = canvas.image
    width = whole(width or image.height, "views of {} pixels", 1, image.width)
    n = whole(n, "{} views", 2, 1_000_000, "ask for two or more")
    double = Image.new(image.mode, (2 * image.width, image.height))
    double.paste(image, (0, 0))
    double.paste(image, (image.width, 0))
    way = image.width if closed else image.width - width
    for i in range(n):
        left = round(way * i / (n if closed else n - 1))
        yield replace(canvas, image=double.crop((left, 0, left + width, image.height)))


def _checked(points: tuple[Point, ...]) -> Point:
    points = tuple(several(points, Point, "point", "name two or more, made by model.point(prompt)"))
    if len(points) < 2:
        raise AstrogateError(f"{len(points)} points", "name two or more")
    if len({point.model for point in points}) > 1:
        raise AstrogateError("the points come from different models", "make them with one model")
    if len({point.tensors["latents"].shape for point in points}) > 1:
        raise AstrogateError("the points make pictures of different sizes", "make them of one size")
    return points[0]
