"""Picture files as RGB: the right way up, transparency on white, sixteen bits brought to eight."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from astrogate.core.errors import AstrogateError


def read_picture(path: Path) -> Image.Image:
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
