"""Train the oracle: cross-entropy, squared error and mask loss, over the factors that each picture shows.

Half of every batch are VAE reconstructions (of noised latents, so that the ruler also fits generated pictures).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.core.progress import unseen
from astrogate.menagerie.factors import CATEGORICAL
from astrogate.ops.pixels import to_pictures, to_pixels
from astrogate.train.kit.data import Batches, PictureData, keep_rows
from astrogate.train.kit.loop import Schedule, fit


def cache_reconstructions(
    vae: Any, data: PictureData, count: int, *, key: str, seed: int, device: str, noise: float = 0.15
) -> NDArray[np.uint8]:
    """Reconstructions of the first `count` pictures from latents with up to `noise` of their scale added.

    They are kept beside the data under `key`, which names the VAE.
    """

    @torch.no_grad()
    def parts() -> Iterator[NDArray[np.uint8]]:
        from tqdm import tqdm

        generator = torch.Generator().manual_seed(seed)
        for start in tqdm(range(0, count, 100), desc="reconstructions", disable=unseen()):
            index = np.arange(start, min(start + 100, count))
            latents = vae.encode(data.images(index, device)).latent_dist.mean.cpu()
            spread = noise * torch.rand(len(index), 1, 1, 1, generator=generator) / vae.config.scaling_factor
            latents = latents + spread * torch.randn(latents.shape, generator=generator)
            pictures = vae.decode(latents.to(device)).sample.clamp(-1, 1).cpu()
            yield to_pixels((pictures + 1) / 2)

    return keep_rows(data.folder / f"reconstructions-{key}.npy", count, parts())


def reading_loss(
    out: tuple[Tensor, Tensor, Tensor], classes: Tensor, values: Tensor, shown: Tensor, mask: Tensor
) -> Tensor:
    """Sum over factors of the mean loss where the factor is shown, plus binary cross-entropy of the mask."""
    logits, numbers, mask_logits = out
    total = F.binary_cross_entropy_with_logits(mask_logits, mask)
    widths = [len(names) for names in CATEGORICAL.values()]
    for i, part in enumerate(logits.split(widths, 1)):
        each = F.cross_entropy(part, classes[:, i], reduction="none")
        total = total + (each * shown[:, i]).mean()
    on = shown[:, len(CATEGORICAL) :]
    return total + 4 * ((numbers - values).pow(2) * on).mean(0).sum()


def train_oracle(
    net: nn.Module,
    data: PictureData,
    reconstructions: NDArray[np.uint8],
    schedule: Schedule,
    *,
    name: str,
    folder: Path,
    seed: int,
    device: str,
    of: str = "",
) -> nn.Module:
    """Train an oracle network of any architecture that answers like `OracleNet`; returns its average."""
    torch.manual_seed(seed)
    half = schedule.batch // 2
    drawn, rebuilt = Batches(len(data), half, seed), Batches(len(reconstructions), half, seed)
    names = ("classes", "values", "shown")

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        a, b = drawn.at(step), rebuilt.at(step)
        again = to_pictures(reconstructions[b], device).mul_(2).sub_(1)
        x = _jitter(torch.cat([data.images(a, device), again]))
        classes, values, shown = (
            torch.from_numpy(np.concatenate([data.arrays[n][a], data.arrays[n][b]])) for n in names
        )
        mask = torch.cat([data.masks(a), data.masks(b)])[:, 0]
        target = (classes.long(), values, shown.float(), mask)
        return reading_loss(net(x), *(t.to(device) for t in target))

    move: Any = net.to  # torch's annotations leave memory_format out
    net = move(device, memory_format=torch.channels_last)
    return fit(nn.ModuleDict({"net": net}), loss, schedule, folder=folder, name=name, seed=seed, of=of)["net"]


def _jitter(x: Tensor) -> Tensor:
    """Slight noise, contrast and brightness, which generated pictures have and drawings do not."""
    gain, lift, grain = (torch.rand(len(x), 1, 1, 1, device=x.device) for _ in range(3))
    return x * (0.95 + 0.1 * gain) + 0.1 * (lift - 0.5) + 0.06 * grain * torch.randn_like(x)
