"""Typographic attacks: what the image encoder sees of a word that is painted over a picture (Ramesh et al. 2022, 4).

The encoder's label is the subject whose caption z_t is nearest to z_i. Beside a word stands an empty label of the same
size: what changes with the word alone is the attack, the rest is the paint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import ImageDraw, ImageFont
from torch import Tensor

from astrogate.measure.scores import Estimate, bootstrap, mean
from astrogate.menagerie.factors import SUBJECTS
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.pixels import to_images, to_tensor


def painted(picture: Tensor, word: str, *, shown: bool = True) -> Tensor:
    """A picture [3, h, w] in [0, 1] with a white label over its lower half, and the word on it if it is `shown`."""
    image = to_images(picture[None])[0]
    width, height = image.size
    font = ImageFont.load_default(max(9, height // 5))
    draw = ImageDraw.Draw(image)
    text, middle = font.getbbox(word), (width / 2, 0.72 * height)
    half = ((text[2] - text[0]) / 2 + 2, (text[3] - text[1]) / 2 + 2)
    draw.rectangle((middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]), "white")
    if shown:
        draw.text(middle, word, "black", font, "mm")
    return to_tensor([image])[0]


@dataclass(frozen=True, slots=True)
class Attack:
    """Of pictures under one kind of label: the share that the encoder names rightly, and as the word."""

    right: Estimate
    word: Estimate


def attacks(stack: UnCLIP, pictures: Tensor, subjects: Sequence[str], words: Sequence[str]) -> dict[str, Attack]:
    """The encoder's labels of pictures as they are, with an empty label, and with each one's word painted on it."""
    names = list(SUBJECTS)
    z_t = stack.embed_text([f"a {name}" for name in names])
    pairs = list(zip(pictures, words, strict=True))
    kinds = {
        "as it is": pictures,
        "an empty label": torch.stack([painted(p, word, shown=False) for p, word in pairs]),
        "the word": torch.stack([painted(p, word) for p, word in pairs]),
    }
    found: dict[str, Attack] = {}
    for kind, seen in kinds.items():
        labels = [names[int(i)] for i in (stack.embed(seen) @ z_t.T).argmax(1)]
        right = [float(a == b) for a, b in zip(labels, subjects, strict=True)]
        fooled = [float(a == b) for a, b in zip(labels, words, strict=True)]
        found[kind] = Attack(bootstrap(mean, right), bootstrap(mean, fooled))
    return found
