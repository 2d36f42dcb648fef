"""The pictures that stand for a concept: drawn by the model into a folder, or the user's own.

A folder of ours has a `made.json`, which says how its pictures were drawn; it is re-used when it is whole and filled up
when it is not. Any other folder is the user's, whose pictures are taken as they are.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import ImageOps
from torch import Tensor

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.files import write_text
from astrogate.core.keys import key_of
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.concept.plan import FEWEST
from astrogate.models.loading.trust import read_settings
from astrogate.rendering.cache import frame_key
from astrogate.rendering.pixels import SUFFIXES, picture_files, read_picture, to_tensor
from astrogate.rendering.record import read_record, save_png
from astrogate.rendering.render import render

if TYPE_CHECKING:
    from PIL import Image

_RECORD = "made.json"


def drawn(
    model: Model,
    points: Sequence[Point],
    recipe: Recipe,
    folder: Path,
    *,
    batch_size: int = 8,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[Tensor, str]:
    """The pictures [n, 3, h, w] in [0, 1] of `points` from a folder of ours, and a hash of what made them.

    Missing ones are drawn, `batch_size` at once. Raises AstrogateError for a folder that holds anything else.
    """
    whole = _key(model, points, recipe)
    record = folder / _RECORD
    if folder.exists() and not folder.is_dir():
        raise AstrogateError(f"{folder} is no folder", "name a folder of pictures, or one to draw into")
    if record.exists() and read_settings(record).get("key") != whole:
        raise AstrogateError(
            f"{folder} holds pictures of another prompt, model, number or seed", "name another folder, or empty it"
        )
    if not record.exists() and folder.is_dir() and any(folder.iterdir()):
        raise AstrogateError(f"{folder} holds no picture of {', '.join(SUFFIXES)}", "name an empty folder to draw into")
    write_text(record, json.dumps({"key": whole, "count": len(points), "recipe": recipe.to_json()}))
    paths = [folder / f"{i:04}.png" for i in range(len(points))]
    missing = [i for i, path in enumerate(paths) if not _is_kept(path, whole)]
    if missing:
        tell(f"the model draws {len(missing)} pictures into {folder}")
    frames = render(model, [points[i] for i in missing], recipe=recipe, batch_size=batch_size)
    for i, frame in zip(missing, frames, strict=True):
        content = {"content": _content(paths[i], whole, frame.image)}
        save_png(frame.image, paths[i], frame=frame, more=content, points=b"")
    return to_tensor(map(read_picture, paths)), whole


def shared_folder(model: Model, points: Sequence[Point], recipe: Recipe, root: Path) -> Path:
    """The folder of these pictures below `root`, which all runs in it that draw the same have in common."""
    return root / "pictures" / _key(model, points, recipe)


def is_own(folder: Path) -> bool:
    """Whether a folder holds the user's pictures, rather than ours or none."""
    return not (folder / _RECORD).exists() and any(picture_files(folder))


def own(folder: Path, count: int, side: int) -> Tensor:
    """Up to `count` pictures [n, 3, side, side] of the user's, cut to squares; broken ones are left out, and said so.

    Raises AstrogateError for a folder that is absent, and for fewer than `FEWEST` pictures, or `count`.
    """
    if not folder.is_dir():
        raise AstrogateError(f"there is no folder {folder}", "name a folder of pictures")
    images: list[Image.Image] = []
    broken: list[str] = []
    for path in picture_files(folder):
        if len(images) == count:
            break
        image = _read(path)
        if image is None:
            broken.append(path.name)
        else:
            images.append(ImageOps.fit(image, (side, side)))
    if broken:
        text = f"{len(broken)} of {folder} are no whole pictures and left out: {', '.join(broken[:5])}"
        warnings.warn(text, AstrogateWarning, stacklevel=2)
    if len(images) < min(FEWEST, count):
        raise AstrogateError(f"{folder} holds {len(images)} whole pictures", f"give {FEWEST} or more, PNG or JPEG")
    return to_tensor(images)


def _read(path: Path) -> Image.Image | None:
    try:
        return read_picture(path) if path.exists() else None
    except AstrogateError:
        return None


def _is_kept(path: Path, whole: str) -> bool:
    """Whether a picture is there as it was drawn for a key."""
    image = _read(path)
    if image is None:
        return False
    with suppress(AstrogateError):
        return read_record(path).get("content") == _content(path, whole, image)
    return False


def _content(path: Path, whole: str, image: Image.Image) -> str:
    return key_of(whole, path.name, image.size, image.tobytes())


def _key(model: Model, points: Sequence[Point], recipe: Recipe) -> str:
    weights = model.weights
    return key_of([frame_key(point, recipe.resolved(model.dtype), weights) for point in points])
