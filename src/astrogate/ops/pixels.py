"""Pixels of eight bits <-> pictures: the one conversion between arrays or PIL images and tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor

from astrogate.core.errors import AstrogateError


def to_pictures(pixels: ArrayLike | Image.Image, device: str = "cpu") -> Tensor:
    """Pixels [..., h, w, 3] of eight bits, or a PIL image, as pictures [..., 3, h, w] in [0, 1], float32.

    They are channels last in memory. Raises AstrogateError for other numbers.
    """
    found = np.array(pixels)
    if found.dtype != np.uint8:
        raise AstrogateError(f"pixels of {found.dtype}", "give eight bits; `read_picture` brings files to them")
    return torch.as_tensor(found).to(device).movedim(-1, -3).float().div_(255)


def to_pixels(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures [..., 3, h, w] in [0, 1] as pixels [..., h, w, 3] of eight bits, rounded as diffusers rounds them."""
    shares = pictures.detach().movedim(-3, -1).float().cpu().numpy()
    return (shares * 255).round().astype(np.uint8)
