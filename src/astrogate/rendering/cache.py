"""Frames on disk by content: the key is a hash of all that makes a picture, so nothing is drawn twice.

    key = key_of(version, weights with adapters, recipe, sampler seed, tensors, extras, steers, guides, hold)

A frame is a PNG whose text chunk holds the key of its pixels; one that is broken or cut off counts as absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_file
from astrogate.core.keys import key_of
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.core.values import path_of
from astrogate.rendering.pixels import UNREADABLE, opened

#: Part of every key: raise it when `render` or an adapter draws the same point otherwise.
_VERSION = 3


def frame_key(point: Point, recipe: Recipe, weights: str) -> str:
    """The name of a picture. `weights` is the model's."""
    hold = point.holding if point.steers or point.guides else None
    edits = (point.steers, point.guides, hold if hold and hold.acts else None)
    return key_of(_VERSION, weights, recipe, point.seed, point.draw, point.tensors, point.extras, *edits)


@dataclass(frozen=True, slots=True)
class FrameCache:
    """Pictures by key in a folder, which may be shared and deleted at any time."""

    folder: Path | str

    def __post_init__(self) -> None:
        path_of(self.folder, "folder")

    def get(self, key: str) -> Image.Image | None:
        """The picture of a key; None where there is none, or a broken one."""
        try:
            with opened(self._path(key), ("PNG",)) as image:
                image.load()
                whole = image.info.get("checksum") == _checksum(key, image)
                return image.convert("RGB") if whole else None
        except (AstrogateError, *UNREADABLE):
            return None

    def put(self, key: str, image: Image.Image) -> None:
        """Keep a picture, whole or not at all."""
        info = PngInfo()
        info.add_text("checksum", _checksum(key, image))
        with whole_file(self._path(key)) as file:
            image.save(file, "PNG", pnginfo=info, compress_level=1)

    def _path(self, key: str) -> Path:
        if not key.isalnum():
            raise AstrogateError(f"key {key!r}", "use one that `frame_key` made")
        return Path(self.folder) / key[:2] / f"{key}.png"


def _checksum(key: str, image: Image.Image) -> str:
    return key_of(key, image.mode, image.size, image.tobytes())
