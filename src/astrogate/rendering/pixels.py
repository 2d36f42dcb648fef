"""Picture files, PIL images, frames and tensors: the one place where one becomes another.

A file is read as a person sees it: RGB, the right way up, transparency on white, sixteen bits brought to eight.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from warnings import warn

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.recipe import Frame
from astrogate.ops.pixels import to_pictures, to_pixels

#: How the names of picture files end.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def picture_files(folder: Path, *, deep: bool = False) -> list[Path]:
    """The picture files of a folder, with `deep` also of the folders below it, by name."""
    return sorted(path for path in folder.glob("**/*" if deep else "*") if path.suffix.lower() in SUFFIXES)


def read_picture(path: Path | str) -> Image.Image:
    """A PNG, JPEG or WebP file. Raises AstrogateError for what is no whole picture, or an absurdly large one."""
    try:
        with Image.open(path) as image:
            image.load()
            upright = ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        raise AstrogateError(f"{path} is too large ({error})", "make it smaller first, if you trust it") from error
    except (OSError, SyntaxError, ValueError, TypeError, struct.error) as error:
        raise AstrogateError(f"{path} is no picture ({error})", "name a PNG or JPEG file") from error
    if upright.mode.startswith("I"):
        upright = Image.fromarray((np.asarray(upright, np.float64) / 257).round().clip(0, 255).astype(np.uint8))
    if "A" in upright.getbands() or "transparency" in upright.info:
        clear = upright.convert("RGBA")
        paper = Image.new("RGBA", clear.size, "white")
        upright = Image.alpha_composite(paper, clear)
    return upright.convert("RGB")


def fitted(image: Image.Image, height: int, width: int) -> Tensor:
    """A picture [3, h, w] in [0, 1] of the size that is wanted; warns where it is resized."""
    image = image.convert("RGB")
    if image.size != (width, height):
        warn(f"the picture is {image.width} x {image.height}, resized to {width} x {height}", AstrogateWarning, 2)
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return to_pictures(image)


def image_of(frame: Frame | Image.Image) -> Image.Image:
    """A frame's picture; an image is its own."""
    return frame if isinstance(frame, Image.Image) else frame.image


def to_tensor(frames: Iterable[Frame | Image.Image]) -> Tensor:
    """Frames or RGB images of one size as pictures [n, 3, h, w] in [0, 1], what readers and distances take."""
    return to_pictures(np.stack([np.asarray(image_of(frame)) for frame in frames]))


def to_images(pictures: Tensor) -> list[Image.Image]:
    """Pictures [n, 3, h, w] in [0, 1] as PIL images, rounded as diffusers rounds them."""
    return [Image.fromarray(pixels) for pixels in to_pixels(pictures)]
