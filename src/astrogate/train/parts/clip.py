"""Train a CLIPModel: symmetric cross-entropy over cosine similarities (Radford et al. 2021).

Captions repeat in a small language, so equal captions in a batch share the target. Two in three batches are drawn from
groups of pictures that are alike, which leaves only the fine factors to tell them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from astrogate.train.kit.data import Batches, PictureData
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.precision import reduced

#: Members of one group in a batch, for the coarse and the fine grouping.
_EACH = (64, 8)


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
    groups: Sequence[NDArray[np.int64]],
    folder: Path,
    seed: int,
    device: str,
    of: str = "",
) -> Any:
    """Train `clip` on pictures in [-1, 1]; `groups` are names [n] of what is alike, two ways. Returns the average."""
    torch.manual_seed(seed)
    clip = clip.to(device)
    order, pools = Batches(len(data), schedule.batch, seed), [_pool(names) for names in groups]

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        turn, kind = divmod(step, 1 + len(pools))
        index = order.at(turn) if kind == 0 else _grouped(pools[kind - 1], _EACH[kind - 1], schedule.batch, rng)
        images, tokens = data.images(index, device), data.tokens(index, rng).to(device)
        with reduced(device):
            out = clip(input_ids=tokens, pixel_values=images)
        scale = clip.logit_scale.clamp(max=4.6052).exp()
        image = nn.functional.normalize(out.image_embeds.float(), dim=-1)
        text = nn.functional.normalize(out.text_embeds.float(), dim=-1)
        return contrastive_loss(image, text, scale, tokens)

    return fit(nn.ModuleDict({"clip": clip}), loss, schedule, folder=folder, name="clip", seed=seed, of=of)["clip"]


def _pool(names: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The members of each group, given the group's name for every picture [n]."""
    by_group = np.argsort(names, kind="stable")
    return np.split(by_group, np.unique(names[by_group], return_index=True)[1][1:])


def _grouped(pool: list[NDArray[np.int64]], each: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """A batch of up to `each` members of as many groups as it takes."""
    parts: list[NDArray[np.int64]] = []
    while (left := size - sum(map(len, parts))) > 0:
        parts.append(rng.permutation(pool[int(rng.integers(len(pool)))])[: min(each, left)])
    return np.sort(np.concatenate(parts))
