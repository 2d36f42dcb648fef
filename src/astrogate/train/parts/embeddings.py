"""What priors and decoders are trained on: the frozen CLIP's image embeddings, cached, and its texts, encoded live.

z_i = projected image embedding of unit length, z_t = that of the text, states = the text encoder's last states
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.progress import unseen
from astrogate.measure.clip import Clip
from astrogate.models.unclip.towers import Texts
from astrogate.train.kit.data import Batches, PictureData, keep_rows
from astrogate.train.kit.loop import Schedule


def cache_embeddings(clip: Clip, data: PictureData, *, key: str, batch_size: int = 250) -> NDArray[np.float16]:
    """z_i of every picture: float16 [n, d], kept beside the data under `key`, which names the CLIP."""

    def parts() -> Iterator[NDArray[np.float16]]:
        from tqdm import tqdm

        for start in tqdm(range(0, len(data), batch_size), desc="embeddings", disable=unseen()):
            index = np.arange(start, min(start + batch_size, len(data)))
            yield clip.images((data.images(index) + 1) / 2, batch_size=batch_size).half().numpy()

    return keep_rows(data.folder / f"embeddings-{key}.npy", len(data), parts())


@torch.no_grad()
def encode_texts(clip: Any, tokens: Tensor, end_of_text: int) -> Texts:
    """Captions [b, length] through the frozen text tower; the mask holds all tokens up to the first end of text.

    `end_of_text` is the tokenizer's; some configurations name another.
    """
    out = clip.text_model(input_ids=tokens)
    end = (tokens == end_of_text).int().argmax(1)
    mask = torch.arange(tokens.shape[1], device=tokens.device) <= end[:, None]
    return Texts(out.last_hidden_state, F.normalize(clip.text_projection(out.pooler_output), dim=-1), mask)


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """Captioned pictures as a frozen CLIP sees them, and where a training on them goes.

    `z` [n, d] are the pictures' embeddings, `none` is no caption, in one row; `folder`, `seed`, `device`
    and `of` are those of the training (`loop.fit`).
    """

    data: PictureData
    clip: Any
    z: Tensor
    none: Texts
    end_of_text: int
    folder: Path
    seed: int
    device: str
    of: str = ""

    def batches(self, schedule: Schedule) -> Batches:
        """Which pictures a step shows."""
        return Batches(len(self.data), schedule.batch, self.seed)

    def own(self, index: NDArray[np.int64]) -> Tensor:
        """The embeddings [b, d] of some pictures."""
        return self.z[torch.from_numpy(index)].to(self.device)

    def texts(self, index: NDArray[np.int64], rng: np.random.Generator) -> Texts:
        """One caption for each of some pictures."""
        return encode_texts(self.clip, self.data.tokens(index, rng).to(self.device), self.end_of_text)

    def dropped(self, text: Texts, rate: float) -> Texts:
        """Captions, a share of them replaced by none, so that guidance has its other half."""
        gone = torch.rand(len(text.embeds), 1, device=text.embeds.device) < rate
        return Texts(
            torch.where(gone[..., None], self.none.states, text.states),
            torch.where(gone, self.none.embeds, text.embeds),
            torch.where(gone, self.none.mask, text.mask),
        )


def embedded(
    clip: Clip, data: PictureData, *, key: str, folder: Path, seed: int, device: str, of: str = ""
) -> Embedded:
    """Freeze a CLIP, and cache what it sees of the pictures under `key`, which names it."""
    z = torch.from_numpy(cache_embeddings(clip, data, key=key).astype(np.float32))
    model, tokenizer = clip.model.requires_grad_(False), clip.tokenizer
    empty = tokenizer("", padding="max_length", truncation=True, return_tensors="pt").input_ids.to(device)
    end = int(tokenizer.eos_token_id)
    return Embedded(data, model, z, encode_texts(model, empty, end), end, folder, seed, device, of)
