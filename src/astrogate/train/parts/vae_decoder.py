"""Train a decoder that draws larger than its encoder sees: latents of small pictures to the same pictures, large.

    L = L1 + edges + p perceived(y, x) + w (hinge(D) + features(D))

on random crops of latents z + 0.05 n, n ~ N(0, 1). `perceived` compares unit features of a reader's layers (LPIPS:
Zhang et al. 2018). A patch discriminator D, which sees a picture beside what the small decoder draws, comes in later
and paints what the others blur (Isola et al. 2017; the hinge of Lim & Ye 2017); the distance of its features holds it
to the picture (Wang et al. 2018). Latents of generated pictures, for which there is no drawing, go through D alone, and
their means over areas stay what the small decoder draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from astrogate.train.kit.data import Batches, PictureData
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.parts.vae import edges

#: Latents a side of a crop, and the deviation of the noise on them.
CROP, NOISE = 8, 0.05


class Patches(nn.Module):
    """Whether patches of pictures [b, 6, h, w] look drawn: logits [b, 1, h / 8, w / 8], and the layers' features."""

    def __init__(self, widths: tuple[int, ...] = (32, 64, 96)) -> None:
        super().__init__()
        sizes = (6, *widths)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairwise(sizes))
        self.last = spectral_norm(nn.Conv2d(sizes[-1], 1, 3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        features: list[Tensor] = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.last(x), features


@dataclass(frozen=True, slots=True)
class Weights:
    """What counts how much, and from which share of the steps on the discriminator does; `focus` is the subject's."""

    focus: float = 3.0
    edges: float = 0.5
    perceived: float = 0.5
    adversarial: float = 0.02
    features: float = 0.5
    start: float = 0.5


def train_vae_decoder(
    large: Any,
    small: Any,
    data: PictureData,
    moments: NDArray[np.float16],
    schedule: Schedule,
    *,
    folder: Path,
    seed: int,
    device: str,
    of: str = "",
    layers: Callable[[Tensor], list[Tensor]],
    generated: NDArray[np.float16] | None = None,
    weights: Weights = Weights(),
) -> Any:
    """Train the decoder of `large`, an AsymmetricAutoencoderKL, on large pictures and scaled `moments` of small ones.

    `small` is the autoencoder that the latents are of; the encoder of `large` is its. `layers` gives a reader's
    features [n, c, h, w] of pictures in [-1, 1], which are compared. `generated` are scaled latents [n, c, h, w] of
    generated pictures. Returns `large` with the average of the decoder's weights.
    """
    torch.manual_seed(seed)
    scale, factor = small.config.scaling_factor, 2 ** (len(large.config.up_block_out_channels) - 1)
    ratio = factor // 2 ** (len(small.config.block_out_channels) - 1)
    judge = Patches()
    parts: Any = nn.ModuleDict({"decoder": large.decoder, "post_quant_conv": large.post_quant_conv, "judge": judge})
    parts = parts.to(device, memory_format=torch.channels_last)
    for parameter in large.decoder.condition_encoder.requires_grad_(False).parameters():
        parameter.zero_()  # of inpainting, which is not trained here
    order, side = Batches(len(data), schedule.batch, seed), moments.shape[-1]

    def drawn(z: Tensor) -> Tensor:
        z = (z / scale).to(memory_format=torch.channels_last)
        return parts["decoder"](parts["post_quant_conv"](z))

    def guide(z: Tensor) -> Tensor:
        with torch.no_grad():
            return F.interpolate(small.decode(z / scale).sample, scale_factor=ratio, mode="bilinear")

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = order.at(step)
        tops, lefts = rng.integers(0, side - CROP + 1, (2, len(index)))
        mean, std = (crops(moments[index, i], tops, lefts, CROP).to(device) for i in (0, 1))
        z = mean + std * torch.randn_like(mean)
        z = z + NOISE * torch.randn_like(z)
        size = CROP * factor
        places = zip(index.tolist(), (tops * factor).tolist(), (lefts * factor).tolist(), strict=True)
        x = torch.stack([data.crop(item, top, left, size) for item, top, left in places]).to(device)
        mask = crops(data.masks(index).numpy(), tops * factor, lefts * factor, size).to(device)
        y = drawn(z)
        error = (1 + (weights.focus - 1) * mask) * (y - x)
        total = error.abs().mean() + weights.edges * edges(error)
        total = total + weights.perceived * perceived(layers, y, x)
        if step < weights.start * schedule.steps:
            return total
        beside = guide(z)
        fake, real = torch.cat([y, beside], 1), torch.cat([x, beside], 1)
        if generated is not None:
            picked = np.sort(rng.integers(0, len(generated), max(1, len(index) // 2)))
            tops, lefts = rng.integers(0, side - CROP + 1, (2, len(picked)))
            free = crops(generated[picked], tops, lefts, CROP).to(device)
            made, rough = drawn(free), guide(free)
            total = total + 0.5 * F.l1_loss(F.avg_pool2d(made, ratio), F.avg_pool2d(rough, ratio))
            fake = torch.cat([fake, torch.cat([made, rough], 1)])
        return total + adversarial(judge, fake, real, weights)

    best = fit(parts, loss, schedule, folder=folder, name="vae_decoder", seed=seed, of=of)
    large.decoder, large.post_quant_conv = best["decoder"], best["post_quant_conv"]
    return large.requires_grad_(True).eval()


def perceived(layers: Callable[[Tensor], list[Tensor]], y: Tensor, x: Tensor) -> Tensor:
    """How far `y` is from `x` [n, 3, h, w] in the features of `layers`, of unit length at every place: in [0, 4]."""
    with torch.no_grad():
        wanted = [F.normalize(f, dim=1) for f in layers(x)]
    seen = [F.normalize(f, dim=1) for f in layers(y)]
    return torch.stack([(a - b).square().sum(1).mean() for a, b in zip(seen, wanted, strict=True)]).mean()


def vision_layers(vision: Any) -> Callable[[Tensor], list[Tensor]]:
    """A CLIP's features [m, c, h, w] of pictures in [-1, 1], seen as squares of its own size, side by side.

    They are what `measure.clip.Clip.between` compares.
    """
    side = int(vision.config.image_size)
    places = side // int(vision.config.patch_size)

    def layers(x: Tensor) -> list[Tensor]:
        states = vision(pixel_values=squares(x, side), output_hidden_states=True).hidden_states[1:]
        return [state[:, 1:].transpose(1, 2).unflatten(2, (places, places)) for state in states]

    return layers


def squares(pictures: Tensor, side: int) -> Tensor:
    """Pictures [n, c, h, w] cut into squares [m, c, side, side], row by row."""
    rows = pictures.unfold(2, side, side).unfold(3, side, side)
    return rows.permute(0, 2, 3, 1, 4, 5).flatten(0, 2)


def adversarial(judge: Patches, fake: Tensor, real: Tensor, weights: Weights) -> Tensor:
    """What the decoder loses by `fake` [m, 6, h, w], the first n of which are drawn of `real` [n, 6, h, w], and what
    the judge loses; neither's gradient reaches the other.
    """
    frozen = {name: p.detach() for name, p in (*judge.named_parameters(), *judge.named_buffers())}
    seen, shown = functional_call(judge, frozen, (fake,))
    with torch.no_grad():
        wanted = functional_call(judge, frozen, (real,))[1]
    apart = torch.stack([F.l1_loss(a[: len(real)], b) for a, b in zip(shown, wanted, strict=True)]).mean()
    judged = F.relu(1 - judge(real)[0]).mean() + F.relu(1 + judge(fake.detach())[0]).mean()
    return weights.features * apart - weights.adversarial * seen.mean() + judged


def crops(arrays: NDArray[Any], tops: NDArray[np.int64], lefts: NDArray[np.int64], side: int) -> Tensor:
    """Squares [n, c, side, side] of arrays [n, c, h, w], each at its place."""
    cut = [a[:, t : t + side, le : le + side] for a, t, le in zip(arrays, tops, lefts, strict=True)]
    return torch.from_numpy(np.stack(cut).astype(np.float32))
