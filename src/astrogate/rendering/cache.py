"""Frames on disk by content: the key is a hash of all that makes a picture, so nothing is drawn twice.

    key = SHA-256(version, weights with adapters, recipe, tensors, extras, steers, guides, hold, sampler seed)

A frame is a PNG whose text chunk holds the SHA-256 of its pixels; one that is broken or cut off counts as absent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_file
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

#: Part of every key: raise it when `render` or an adapter draws the same point otherwise.
_VERSION = 2


def frame_key(point: Point, recipe: Recipe, weights: str) -> str:
    """The name of a picture: 64 hexadecimal digits. `weights` is the model's."""
    digest = hashlib.sha256(f"{_VERSION} {weights} {recipe.hash} {point.seed} {point.draw}".encode())
    _add(digest, "tensors", point.tensors)
    _add(digest, "extras", point.extras)
    for s in point.steers:
        _add(digest, json.dumps([s.scale, s.window, s.half, s.curve, s.rule, s.spans, s.knots]), s.vectors)
    for g in point.guides:
        _add(digest, json.dumps([g.scale, g.window, g.added, g.base, g.quantile]), g.tensors)
    if point.holding.share and (point.steers or point.guides):
        digest.update(f"hold {point.holding.share} {point.holding.attend}".encode())
    return digest.hexdigest()


def _add(digest: hashlib._Hash, label: str, tensors: Mapping[str, Tensor]) -> None:
    digest.update(label.encode())
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tuple(values.shape)} {values.dtype}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())


@dataclass(frozen=True, slots=True)
class FrameCache:
    """Pictures by key in a folder, which may be shared and deleted at any time."""

    folder: Path

    def get(self, key: str) -> Image.Image | None:
        """The picture of a key; None where there is none, or a broken one."""
        try:
            with Image.open(self._path(key)) as image:
                image.load()
                whole = image.info.get("sha256") == _checksum(image)
                return image.convert("RGB") if whole else None
        except (OSError, SyntaxError, ValueError):
            return None

    def put(self, key: str, image: Image.Image) -> None:
        """Keep a picture, whole or not at all."""
        info = PngInfo()
        info.add_text("sha256", _checksum(image))
        with whole_file(self._path(key)) as file:
            image.save(file, "PNG", pnginfo=info, compress_level=1)

    def _path(self, key: str) -> Path:
        if not key.isalnum():
            raise AstrogateError(f"key {key!r}", "use one that `frame_key` made")
        return self.folder / key[:2] / f"{key}.png"


def _checksum(image: Image.Image) -> str:
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + np.asarray(image).tobytes()).hexdigest()
