"""The witness: a second reader of another architecture, to show that the oracle is no ruler of its own making.

A small vision transformer (Dosovitskiy et al. 2021) with a class token for the factors and its tokens for the mask; the
tokens come from a stem of convolutions, with which it learns several times faster (Xiao et al. 2021). It answers like
`OracleNet`, is trained on the same pictures from another seed, and is not shipped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS


def _halving(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.GELU())


class Witness(nn.Module):
    """Pictures [n, 3, side, side] in [-1, 1] to logits [n, classes], values [n, 4] and mask logits [n, side, side]."""

    def __init__(self, side: int = 64, width: int = 144, depth: int = 4, stem: int = 32) -> None:
        super().__init__()
        self.hparams = {"side": side, "width": width, "depth": depth, "stem": stem}
        self.patch = side // 8
        shrink = [nn.AvgPool2d(side // 64)] if side > 64 else []
        self.embed = nn.Sequential(
            *shrink, _halving(3, stem), _halving(stem, 2 * stem), nn.Conv2d(2 * stem, width, 3, stride=2, padding=1)
        )
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(0.02 * torch.randn(1, 65, width))
        layer = nn.TransformerEncoderLayer(width, 4, 3 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, nn.LayerNorm(width), enable_nested_tensor=False)
        outputs = sum(len(values) for values in CATEGORICAL.values()) + len(CONTINUOUS)
        self.head = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, outputs))
        self.mask = nn.Linear(width, self.patch**2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        patches = self.embed(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(x), -1, -1), patches], 1) + self.place
        tokens = self.blocks(tokens)
        out = self.head(torch.cat([tokens[:, 0], tokens[:, 1:].mean(1)], 1))
        cells = self.mask(tokens[:, 1:]).transpose(1, 2).unflatten(2, (8, 8))
        mask = F.pixel_shuffle(cells, self.patch)[:, 0]
        return out[:, : -len(CONTINUOUS)], out[:, -len(CONTINUOUS) :], mask
