"""PixArt-alpha (Chen et al. 2023): PixArt-Sigma's ancestor, with shorter texts, which is told the picture's size."""

from __future__ import annotations

from dataclasses import replace

from astrogate.models.families.pixart_sigma import FAMILY as SIGMA
from astrogate.models.family import Text

FAMILY = replace(
    SIGMA,
    name="PixArt-alpha",
    pipelines=("PixArtAlphaPipeline",),
    texts=(Text("tokenizer", 120, lowered=True),),
)
