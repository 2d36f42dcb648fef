"""A tiny PixArt-alpha of the kind that is told the picture's size."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints.pixart_sigma import SIZE as SIZE
from tests.checkpoints.pixart_sigma import parts


def build(folder: Path) -> None:
    from diffusers import PixArtAlphaPipeline

    PixArtAlphaPipeline(**parts(sample_size=128, use_additional_conditions=True)).save_pretrained(folder)
