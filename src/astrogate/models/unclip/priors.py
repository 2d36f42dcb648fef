"""From a caption to the embedding of a picture that would fit it (Ramesh et al. 2022, section 2.2): two kinds.

    diffusion       x_T ~ N(0, I);  x0 = f(x_t, t, text), then DDPM's ancestral step on the cosine schedule
    autoregressive  y_j ~ p(y_j | text, z_t, dot, y_1 .. y_j-1),  y the symbols of `ops.quantise` by falling eigenvalue

With guidance s either reads u + s (c - u) of what it predicts with the caption, c, and without, u: x0 or logits. Each
row draws from a generator of its own, so a result does not depend on its batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from astrogate.core.seeds import normal
from astrogate.models.finite import check_made
from astrogate.models.sampler.levels import spread
from astrogate.models.unclip.towers import Texts
from astrogate.ops.ddim import noise_of, step
from astrogate.ops.quantise import Codebook


@dataclass(frozen=True, slots=True)
class Guided:
    """Captions [b], behind as many empty ones where the guidance scale is not 1."""

    texts: Texts
    scale: float

    @classmethod
    def of(cls, text: Texts, empty: Texts, scale: float) -> Guided:
        """Captions [b] at a guidance scale; `empty` is one row, no caption."""
        return cls(text if scale == 1 else text.doubled(empty), scale)

    def rows(self, values: Tensor) -> Tensor:
        """Values [b, ...] for every row of the texts."""
        return values if self.scale == 1 else torch.cat([values, values])

    def combined(self, predicted: Tensor) -> Tensor:
        """u + s (c - u) [b, ...] of what was predicted for every row of the texts."""
        if self.scale == 1:
            return predicted
        without, with_caption = predicted.chunk(2)
        return without + self.scale * (with_caption - without)


class Prior(Protocol):
    """Draws image embeddings for captions."""

    def draw(self, captions: Guided, generators: Sequence[torch.Generator], *, num_inference_steps: int) -> Tensor:
        """Embeddings [b, d] for captions [b], each from a generator of its own."""
        ...


@dataclass(frozen=True, slots=True)
class DiffusionPrior:
    """A `PriorTransformer` that predicts the embedding itself, and the scheduler of its noise."""

    model: Any
    scheduler: Any

    @torch.no_grad()
    def draw(self, captions: Guided, generators: Sequence[torch.Generator], *, num_inference_steps: int) -> Tensor:
        """See `Prior.draw`."""
        model, texts = self.model, captions.texts
        levels, limit = spread(self.scheduler, num_inference_steps), self._limit()
        x = _noise(generators, model.config.embedding_dim).to(texts.embeds.device)
        for (t, a), (_, a_next) in itertools.pairwise(levels):
            predicted = model(
                captions.rows(x).to(texts.embeds),
                t,
                proj_embedding=texts.embeds,
                encoder_hidden_states=texts.states,
                attention_mask=texts.mask,
            ).predicted_image_embedding.float()
            check_made([predicted], "a prior's embeddings", {"the prior": model})
            x0 = captions.combined(predicted)
            x0 = x0 if limit is None else x0.clamp(-limit, limit)
            noise = _noise(generators, x.shape[1]).to(x) if a_next < 1 else None
            x = step(x, noise_of(x, x0, a), a, a_next, eta=1.0, noise=noise)
        return model.post_process_latents(x.to(texts.embeds)).float()

    def _limit(self) -> float | None:
        config = self.scheduler.config
        return float(config.clip_sample_range) if config.get("clip_sample") else None


def _noise(generators: Sequence[torch.Generator], width: int) -> Tensor:
    return torch.stack([normal((width,), generator) for generator in generators])


def prefix(model: Any, text: Texts, dot: Tensor) -> Tensor:
    """The inputs [b, length + 2, d] before the first symbol; `dot` [b] are levels of the dot product."""
    levels = model.get_input_embeddings()(dot)
    return torch.cat([text.states, text.embeds[:, None], levels[:, None]], 1)


def dot_level(dots: Tensor, edges: Tensor, buckets: int) -> Tensor:
    """Dot products [b] as tokens: behind the buckets, the level that the rising `edges` give."""
    return buckets + torch.bucketize(dots, edges)


@dataclass(frozen=True, slots=True)
class AutoregressivePrior:
    """A `GPT2LMHeadModel` as wide as the text states; `edges` cut dot products z_i.z_t into levels."""

    model: Any
    codebook: Codebook
    edges: Tensor

    @torch.no_grad()
    def draw(self, captions: Guided, generators: Sequence[torch.Generator], *, num_inference_steps: int = 0) -> Tensor:
        """See `Prior.draw`; the number of steps is that of the symbols. The dot product is from the upper half."""
        rank, levels, texts = len(self.codebook.basis), len(self.edges) + 1, captions.texts
        shares = torch.stack([torch.rand(rank + 1, generator=generator) for generator in generators])
        dot = self.codebook.buckets + levels // 2 + (shares[:, 0] * (levels - levels // 2)).long()
        inputs = prefix(self.model, texts, captions.rows(dot.to(texts.embeds.device)))
        mask = torch.cat([texts.mask, texts.mask.new_ones(len(texts.mask), 2)], 1)
        ids: list[Tensor] = []
        cache = None
        for j in range(rank):
            out = self.model(inputs_embeds=inputs, attention_mask=mask.long(), past_key_values=cache, use_cache=True)
            cache, logits = out.past_key_values, out.logits[:, -1, : self.codebook.buckets].cpu().double()
            check_made([logits], "a prior's symbols", {"the prior": self.model})
            total = captions.combined(logits).softmax(-1).cumsum(-1)
            share = shares[:, j + 1 : j + 2].double()
            ids.append((total < share * total[:, -1:]).sum(-1).clamp(max=self.codebook.buckets - 1))
            inputs = self.model.get_input_embeddings()(captions.rows(ids[-1]).to(inputs.device))[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        return self.codebook.decode(torch.stack(ids, 1).to(self.codebook.mean.device)).to(texts.embeds)


def best_of(draws: Sequence[Tensor], text: Tensor) -> Tensor:
    """Row by row the draw [b, d] with the largest z_i.z_t, of two in the paper; `text` holds z_t [b, d]."""
    every = torch.stack(list(draws))
    return every[(every * text).sum(-1).argmax(0), torch.arange(len(text), device=text.device)]
