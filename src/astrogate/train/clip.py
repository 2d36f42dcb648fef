"""Train a CLIPModel: symmetric cross-entropy over cosine similarities (Radford et al. 2021).

Captions repeat in a small language, so equal captions in a batch share the target. Half of the batches are drawn from
a few groups of similar pictures, which leaves only the fine factors to tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from astrogate.train.data import PictureData, batches
from astrogate.train.loop import Schedule, fit


def contrastive_loss(image: Tensor, text: Tensor, scale: Tensor, tokens: Tensor) -> Tensor:
    """Symmetric cross-entropy of unit features [b, d]; rows of `tokens` that are equal count as equally right."""
    logits = scale * image @ text.T
    same = (tokens[:, None] == tokens[None]).all(-1).float()
    target = same / same.sum(1, keepdim=True)
    log_rows, log_columns = logits.log_softmax(1), logits.log_softmax(0)
    return -0.5 * ((target * log_rows).sum(1).mean() + (target * log_columns.T).sum(1).mean())


def train_clip(
    clip: Any,
    data: PictureData,
    schedule: Schedule,
    *,
    groups: NDArray[np.int64],
    folder: Path,
    seed: int,
    device: str,
) -> Any:
    """Train `clip` on pictures in [-1, 1]; `groups` [n] names pictures that are alike. Returns the average."""
    torch.manual_seed(seed)
    clip = clip.to(device)
    rng = np.random.default_rng(seed)
    order = _mixed(batches(len(data), schedule.batch, rng), groups, schedule.batch, rng)

    def loss(step: int) -> Tensor:
        index = next(order)
        images, tokens = data.images(index, device), data.tokens(index, rng).to(device)
        with torch.autocast(device, torch.bfloat16):
            out = clip(input_ids=tokens, pixel_values=images)
        scale = clip.logit_scale.clamp(max=4.6052).exp()
        image = nn.functional.normalize(out.image_embeds.float(), dim=-1)
        text = nn.functional.normalize(out.text_embeds.float(), dim=-1)
        return contrastive_loss(image, text, scale, tokens)

    return fit(nn.ModuleDict({"clip": clip}), loss, schedule, folder=folder, name="clip", seed=seed)["clip"]


def _mixed(
    plain: Iterator[NDArray[np.int64]], groups: NDArray[np.int64], size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Every second batch holds `size` pictures of four groups."""
    by_group = np.argsort(groups, kind="stable")
    names, starts = np.unique(groups[by_group], return_index=True)
    members = dict(zip(names.tolist(), np.split(by_group, starts[1:]), strict=True))
    while True:
        yield next(plain)
        picked = rng.choice(names, 4, replace=False)
        yield np.sort(np.concatenate([rng.choice(members[int(g)], size // 4) for g in picked]))
