"""Pixels of eight bits <-> pictures: the one conversion between arrays or PIL images and tensors.

`rgb` brings any PIL image to eight bits first.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from astrogate.core.errors import AstrogateError, reason


def to_pictures(pixels: ArrayLike | Image.Image, device: str = "cpu") -> Tensor:
    """Pixels [..., h, w, 3] of eight bits, or a PIL image, as pictures [..., 3, h, w] in [0, 1], float32.

    They are channels last in memory. Raises AstrogateError for other numbers.
    """
    found = np.array(pixels)
    if found.dtype != np.uint8:
        raise AstrogateError(f"pixels of {found.dtype}", "give eight bits; `read_picture` brings files to them")
    return torch.as_tensor(found, device="cpu").to(device).movedim(-1, -3).float().div_(255)


def to_pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures [..., 3, h, w] in [0, 1] as pixels [..., h, w, 3] of eight bits, rounded as diffusers rounds them."""
    shares = pictures.detach().movedim(-3, -1).float().cpu().numpy()
    return (shares * 255).round().astype(np.uint8)


def rgb(image: Image.Image, name: str = "a picture") -> Image.Image:
    """A picture as a person sees it: RGB of eight bits, the right way up, transparency on white.

    Sixteen bits are brought to eight, and floats in [0, 1]. Raises AstrogateError for other numbers.
    """
    if not isinstance(image, Image.Image) or 0 in image.size:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise AstrogateError(f"{name} is no image, or has no pixel", "give a PIL image; `read_picture` opens files")
    kind, gray = image.format, image.mode in ("I", "F") or image.mode.startswith("I;")
    try:
        image.load()
        image = _in_srgb(_upright(image))
    except (OSError, ValueError, SyntaxError, AssertionError) as error:  # closed, or its file is cut off
        raise AstrogateError(f"{name} could not be read ({reason(error)})", "open it again") from error
    if gray:
        clear = image.info.get("transparency")
        values = np.asarray(image, np.float32)
        most = 1.0 if image.mode == "F" else 65535.0
        wide = image.mode == "I" and kind != "PNG"  # whose sixteen bits Pillow gives as integers of 32
        if wide or not 0 <= float(values.min()) <= float(values.max()) <= most:
            raise AstrogateError(
                f"{name} holds {image.mode} numbers from {values.min():g} to {values.max():g}",
                "give eight or sixteen bits, or floats from 0 to 1",
            )
        if isinstance(clear, int):
            values = np.where(values == clear, most, values)  # on white
        image = Image.fromarray((values * (255 / most)).round().astype(np.uint8))
    if image.mode in ("La", "RGBa"):  # multiplied by what is clear
        image = image.convert("RGBA") if image.mode == "RGBa" else image.convert("LA")
    if "A" in image.getbands() or "transparency" in image.info:
        clear = image.convert("RGBA")
        paper = Image.new("RGBA", clear.size, "white")
        image = Image.alpha_composite(paper, clear)
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """A picture as its EXIF data turn it; what can't be read turns nothing."""
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, TypeError, LookupError, struct.error, ZeroDivisionError):
        return image


def _in_srgb(image: Image.Image) -> Image.Image:
    """A picture in the colours of screens, where it says that its own are others; a broken profile is none."""
    profile = image.info.get("icc_profile")
    if profile and image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK", "L"):
        return image
    try:
        own = ImageCms.ImageCmsProfile(BytesIO(profile))
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        cms: Any = ImageCms  # whose profiles have no type
        found: Image.Image | None = cms.profileToProfile(image, own, cms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, TypeError):
        return image
    return image if found is None else found
