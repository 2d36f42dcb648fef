"""Scores of frames on disk: any folder of pictures or video, and on Menagerie's what its oracle reads along them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.measure.features import Clip
from astrogate.measure.paths import PathScore, score_path
from astrogate.menagerie.oracle import load_oracle
from astrogate.rendering.video import read_frames

#: Factors whose changes along a path are told.
_TOLD = ("subject", "colour", "hat", "pattern", "scene", "medium", "style")


def pictures_of(path: Path, side: int = 128) -> Tensor:
    """Frames as pictures [n, 3, h, w] in [0, 1], larger ones reduced to `side` pixels in height."""
    pictures = torch.stack(list(_reduced(path, side)))
    if len(pictures) < 2:
        raise AstrogateError(f"{path} holds one picture", "a path has two or more")
    return pictures


def _reduced(path: Path, side: int) -> Iterator[Tensor]:
    size: tuple[int, int] | None = None
    for image in read_frames(path):
        if size is not None and image.size != size:
            raise AstrogateError(f"{path} holds pictures of different sizes", "score frames of one size")
        size = image.size
        if image.height > side:
            image = image.resize((round(side * image.width / image.height), side), Image.Resampling.BOX)
        yield torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)


def score_frames(path: Path, clip: Clip, text: str | None = None) -> PathScore:
    """All scores of a folder of pictures or a video; InterpScore needs the text."""
    pictures = pictures_of(path)
    return score_path(
        pictures,
        clip.between(pictures[:-1], pictures[1:]).numpy(),
        images=clip.images(pictures),
        text=None if text is None else clip.texts([text])[0],
    )


def read_along(path: Path) -> dict[str, list[str]]:
    """What Menagerie's oracle reads of every factor, in order, repetitions left out."""
    readings = load_oracle().read(pictures_of(path))
    out: dict[str, list[str]] = {}
    for factor in _TOLD:
        labels = readings.labels(factor)
        out[factor] = [label for i, label in enumerate(labels) if i == 0 or label != labels[i - 1]]
    return out
