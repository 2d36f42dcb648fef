"""Scores of frames on disk: any folder of pictures or video, and on Menagerie's what its oracle reads along them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from PIL import Image
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Frame
from astrogate.measure.clip import Clip
from astrogate.measure.paths import PathScore, score_path
from astrogate.menagerie.oracle import load_oracle
from astrogate.models.text.prompts import check_length
from astrogate.rendering.pixels import fitted, image_of, to_tensor

#: The height at which frames are scored: what CLIP ViT-B and ViT-L take.
SIDE = 224
#: The most pixels of all frames: some 2.4 GB as numbers.
_MOST = 200_000_000
#: Factors whose changes along a path are told.
_TOLD = ("subject", "colour", "hat", "pattern", "scene", "medium", "style")


def shrunk(frames: Iterable[Frame | Image.Image]) -> Tensor:
    """Frames as pictures [n, 3, h, w] in [0, 1], those of more than `SIDE` pixels in height reduced to it.

    Raises AstrogateError for fewer than two, for different sizes, and for more than `_MOST` pixels in all.
    """
    images, total = list[Image.Image](), 0
    size: tuple[int, int] | None = None
    for image in map(image_of, frames):
        if size is not None and image.size != size:
            raise AstrogateError("the frames are of different sizes", "score frames of one size")
        size = image.size
        if image.height > SIDE:
            image = image.resize((max(1, round(SIDE * image.width / image.height)), SIDE), Image.Resampling.BOX)
        total += image.width * image.height
        if total > _MOST:
            raise AstrogateError(f"more than {len(images)} frames of {image.width} pixels", "score a shorter part")
        images.append(image)
    if len(images) < 2:
        raise AstrogateError("there is one picture or none", "a path has two or more")
    return to_tensor(images)


def score_pictures(
    pictures: Tensor, clip: Clip, text: str | None = None, *, fidelity: float = float("nan")
) -> PathScore:
    """All scores of a path's pictures [n, 3, h, w] in [0, 1]; see `measure.paths.score_path`."""
    if text is not None:
        check_length(text, clip.tokenizer)
    return score_path(
        pictures,
        clip.between(pictures[:-1], pictures[1:]).numpy(),
        images=clip.images(pictures),
        text=None if text is None else clip.texts([text])[0],
        fidelity=fidelity,
    )


def end_distance(pictures: Tensor, start: Image.Image, end: Image.Image, clip: Clip) -> float:
    """The larger perceptual distance of the first and last of pictures [n, 3, h, w] from what they should show."""
    ends = torch.stack([fitted(image, *pictures.shape[-2:]) for image in (start, end)])
    return float(clip.between(pictures[[0, -1]], ends).max())


def read_along(pictures: Tensor) -> dict[str, list[str]]:
    """What Menagerie's oracle reads of every factor along pictures [n, 3, h, w], repetitions left out."""
    readings = load_oracle().read(pictures)
    out: dict[str, list[str]] = {}
    for factor in _TOLD:
        labels = readings.labels(factor)
        out[factor] = [label for i, label in enumerate(labels) if i == 0 or label != labels[i - 1]]
    return out
