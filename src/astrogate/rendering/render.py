"""`render`: points -> frames. Everything that draws goes through it.

Points go through the model in batches of one size, the last padded, so that numerics and compiled shapes do not depend
on where a frame falls. It is a generator: frames come as they are made, and nothing is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import islice

from PIL import Image
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Frame, Recipe


def render(
    model: Model, points: Point | Iterable[Point], *, recipe: Recipe | None = None, batch_size: int = 8
) -> Iterator[Frame]:
    """Draw points, in order.

    `batch_size` is the most that is drawn at once; a sequence is cut into equal batches. Raises AstrogateError for a
    point of another model or a size that the recipe does not have.
    """
    recipe = recipe or Recipe()
    if batch_size < 1:
        raise AstrogateError(f"batch size {batch_size}", "use 1 or more")
    if isinstance(points, Point):
        points = [points]
    if isinstance(points, Sized):
        rounds = -(-len(points) // batch_size)
        batch_size = -(-len(points) // rounds) if rounds else batch_size
    stream = iter(points)
    while batch := list(islice(stream, batch_size)):
        padded = batch + [batch[-1]] * (batch_size - len(batch))
        pictures = model.decode(model.denoise(padded, recipe))
        _check_size(recipe, pictures)
        for point, picture in zip(batch, to_images(pictures), strict=False):
            yield Frame(picture, point, recipe)


def _check_size(recipe: Recipe, pictures: Tensor) -> None:
    height, width = pictures.shape[-2:]
    if recipe.height not in (None, height) or recipe.width not in (None, width):
        raise AstrogateError(
            f"the points make pictures of {width} x {height}, the recipe says {recipe.width} x {recipe.height}",
            "make the points with model.point(..., height=, width=)",
        )


def to_images(pictures: Tensor) -> Sequence[Image.Image]:
    """Pictures [n, 3, h, w] in [0, 1] as PIL images, rounded as diffusers rounds them."""
    return [Image.fromarray(array) for array in (pictures.permute(0, 2, 3, 1).numpy() * 255).round().astype("uint8")]


def to_tensor(frames: Iterable[Frame]) -> Tensor:
    """Frames as pictures [n, 3, h, w] in [0, 1], what readers and distances take."""
    import numpy as np
    import torch

    return torch.from_numpy(np.stack([np.asarray(f.image) for f in frames])).permute(0, 3, 1, 2).float() / 255
