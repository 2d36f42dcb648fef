"""Train the autoregressive prior: an image embedding as a sequence of symbols (Ramesh et al. 2022, section 2.2).

    [text states, z_t, dot, y_1 .. y_k],  y the `ops.quantise` symbols of z_i by falling eigenvalue
    loss = -E log p(y_j | all before)

`dot` is the quantised z_i.z_t: at sampling it is drawn from the upper half of what training saw, which asks for a
picture that fits its caption. The transformer is GPT-2's, as wide as the text states, so nothing is projected; its
vocabulary is the buckets, then the levels of the dot product.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.models.priors import dot_level, prefix
from astrogate.ops.quantise import Codebook
from astrogate.train.data import Batches, PictureData
from astrogate.train.embeddings import dropped, encode_texts
from astrogate.train.loop import Schedule, fit


def train_ar_prior(
    model: Any,
    clip: Any,
    codebook: Codebook,
    edges: Tensor,
    data: PictureData,
    embeddings: NDArray[np.float16],
    schedule: Schedule,
    *,
    empty: Tensor,
    folder: Path,
    seed: int,
    device: str,
    drop: float = 0.1,
) -> Any:
    """Train a `GPT2LMHeadModel` of the CLIP's width; `edges` cut the dot products into levels."""
    torch.manual_seed(seed)
    model, clip = model.to(device), clip.to(device).eval().requires_grad_(False)
    order = Batches(len(data), schedule.batch, seed)
    z = torch.from_numpy(embeddings.astype(np.float32))

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = order.at(step)
        own = z[torch.from_numpy(index)]
        ids = codebook.encode(own).to(device)
        text = encode_texts(clip, dropped(data.tokens(index, rng).to(device), empty, drop))
        dot = dot_level((own.to(device) * text.embeds).sum(1), edges.to(device), codebook.buckets)
        with torch.autocast(device, torch.bfloat16):
            before = prefix(model, text, dot)
            inputs = torch.cat([before, model.get_input_embeddings()(ids[:, :-1])], 1)
            mask = F.pad(text.mask, (0, inputs.shape[1] - text.mask.shape[1]), value=True)
            logits = model(inputs_embeds=inputs, attention_mask=mask.long()).logits[:, before.shape[1] - 1 :]
        return F.cross_entropy(logits[..., : codebook.buckets].float().flatten(0, 1), ids.flatten())

    return fit(nn.ModuleDict({"ar_prior": model}), loss, schedule, folder=folder, name="ar_prior", seed=seed)[
        "ar_prior"
    ]
