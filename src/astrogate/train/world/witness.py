"""The witness: a second reader of another architecture, to show that the oracle is no ruler of its own making.

Stages of plain convolutions, then a transformer over their 8 x 8 cells, as in CoAtNet (Dai et al. 2021), with
a class token for the factors and the cells for the mask. It answers like `OracleNet`, is trained on the same pictures
from another seed, and is not shipped.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS


def _stage(a: int, b: int) -> nn.Sequential:
    """Half the side: a convolution to reduce, one to look again."""
    layers: list[nn.Module] = []
    for inputs, stride in ((a, 2), (b, 1)):
        layers += [nn.Conv2d(inputs, b, 3, stride, padding=1, bias=False), nn.BatchNorm2d(b), nn.GELU()]
    return nn.Sequential(*layers)


class Witness(nn.Module):
    """Pictures [n, 3, side, side] in [-1, 1] to logits [n, classes], values [n, 4] and mask logits [n, side, side]."""

    def __init__(self, side: int = 64, width: int = 144, depth: int = 2, stem: int = 32) -> None:
        super().__init__()
        self.hparams = {"side": side, "width": width, "depth": depth, "stem": stem}
        self.patch = side // 8
        shrink = [nn.AvgPool2d(side // 64)] if side > 64 else []
        self.embed = nn.Sequential(*shrink, _stage(3, stem), _stage(stem, 2 * stem), _stage(2 * stem, width))
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
