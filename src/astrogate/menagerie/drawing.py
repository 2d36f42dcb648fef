"""`draw`: scene -> picture, and `draw_with_mask`: the same with the subject's mask. Deterministic by `scene.seed`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.menagerie.animals import ANIMALS
from astrogate.menagerie.backdrops import backdrop
from astrogate.menagerie.canvas import COLOURS, SIZE, Canvas
from astrogate.menagerie.figure import FLOOR, hat, look
from astrogate.menagerie.media import MEDIA, STYLES, Array, Medium, Sheet, as_array, inset
from astrogate.menagerie.people import PEOPLE
from astrogate.menagerie.places import PLACES
from astrogate.menagerie.world import Scene

#: Larger pictures than this are drawn at twice their size, since effects of a medium are not smooth by themselves.
_FINEST = 64


def draw(scene: Scene, size: int = 64) -> Image.Image:
    """The RGB picture of a scene, `size` x `size` pixels."""
    return Image.fromarray(draw_with_mask(scene, size)[0])


def draw_with_mask(scene: Scene, size: int = 64) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The picture [size, size, 3] and the subject's mask [size, size], both uint8 (mask: 0 or 255)."""
    if size < 16:
        raise AstrogateError(f"pictures of {size} pixels", "choose 16 or more")
    side = size if size <= _FINEST else 2 * size
    picture, mask = _drawn(scene, side)
    picture, mask = _reduced(picture, size), _reduced(mask, size)
    return (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8), ((mask[..., 0] > 0.5) * 255).astype(np.uint8)


def _drawn(scene: Scene, size: int) -> tuple[Array, Array]:
    """The picture [size, size, 3] and the subject's coverage [size, size, 3], as floats."""
    rng, side = np.random.default_rng(scene.seed), max(SIZE, size)
    medium = MEDIA[scene.medium]
    ground = backdrop(
        scene.scene,
        doomsday=scene.doomsday == "yes",
        alien=scene.alien == "yes",
        invasion=scene.invasion == "yes",
        rng=rng,
        side=side,
    )
    canvas = _figure(scene, medium, rng, side)
    back, layer = (as_array(image.resize((size, size), Image.Resampling.BOX)) for image in (ground, canvas.image))
    middle = (np.arange(size, dtype=np.float32) + 0.5) / size
    y, x = np.meshgrid(middle, middle, indexing="ij")
    sheet = Sheet(layer[..., 3:], x, y, rng)
    picture = medium.ground(back, sheet) * (1 - sheet.alpha) + medium.figure(layer[..., :3], sheet) * sheet.alpha
    if scene.style != "none":
        picture = STYLES[scene.style](picture, sheet, scene.strength)
    picture = medium.finish(picture, sheet)
    mask = np.repeat(sheet.alpha, 3, axis=2)
    if medium.mount is not None:
        picture = inset(picture, medium.margins, medium.mount(sheet))
        mask = inset(mask, medium.margins, np.zeros((1, 1, 3), np.float32))
    return picture, mask


def _reduced(a: Array, size: int) -> Array:
    """A picture [n, n, 3] by the means of its areas, n a multiple of `size`."""
    n = a.shape[0] // size
    return a if n == 1 else a.reshape(size, n, size, n, -1).mean((1, 3))


def _figure(scene: Scene, medium: Medium, rng: np.random.Generator, side: int) -> Canvas:
    canvas, x = Canvas(medium.outline, side), 0.5 + float(rng.uniform(-0.03, 0.03))
    colour = "white" if medium.colourless else scene.colour
    lk = look(scene.build, scene.height, scene.mood, colour, scene.pattern, int(rng.integers(3)))
    if medium.plinth:
        canvas.box(0.24, FLOOR - 0.035, 0.76, 1.0, (150, 150, 158))
    if scene.subject in PLACES:
        PLACES[scene.subject](canvas, lk, x)
    else:
        hx, hy, half = (ANIMALS | PEOPLE)[scene.subject](canvas, lk, x)
        if scene.hat != "none":
            hat(canvas, hx, hy, half, COLOURS["white" if medium.colourless else scene.hat])
    return canvas
