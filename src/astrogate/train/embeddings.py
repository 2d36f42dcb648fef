"""What priors and decoders are trained on: the frozen CLIP's image embeddings, cached, and its texts, encoded live.

z_i = projected image embedding of unit length, z_t = that of the text, states = the text encoder's last states
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from astrogate.models.towers import Texts
from astrogate.train.data import PictureData


def cache_embeddings(clip: Any, data: PictureData, *, key: str, device: str, batch: int = 250) -> NDArray[np.float16]:
    """z_i of every picture: float16 [n, d], kept beside the data under `key`, which names the CLIP."""
    path = data.folder / f"embeddings-{key}.npy"
    if path.exists():
        return np.load(path)
    from tqdm import tqdm

    parts: list[NDArray[np.float16]] = []
    with torch.no_grad():
        for start in tqdm(range(0, len(data), batch), desc="embeddings"):
            index = np.arange(start, min(start + batch, len(data)))
            vision = clip.vision_model(pixel_values=data.images(index, device))
            parts.append(F.normalize(clip.visual_projection(vision.pooler_output), dim=-1).half().cpu().numpy())
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
