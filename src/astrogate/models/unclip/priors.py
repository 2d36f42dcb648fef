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

from astrogate.models.sampler.levels import spread
from astrogate.models.unclip.towers import Texts
from astrogate.ops.ddim import noise_of, step
from astrogate.ops.quantise import Codebook


class Prior(Protocol):
    """Draws image embeddings for captions."""

    def draw(
        self,
        text: Texts,
        empty: Texts,
        generators: Sequence[torch.Generator],
        *,
        guidance_scale: float,
        num_inference_steps: int,
    ) -> Tensor:
        """Embeddings [b, d] for captions [b]; `empty` is one row, no caption."""
        ...


@dataclass(frozen=True, slots=True)
class DiffusionPrior:
    """A `PriorTransformer` that predicts the embedding itself, and the scheduler of its noise."""

    model: Any
    scheduler: Any

    @torch.no_grad()
    def draw(
        self,
        text: Texts,
        empty: Texts,
        generators: Sequence[torch.Generator],
        *,
        guidance_scale: float,
        num_inference_steps: int,
    ) -> Tensor:
        """See `Prior.draw`."""
        model, guided = self.model, guidance_scale != 1
        seen = text.doubled(empty) if guided else text
        levels, limit = spread(self.scheduler, num_inference_steps), self._limit()
        x = _noise(generators, model.config.embedding_dim).to(text.embeds.device)
        for (t, a), (_, a_next) in itertools.pairwise(levels):
            x0 = model(
                (torch.cat([x, x]) if guided else x).to(text.embeds),
                t,
                proj_embedding=seen.embeds,
                encoder_hidden_states=seen.states,
                attention_mask=seen.mask,
            ).predicted_image_embedding.float()
            if guided:
                without, with_caption = x0.chunk(2)
                x0 = without + guidance_scale * (with_caption - without)
            x0 = x0 if limit is None else x0.clamp(-limit, limit)
            noise = _noise(generators, x.shape[1]).to(x) if a_next < 1 else None
            x = step(x, noise_of(x, x0, a), a, a_next, eta=1.0, noise=noise)
        return model.post_process_latents(x.to(text.embeds)).float()

    def _limit(self) -> float | None:
        config = self.scheduler.config
        return float(config.clip_sample_range) if config.get("clip_sample") else None


def _noise(generators: Sequence[torch.Generator], width: int) -> Tensor:
    return torch.stack([torch.randn(width, generator=generator) for generator in generators])


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
    def draw(
        self,
        text: Texts,
        empty: Texts,
        generators: Sequence[torch.Generator],
        *,
        guidance_scale: float,
        num_inference_steps: int = 0,
    ) -> Tensor:
        """See `Prior.draw`; the number of steps is that of the symbols. The dot product is from the upper half."""
        rank, levels, guided = len(self.codebook.basis), len(self.edges) + 1, guidance_scale != 1
        shares = torch.stack([torch.rand(rank + 1, generator=generator) for generator in generators])
        dot = self.codebook.buckets + levels // 2 + (shares[:, 0] * (levels - levels // 2)).long()
        seen = text.doubled(empty) if guided else text
        dot = dot.to(seen.embeds.device).repeat(1 + guided)
        inputs = prefix(self.model, seen, dot)
        mask = torch.cat([seen.mask, seen.mask.new_ones(len(seen.mask), 2)], 1)
        ids: list[Tensor] = []
        cache = None
        for j in range(rank):
            out = self.model(inputs_embeds=inputs, attention_mask=mask.long(), past_key_values=cache, use_cache=True)
            cache, logits = out.past_key_values, out.logits[:, -1, : self.codebook.buckets].cpu().double()
            if guided:
                without, with_caption = logits.chunk(2)
                logits = without + guidance_scale * (with_caption - without)
            total = logits.softmax(-1).cumsum(-1)
            share = shares[:, j + 1 : j + 2].double()
            ids.append((total < share * total[:, -1:]).sum(-1).clamp(max=self.codebook.buckets - 1))
            inputs = self.model.get_input_embeddings()(ids[-1].repeat(1 + guided).to(inputs.device))[:, None]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        return self.codebook.decode(torch.stack(ids, 1).to(self.codebook.mean.device)).to(text.embeds)


def best_of(draws: Sequence[Tensor], text: Tensor) -> Tensor:
    """Row by row the draw [b, d] whose z_i.z_t with [b, d] is the largest (the paper takes the better of two)."""
    every = torch.stack(list(draws))
    return every[(every * text).sum(-1).argmax(0), torch.arange(len(text), device=text.device)]
