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
from warnings import warn

import numpy as np
from PIL import Image, ImageFile
from torch import Tensor

from astrogate.core.errors import AstrogateError, AstrogateWarning, reason
from astrogate.core.recipe import Frame
from astrogate.ops.pixels import rgb, to_pictures, to_pixels

#: How the names of picture files end, and what is read as one, whatever its name.
SUFFIXES, _FORMATS = (".png", ".jpg", ".jpeg", ".webp"), ("PNG", "JPEG", "WEBP")
#: The most pixels of a picture: some 200 MB as it is decoded.
MOST_PIXELS = 50_000_000
#: The most pixels of a sheet of ours: 1.5 GB.
MOST_SHEET = 500_000_000
#: What Pillow raises on files that are no whole picture.
UNREADABLE = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error),
    *(AttributeError, Image.DecompressionBombError),
)


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
    if not Path(path).is_file():
        raise AstrogateError(f"{path} is no picture (there is no such file)", "name a PNG, JPEG or WebP file")
    with warnings.catch_warnings(), _whole_alone():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a bound of our own
        with Image.open(path, formats=tuple(formats)) as image:
            if image.width * image.height > most:
                raise AstrogateError(
                    f"{path} is too large ({image.width} x {image.height})", f"use at most {most:,} pixels"
                )
            yield image


@contextmanager
def _whole_alone() -> Generator[None]:
    """While open, Pillow reads no half pictures, whatever the caller has told it."""
    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def read_picture(path: Path | str) -> Image.Image:
    """A PNG, JPEG or WebP file, the first picture of several, as RGB of eight bits.

    Raises AstrogateError for what is no whole picture, or one of more than `MOST_PIXELS`: its header tells.
    """
    try:
        with opened(path) as image:
            image.load()
            return rgb(image, str(path))
    except UNREADABLE as error:
        raise AstrogateError(f"{path} is no picture ({reason(error)})", "name a PNG, JPEG or WebP file") from error


def fitted(image: Image.Image, height: int, width: int) -> Tensor:
    """A picture [3, h, w] in [0, 1] of the size that is wanted; warns where it is resized."""
    image = rgb(image)
    if image.size != (width, height):
        warn(f"the picture is {image.width} x {image.height}, resized to {width} x {height}", AstrogateWarning, 2)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return to_pictures(image)


def image_of(frame: Frame | Image.Image) -> Image.Image:
    """A frame's picture, or an image, as a person sees it."""
    return rgb(frame.image if isinstance(frame, Frame) else frame)


def to_tensor(frames: Iterable[Frame | Image.Image]) -> Tensor:
    """Frames or images of one size as pictures [n, 3, h, w] in [0, 1], what readers and distances take.

    Raises AstrogateError where there are none, or of several sizes.
    """
    images = [image_of(frame) for frame in frames]
    if len({image.size for image in images}) != 1:
        found = " and ".join(sorted({f"{w} x {h}" for w, h in (image.size for image in images)})) or "no size"
        raise AstrogateError(f"pictures of {found}", "give pictures of one size")
    return to_pictures(np.stack([np.asarray(image) for image in images]))


def to_images(pictures: Tensor) -> list[Image.Image]:
    """Pictures [n, 3, h, w] in [0, 1] as PIL images, rounded as diffusers rounds them."""
    return [Image.fromarray(pixels) for pixels in to_pixels(pictures)]
