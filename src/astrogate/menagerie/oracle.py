"""The oracle: reads every factor of Menagerie's world and the subject's mask back from a picture.

A small residual network with one head a factor and a decoder for the mask. It is trained (`train/oracle.py`) on
drawings and on their VAE reconstructions, and shipped; it is the project's ruler, so `docs/menagerie.md` states how
well it reads drawings and how often a second network of another architecture agrees with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.core import archive
from astrogate.core.errors import AstrogateError, reason
from astrogate.core.protocols import Readings
from astrogate.core.state import usual
from astrogate.core.values import check_pictures, whole
from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS

#: The largest side of the pictures that a network reads.
_MOST_SIDE = 4096


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


def _down(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True), _Residual(b)
    )


class OracleNet(nn.Module):
    """Pictures [n, 3, side, side] in [-1, 1] to logits [n, classes], values [n, 4] and mask logits [n, side, side]."""

    def __init__(
        self, side: int = 64, widths: Sequence[int] = (32, 64, 112), squeeze: int = 16, hidden: int = 224
    ) -> None:
        super().__init__()
        self.side, self.hparams = side, {"side": side, "widths": list(widths), "squeeze": squeeze, "hidden": hidden}
        pooled = side // (8 * 2 ** len(widths))  # the last features are 8 x 8
        stem = [nn.AvgPool2d(pooled)] if pooled > 1 else []
        self.stages = nn.ModuleList(_down(a, b) for a, b in zip((3, *widths[:-1]), widths, strict=True))
        self.stem = nn.Sequential(*stem)
        self.deep = _Residual(widths[-1])
        self.squeeze = nn.Conv2d(widths[-1], squeeze, 1)
        flat = squeeze * 64 + 2 * widths[-1]
        outputs = sum(len(values) for values in CATEGORICAL.values()) + len(CONTINUOUS)
        self.head = nn.Sequential(
            nn.Linear(flat, hidden), nn.ReLU(inplace=True), nn.Dropout(0.1), nn.Linear(hidden, outputs)
        )
        self.mask = nn.ModuleList(nn.Conv2d(w, 4, 1) for w in widths)
        self.refine = nn.Sequential(
            nn.Conv2d(4 * len(widths) + 3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1)
        )

    def layers(self, x: Tensor) -> list[Tensor]:
        """What every stage sees in pictures [n, 3, h, w] in [-1, 1]: features [n, c, h / 2, w / 2] and on."""
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        picture = self.stem(x)
        features = self.layers(picture)
        x = self.deep(features[-1])
        flat = torch.cat([self.squeeze(x).flatten(1), x.mean((2, 3)), x.amax((2, 3))], 1)
        out = self.head(flat)
        layers = [
            F.interpolate(m(f), size=picture.shape[-2:], mode="bilinear")
            for m, f in zip(self.mask, features, strict=True)
        ]
        mask = self.refine(torch.cat([picture, *layers], 1))
        mask = F.interpolate(mask, scale_factor=self.side / picture.shape[-1], mode="bilinear")[:, 0]
        return out[:, : -len(CONTINUOUS)], out[:, -len(CONTINUOUS) :], mask


class Oracle:
    """The reader of Menagerie's factors. It reads pictures of other sizes at the network's own, larger ones by means
    over areas.
    """

    def __init__(self, net: nn.Module, side: int, batch: int = 100) -> None:
        self.net, self.side, self.batch = net.eval(), side, batch

    @usual()
    @torch.no_grad()
    def read(self, pictures: Tensor) -> Readings:
        """Factors of pictures [n, 3, h, w] in [0, 1]; the mask comes back at the pictures' size, in [0, 1]."""
        check_pictures(pictures)
        device = next(self.net.parameters()).device
        parts = [self._batch(part.to(device, torch.float32)) for part in pictures.split(self.batch)]
        logits, values, mask = (torch.cat(p) for p in zip(*parts, strict=True))
        widths = [len(names) for names in CATEGORICAL.values()]
        split = dict(zip(CATEGORICAL, logits.split(widths, 1), strict=True))
        return Readings(
            classes=CATEGORICAL,
            probabilities={name: part.double().softmax(1) for name, part in split.items()},
            values={name: values[:, i] for i, name in enumerate(CONTINUOUS)},
            mask=mask,
        )

    @usual()
    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """The last hidden layer [n, width] for pictures [n, 3, h, w] in [0, 1]: what FID and KID compare."""
        seen: list[Tensor] = []
        net: Any = self.net
        handle = net.head[1].register_forward_hook(lambda _, __, out: seen.append(out.cpu()))
        try:
            self.read(pictures)
        finally:
            handle.remove()
        return torch.cat(seen)

    def _batch(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        size = pictures.shape[-2:]
        if size != (self.side, self.side):
            pictures = resized(pictures, self.side)
        logits, values, mask = self.net(pictures * 2 - 1)
        mask = F.interpolate(mask[:, None].sigmoid(), size, mode="bilinear")[:, 0]
        return logits.cpu(), values.cpu(), mask.cpu()


def resized(pictures: Tensor, side: int) -> Tensor:
    """Pictures [n, 3, h, w] as [n, 3, side, side]: by means over areas where whole ones fit, else bilinear."""
    if all(n >= side and n % side == 0 for n in pictures.shape[-2:]):
        return F.interpolate(pictures, (side, side), mode="area")
    return F.interpolate(pictures, (side, side), mode="bilinear", antialias=True)


@usual()
def load_oracle(folder: Path | None = None, kind: Callable[..., nn.Module] = OracleNet) -> Oracle:
    """The shipped oracle, or a network of `kind` saved in `folder` by `save_oracle`.

    Raises AstrogateError for a folder that holds none.
    """
    folder = folder or Path(__file__).parent / "weights" / "oracle"
    tensors, _ = archive.read(folder / "oracle.safetensors", what="an oracle", remedy="restore or train it")
    try:
        hparams: dict[str, Any] = json.loads((folder / "config.json").read_text())
        side = whole(hparams["side"], "pictures of {} pixels", 8, _MOST_SIDE)
        if any(isinstance(value, list) and len(value) > len(tensors) for value in hparams.values()):
            raise AstrogateError(f"{folder} asks for more layers than it has tensors", "restore it")
        with torch.device("meta"):  # takes no memory, and no random numbers
            net = kind(**hparams)
        given = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
        net.load_state_dict(given, assign=True)
        return Oracle(net, side)
    except (OSError, ValueError, TypeError, LookupError, RuntimeError) as error:
        raise AstrogateError(f"{folder} is no {kind.__name__} ({reason(error)})", "restore or train it") from error


def save_oracle(net: nn.Module, folder: Path) -> None:
    """Save the settings and fp16 weights of a reader's network."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(net.hparams))
    tensors = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    archive.write(folder / "oracle.safetensors", tensors)
