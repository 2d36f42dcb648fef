"""`render`: points -> frames. Everything that draws goes through it.

Points go through the model in batches of one size, the last padded, so that numerics and compiled shapes do not depend
on where a frame falls. It is a generator: frames come as they are made, and no more than a few batches are held. With a
cache, only what is not there is drawn, and a batch is kept as soon as it is drawn, so an interrupted run resumes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from warnings import warn

import torch
from PIL import Image
from torch import Tensor

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.point import Point, check_tensors
from astrogate.core.progress import unseen
from astrogate.core.protocols import UNKNOWN, Model
from astrogate.core.recipe import Frame, Recipe
from astrogate.core.values import several, whole
from astrogate.rendering.cache import FrameCache, frame_key
from astrogate.rendering.pixels import to_images

#: What to give for a point.
POINT = "make one by model.point(prompt)"
#: The most pictures that are drawn at once.
MOST = 1_000


@dataclass(slots=True)
class _Waiting:
    """A point in the queue, its key in the cache, its picture and the weights that drew it, or another of the same key
    that is to be drawn.
    """

    point: Point
    key: str = ""
    picture: Image.Image | None = None
    weights: str = ""
    same: _Waiting | None = None

    @property
    def image(self) -> Image.Image | None:
        """The picture, once there is one."""
        return self.picture if self.same is None else self.same.picture


def render(
    model: Model,
    points: Point | Iterable[Point],
    *,
    recipe: Recipe | None = None,
    batch_size: int = 8,
    cache: FrameCache | None = None,
    progress: bool = False,
) -> Iterator[Frame]:
    """Draw points, in order.

    `recipe` None is that by which a point's noise was found, or the model's own. `batch_size` is the most that is drawn
    at once; a sequence is cut into equal batches. `progress` shows a bar. Several threads may draw on one model: they
    take turns. Raises AstrogateError for a point of another model or a size that the recipe does not have.
    """
    batch_size = whole(batch_size, "batch size", 1, MOST)
    if isinstance(points, Point) or not isinstance(points, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]
        points = several(points, Point, "point", POINT)
    for given, kind, remedy in ((recipe, Recipe, "give a Recipe"), (cache, FrameCache, "give a FrameCache(folder)")):
        if not isinstance(given, kind | None):
            raise AstrogateError(f"a {type(given).__name__} is no {kind.__name__}", remedy)
    frames = _frames(model, points, recipe, batch_size, cache)
    if not progress:
        return frames
    from tqdm.auto import tqdm

    return iter(
        tqdm(frames, total=len(points) if isinstance(points, Sized) else None, unit="picture", disable=unseen())
    )


def _frames(
    model: Model, points: Iterable[Point], asked: Recipe | None, batch_size: int, cache: FrameCache | None
) -> Iterator[Frame]:
    recipe = asked or model.recipe
    if isinstance(points, Sized):
        rounds = -(-len(points) // batch_size)
        batch_size = -(-len(points) // rounds) if rounds else batch_size
    weights = "" if cache is None else model.weights
    if weights.startswith(UNKNOWN):
        told = "code of others works in the model (a hook, a processor, a method): its pictures are not kept"
        warn(told, AstrogateWarning, stacklevel=4)
        cache = None
    queue: deque[_Waiting] = deque()
    missing: dict[str, _Waiting] = {}
    sizes = set[tuple[int, int]]()
    for i, point in enumerate(points):
        if not isinstance(point, Point):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise AstrogateError(f"a {type(point).__name__} is no point", POINT)
        item = _Waiting(point, str(i))
        if point.recipe is not None:
            if asked is None and i == 0:
                recipe = point.recipe
            _check_inverted(model, point.recipe, recipe)
        _warn_size(model, check_size(model, point, recipe), recipe, sizes)
        if cache is not None:
            item.key = frame_key(point, recipe.resolved(model.dtype), weights)
            item.picture, item.weights = cache.get(item.key), weights
        queue.append(item)
        if item.picture is None and (first := missing.setdefault(item.key, item)) is not item:
            item.same = first
        if len(missing) == batch_size or len(queue) == 8 * batch_size:
            weights = _draw(model, list(missing.values()), recipe, batch_size, cache, weights)
            missing = {}
        while queue and queue[0].image is not None:
            yield _framed(model, queue.popleft(), recipe)
    _draw(model, list(missing.values()), recipe, batch_size, cache, weights)
    yield from (_framed(model, item, recipe) for item in queue)


def _framed(model: Model, item: _Waiting, recipe: Recipe) -> Frame:
    drawn = item.same or item
    assert drawn.picture is not None
    return Frame(drawn.picture, item.point, recipe, drawn.weights, model.dtype)


def _draw(
    model: Model,
    missing: Sequence[_Waiting],
    recipe: Recipe,
    batch_size: int,
    cache: FrameCache | None,
    weights: str,
) -> str:
    """Draw what is missing as one batch, padded, and keep it. Returns the weights that it was drawn by: for a cache
    they are looked at each time, else once, "" being not yet.
    """
    if not missing:
        return weights
    weights = model.weights if cache is not None or not weights else weights
    points = [item.point for item in missing]
    latents = model.denoise(points + [points[-1]] * (batch_size - len(points)), recipe)
    pictures = model.decode(latents)
    if recipe.stride is not None and pictures.shape[-1] > model.size:
        pictures = _decode_joined(model, latents)
    for item, image in zip(missing, to_images(pictures[: len(missing)]), strict=True):
        item.picture, item.weights = image, weights
        if cache is not None and not weights.startswith(UNKNOWN):
            cache.put(frame_key(item.point, recipe.resolved(model.dtype), weights), image)
    return weights


def _decode_joined(model: Model, latents: Tensor, margin: int = 8) -> Tensor:
    """Pictures whose left and right sides fit: each is decoded with a margin of its other side, which is cut off."""
    width, margin = latents.shape[-1], min(margin, latents.shape[-1])
    pictures = model.decode(torch.cat([latents[..., -margin:], latents, latents[..., :margin]], -1))
    factor = pictures.shape[-1] // (width + 2 * margin)
    return pictures[..., margin * factor : -margin * factor]


def _check_inverted(model: Model, found: Recipe, recipe: Recipe) -> None:
    """Warn about a recipe that does not draw back the picture that a point's noise was found from.

    An eta above 0 is there to draw others.
    """

    def told(by: Recipe) -> dict[str, str]:
        scheduler = (by.scheduler or model.scheduler).removesuffix("Scheduler")
        numbers = {name: getattr(by, name) for name in ("num_inference_steps", "guidance_scale")}
        return {name: f"{value:g}" for name, value in numbers.items()} | {"scheduler": scheduler}

    asked = told(recipe)
    for name, value in told(found).items():
        if asked[name] != value:
            warn(
                f"a point's noise was found by {name} {value} and is drawn by {asked[name]}: "
                "it won't give its picture back",
                AstrogateWarning,
                stacklevel=4,
            )


def _warn_size(model: Model, size: tuple[int, int], recipe: Recipe, seen: set[tuple[int, int]]) -> None:
    """Warn, once, about a size so far from a U-Net's own that it does not know how to fill it."""
    if size in seen or "UNet" not in type(getattr(model, "denoiser", None)).__name__:
        return
    seen.add(size)
    try:
        own = model.size
    except AstrogateError:  # it does not say it
        return
    if 2 * min(size) <= own or (max(size) >= 2 * own and recipe.stride is None):
        told = f"{size[1]} x {size[0]} pixels of a model that learned {own}: things may be smeared, or be there twice"
        warn(f"{told}; draw at {own}, and resize the picture", AstrogateWarning, stacklevel=4)


def check_size(model: Model, point: Point, recipe: Recipe) -> tuple[int, int]:
    """The height and width of a point's picture. Raises AstrogateError where the recipe has another size."""
    check_tensors(point)
    height, width = (side * model.factor for side in point.tensors["latents"].shape[-2:])
    if recipe.height not in (None, height) or recipe.width not in (None, width):
        raise AstrogateError(
            f"the points make pictures of {width} x {height}, the recipe says {recipe.width} x {recipe.height}",
            "make the points with model.point(..., height=, width=)",
        )
    return height, width
