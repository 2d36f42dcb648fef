"""Train the autoregressive prior: an image embedding as a sequence of symbols (Ramesh et al. 2022, section 2.2).

    [text states, z_t, dot, y_1 .. y_k],  y the `ops.quantise` symbols of z_i by falling eigenvalue
    loss = -E log p(y_j | all before)

`dot` is the quantised z_i.z_t: at sampling it is drawn from the upper half of what training saw, which asks for a
picture that fits its caption. The transformer is GPT-2's, as wide as the text states, so nothing is projected; its
vocabulary is the buckets, then the levels of the dot product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.models.unclip.priors import dot_level, prefix
from astrogate.ops.quantise import Codebook
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.precision import reduced
from astrogate.train.parts.embeddings import Embedded

_NAME = "ar_prior"


def dot_edges(on: Embedded, levels: int, *, count: int = 5000) -> Tensor:
    """The quantiles [levels - 1] of z_i.z_t over `count` pictures and captions, between which levels lie."""
    rng = np.random.default_rng(on.seed)
    index = np.sort(rng.choice(len(on.data), min(count, len(on.data)), replace=False))
    dots = [(on.own(part) * on.texts(part, rng).embeds).sum(1).cpu() for part in np.array_split(index, 20)]
    return torch.cat(dots).quantile(torch.arange(1, levels) / levels)


def train_ar_prior(
    model: Any, codebook: Codebook, edges: Tensor, on: Embedded, schedule: Schedule, *, drop: float = 0.1
) -> Any:
    """Train a `GPT2LMHeadModel` of the CLIP's width; `edges` cut the dot products into levels."""
    torch.manual_seed(on.seed)
    model, order, edges = model.to(on.device), on.batches(schedule), edges.to(on.device)
    if on.device == "cpu":
        model.set_attn_implementation("eager")  # as `denoising.for_training`: 0.39 s per step, not 0.66

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = order.at(step)
        own, text = on.own(index), on.texts(index, rng)
        ids = codebook.encode(own.cpu()).to(on.device)
        dot, text = dot_level((own * text.embeds).sum(1), edges, codebook.buckets), on.dropped(text, drop)
        with reduced(on.device):
            before = prefix(model, text, dot)
            inputs = torch.cat([before, model.get_input_embeddings()(ids[:, :-1])], 1)
            mask = F.pad(text.mask, (0, inputs.shape[1] - text.mask.shape[1]), value=True)
            logits = model(inputs_embeds=inputs, attention_mask=mask.long()).logits[:, before.shape[1] - 1 :]
        return F.cross_entropy(logits[..., : codebook.buckets].float().flatten(0, 1), ids.flatten())

    return fit(nn.ModuleDict({_NAME: model}), loss, schedule, folder=on.folder, name=_NAME, seed=on.seed, of=on.of)[
        _NAME
    ]
