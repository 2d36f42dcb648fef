"""What priors and decoders are trained on: the frozen CLIP's image embeddings, cached, and its texts, encoded live.

z_i = projected image embedding of unit length, z_t = that of the text, states = the text encoder's last states
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from astrogate.measure.features import Clip
from astrogate.models.towers import Texts
from astrogate.train.data import Batches, PictureData
from astrogate.train.loop import Schedule


def cache_embeddings(clip: Clip, data: PictureData, *, key: str, batch: int = 250) -> NDArray[np.float16]:
    """z_i of every picture: float16 [n, d], kept beside the data under `key`, which names the CLIP."""
    path = data.folder / f"embeddings-{key}.npy"
    if path.exists():
        return np.load(path)
    from tqdm import tqdm

    starts = range(0, len(data), batch)
    indices = (np.arange(start, min(start + batch, len(data))) for start in starts)
    parts = [
        clip.images((data.images(index) + 1) / 2, batch=batch).half().numpy()
        for index in tqdm(indices, total=len(starts), desc="embeddings")
    ]
    out, temporary = np.concatenate(parts), path.with_suffix(".tmp.npy")
    np.save(temporary, out)
    temporary.rename(path)
    return out


@torch.no_grad()
def encode_texts(clip: Any, tokens: Tensor) -> Texts:
    """Captions [b, length] through the frozen text tower; the mask holds all tokens up to the end of the text."""
    out = clip.text_model(input_ids=tokens)
    end = (tokens == clip.config.text_config.eos_token_id).int().argmax(1)
    mask = torch.arange(tokens.shape[1], device=tokens.device) <= end[:, None]
    return Texts(out.last_hidden_state, F.normalize(clip.text_projection(out.pooler_output), dim=-1), mask)


def dropped(tokens: Tensor, empty: Tensor, rate: float) -> Tensor:
    """Captions [b, length], a share of them replaced by no caption [length], so that guidance has its other half."""
    return torch.where(torch.rand(len(tokens), 1, device=tokens.device) < rate, empty.to(tokens), tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Captioned pictures as a frozen CLIP sees them, and where a training on them goes.

    `z` [n, d] are the pictures' embeddings, `empty` [length] the tokens of no caption; `folder`, `seed` and `device`
    are those of the training.
    """

    data: PictureData
    clip: Any
    z: Tensor
    empty: Tensor
    folder: Path
    seed: int
    device: str

    def batches(self, schedule: Schedule) -> Batches:
        """Which pictures a step shows."""
        return Batches(len(self.data), schedule.batch, self.seed)

    def own(self, index: NDArray[np.int64]) -> Tensor:
        """The embeddings [b, d] of some pictures."""
        return self.z[torch.from_numpy(index)].to(self.device)

    def texts(self, index: NDArray[np.int64], rng: np.random.Generator, drop: float) -> Texts:
        """One caption for each of some pictures, a share of them dropped."""
        tokens = dropped(self.data.tokens(index, rng).to(self.device), self.empty, drop)
        return encode_texts(self.clip, tokens)


def embedded(clip: Clip, data: PictureData, *, key: str, folder: Path, seed: int, device: str) -> Embedded:
    """Freeze a CLIP, and cache what it sees of the pictures under `key`, which names it."""
    z = torch.from_numpy(cache_embeddings(clip, data, key=key).astype(np.float32))
    empty = clip.tokenizer("", padding="max_length", truncation=True, return_tensors="pt").input_ids[0]
    return Embedded(data, clip.model.requires_grad_(False), z, empty, folder, seed, device)
