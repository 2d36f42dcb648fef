"""Picture files, PIL images, frames and tensors: the one place where one becomes another.

A file is read as a person sees it: RGB, the right way up, transparency on white, sixteen bits brought to eight.
"""

from __future__ import annotations

import re
import struct
import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any
from warnings import warn

import numpy as np
from PIL import Image, ImageFile
from torch import Tensor

from astrogate.core.errors import AstrogateError, AstrogateWarning, reason
from astrogate.core.files import is_file
from astrogate.core.recipe import Frame
from astrogate.core.values import path_of, whole
from astrogate.ops.pixels import rgb, to_pictures, to_pixels

#: How the names of picture files end, and what is read as one, whatever its name.
SUFFIXES, _FORMATS = (".png", ".jpg", ".jpeg", ".webp"), ("PNG", "JPEG", "WEBP")
#: The most pixels of a picture: some 200 MB as it is decoded.
MOST_PIXELS = 50_000_000
#: The most pixels of a sheet of ours: 1.5 GB.
MOST_SHEET = 500_000_000
#: The most scans of a JPEG, each of which goes over all of it; cameras write ten. What each starts with.
MOST_SCANS, _SCAN = 100, b"\xff\xda"
#: What Pillow raises on files that are no whole picture.
UNREADABLE = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error),
    *(AttributeError, Image.DecompressionBombError),
)
_changing = Lock()
_reading, _before = 0, False


def picture_files(folder: Path, *, deep: bool = False) -> list[Path]:
    """The picture files of a folder, with `deep` also of the folders below it, by name: 2 comes before 10."""
    found = (path for path in folder.glob("**/*" if deep else "*") if path.suffix.lower() in SUFFIXES)
    return sorted(found, key=lambda path: [_counted(part) for part in path.relative_to(folder).parts])


def _counted(name: str) -> list[tuple[int, int, str]]:
    """A name by its numbers and what is between them, to be sorted by; numbers come first."""
    parts = (part for part in re.split(r"(\d+)", name) if part)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


@contextmanager
def opened(path: Path | str, formats: Sequence[str] = _FORMATS, *, most: int = MOST_PIXELS) -> Generator[Image.Image]:
    """A picture file, whose header has been read.

    Raises AstrogateError for what is no file, and for one of more than `most` pixels; what is no picture raises one of
    `UNREADABLE`.
    """
    path = path_of(path)
    if not is_file(path):
        raise AstrogateError(f"{path} is no picture (there is no such file)", "name a PNG, JPEG or WebP file")
    with _whole_alone():
        with _changing, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a bound of our own
            found = Image.open(path, formats=tuple(formats))
        with found as image:
            if image.width * image.height > most:
                raise AstrogateError(
                    f"{path} is too large ({image.width} x {image.height})", f"use at most {most:,} pixels"
                )
            yield image


@contextmanager
def _whole_alone() -> Generator[None]:
    """While open, Pillow reads no half pictures, whatever the caller has told it.

    That belongs to the process, so of all who read the first saves it, and the last restores it.
    """
    global _reading, _before
    with _changing:
        if not _reading:
            _before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
        _reading += 1
    try:
        yield
    finally:
        with _changing:
            _reading -= 1
            if not _reading:
                ImageFile.LOAD_TRUNCATED_IMAGES = _before


def read_picture(path: Path | str) -> Image.Image:
    """A PNG, JPEG or WebP file, the first picture of several, as RGB of eight bits.

    Raises AstrogateError for what is no whole picture, or one of more than `MOST_PIXELS`: its header tells.
    """
    try:
        with opened(path) as image:
            _settle_clear(image)
            if image.format == "JPEG" and (scans := Path(path).read_bytes().count(_SCAN)) > MOST_SCANS:
                raise AstrogateError(f"{path} holds {scans} scans", f"save it with at most {MOST_SCANS}")
            image.load()
            return rgb(image, str(path))
    except UNREADABLE as error:
        raise AstrogateError(f"{path} is no picture ({reason(error)})", "name a PNG, JPEG or WebP file") from error


def _settle_clear(image: Any) -> None:
    """Bring the colour that a PNG calls clear to the depth of its pixels: Pillow brings these alone to eight bits."""
    clear = image.info.get("transparency")
    raw = str(image.tile[0].args) if image.tile else ""
    if image.format != "PNG" or image.mode == "P" or isinstance(clear, bytes):
        return
    if isinstance(clear, int):
        image.info["transparency"] = clear * {"L;2": 85, "L;4": 17}.get(raw, 1)
    elif isinstance(clear, tuple) and raw.endswith(";16B"):
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def fitted(image: Image.Image, height: int, width: int) -> Tensor:
    """A picture [3, h, w] in [0, 1] of the size that is wanted; warns where it is resized."""
    image = rgb(image)
    height, width = (whole(side, "{} pixels", 1, 16_384) for side in (height, width))
    if image.size != (width, height):
        warn(f"the picture is {image.width} x {image.height}, resized to {width} x {height}", AstrogateWarning, 2)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return to_pictures(image)


def image_of(frame: Frame | Image.Image) -> Image.Image:
    """A frame's picture, or an image, as a person sees it."""
    return rgb(frame.image if isinstance(frame, Frame) else frame)


def to_tensor(frames: Frame | Image.Image | Iterable[Frame | Image.Image]) -> Tensor:
    """Frames or images of one size as pictures [n, 3, h, w] in [0, 1], what readers and distances take.

    Raises AstrogateError where there are none, or of several sizes.
    """
    images = [image_of(frame) for frame in ([frames] if isinstance(frames, (Frame, Image.Image)) else frames)]
    if len({image.size for image in images}) != 1:
        found = " and ".join(sorted({f"{w} x {h}" for w, h in (image.size for image in images)})) or "no size"
        raise AstrogateError(f"pictures of {found}", "give pictures of one size")
    return to_pictures(np.stack([np.asarray(image) for image in images]))


def to_images(pictures: Tensor) -> list[Image.Image]:
    """Pictures [n, 3, h, w] in [0, 1] as PIL images, rounded as diffusers rounds them."""
    return [Image.fromarray(pixels) for pixels in to_pixels(pictures)]
