"""Teach a U-Net words that its text encoder hardly tells apart: give it a reader of them, then pictures of each.

    e = t + a (z(s) - h_0),   z: attention pooling over text states s, a linear map, layer norm
    L = cross-entropy of 10 z h^T / width        h_k: a random direction for each value of a factor, h_0 for none

e is what every block is given beside its input, t that of the time step. The reader is diffusers' own, a U-Net's
`addition_embed_type="text"`, so that stock pipelines draw with it. It is trained first, on captions alone. A linear map
of single states, which is what cross-attention has, does not tell such words from what else stands in a caption.

Then the U-Net learns to draw by it. Three quarters of a batch are twins: pictures that differ in this factor alone, in
groups with one noise and one step.

    w = 0.85 w_after + 0.15 w_before,   a = 1.6 a_trained

Last, the weights are mixed with those from before (Wortsman et al. 2022), which brings back what the twins wore away,
and the reader speaks louder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.train.kit.data import Batches, PictureData
from astrogate.train.kit.denoising import drawn_latents, for_training, snr_weights
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.precision import reduced

#: Heads of the reader, how far apart two values are in e, and how many times errors on the subject count.
HEADS, AMOUNT, FOCUS = 4, 6.0, 3.0
#: Half of the pictures are shown at these steps of 1,000, where fine structure is decided.
_FROM, _TO = 100, 650
_SHARPNESS, _CAPTIONS = 10.0, 80_000
#: How much of the trained weights there is in the mixture, and how many times louder its reader speaks.
SHARE, LOUDER = 0.85, 1.6


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Pictures to learn from, with their moments: `twins`, in groups of one picture per value, and `others`."""

    twins: PictureData
    twin_moments: NDArray[np.float16]
    others: PictureData
    other_moments: NDArray[np.float16]

    @property
    def captions(self) -> int:
        """How many captions there are."""
        return sum(int(np.prod(data.arrays["tokens"].shape[:2])) for data in (self.twins, self.others))

    def tokens(self, count: int, rng: np.random.Generator) -> Tensor:
        """Captions [count, length], of twins and others by halves."""
        halves = ((self.twins, count // 2), (self.others, count - count // 2))
        return torch.cat([data.tokens(rng.integers(0, len(data), n), rng) for data, n in halves])

    def batch(self, groups: NDArray[np.int64], size: int, index: NDArray[np.int64], rng: np.random.Generator) -> _Batch:
        """The twins of some groups of `size`, and some others behind them."""
        rows = (groups[:, None] * size + np.arange(size)).reshape(-1)
        captions = np.repeat(rng.integers(self.twins.arrays["tokens"].shape[1], size=len(groups)), size)
        twins = torch.from_numpy(self.twins.arrays["tokens"][rows, captions].astype(np.int64))
        latents = (drawn_latents(self.twin_moments, rows, "cpu"), drawn_latents(self.other_moments, index, "cpu"))
        masks = torch.cat([self.twins.masks(rows), self.others.masks(index)])
        repeats = torch.tensor([size] * len(groups) + [1] * len(index))
        return _Batch(torch.cat(latents), torch.cat([twins, self.others.tokens(index, rng)]), masks, repeats)


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Latents, tokens and masks of a step; `repeats` [groups] is how many in a row share their noise."""

    latents: Tensor
    tokens: Tensor
    masks: Tensor
    repeats: Tensor

    def shared(self, values: Tensor) -> Tensor:
        """A value per group for every picture."""
        return values.repeat_interleave(self.repeats, 0)


class Words:
    """The words of a factor's values: which one a caption names, and the direction of each in `width` dimensions."""

    def __init__(self, tokenizer: Any, words: Mapping[str, Sequence[str]], width: int) -> None:
        self.values = [
            [int(tokenizer(word, add_special_tokens=False)["input_ids"][0]) for word in named]
            for named in words.values()
        ]
        drawn = torch.randn(len(words) + 1, width, generator=torch.Generator().manual_seed(0))
        self.directions = F.layer_norm(drawn, (width,))

    def named(self, tokens: Tensor) -> Tensor:
        """The number [b] of the value that tokens [b, length] name, from 1 on; 0 for none."""
        found = torch.zeros(len(tokens), dtype=torch.long)
        for k, ids in enumerate(self.values, 1):
            found[torch.isin(tokens, torch.tensor(ids)).any(1)] = k
        return found

    def logits(self, z: Tensor) -> Tensor:
        """How well what a reader says [b, width] fits each value: [b, 1 + values]."""
        return _SHARPNESS * z @ self.directions.to(z).T / z.shape[1]


def with_reader(unet: Any) -> Any:
    """A U-Net of the same weights that pools its text into the embedding of the time step, so far without effect."""
    from diffusers import UNet2DConditionModel

    config = {name: value for name, value in unet.config.items() if not name.startswith("_")}
    config |= {"addition_embed_type": "text", "addition_embed_type_num_heads": HEADS}
    found: Any = UNet2DConditionModel.from_config(config)
    found.load_state_dict(unet.state_dict(), strict=False)
    if unet.config.addition_embed_type is None:
        nn.init.zeros_(found.add_embedding.norm2.weight)
    return found


def train_reader(
    reader: Any,
    text_encoder: Any,
    lessons: Lessons,
    words: Words,
    schedule: Schedule,
    *,
    folder: Path,
    seed: int,
    device: str,
    name: str,
    of: str = "",
) -> Any:
    """Train `reader`, a U-Net's `add_embedding`, to say what captions name: `AMOUNT` away from what it says of none."""
    torch.manual_seed(seed)
    reader = reader.to(device)
    text_encoder = text_encoder.to(device).eval().requires_grad_(False)
    nn.init.ones_(reader.norm2.weight.requires_grad_(False))
    nn.init.zeros_(reader.norm2.bias.requires_grad_(False))

    tokens = lessons.tokens(min(_CAPTIONS, lessons.captions), np.random.default_rng(seed))
    named = words.named(tokens)
    with torch.no_grad():
        parts = (text_encoder(part.to(device)).last_hidden_state.half().cpu() for part in tokens.split(1_000))
        states = torch.cat(list(parts))

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = torch.from_numpy(rng.integers(0, len(tokens), schedule.batch))
        return F.cross_entropy(words.logits(reader(states[index].to(device).float())), named[index].to(device))

    trained: Any = fit(nn.ModuleDict({"reader": reader}), loss, schedule, folder=folder, name=name, seed=seed, of=of)[
        "reader"
    ]
    width = len(words.directions[0])
    with torch.no_grad():
        trained.norm2.weight.fill_(AMOUNT / (2 * width) ** 0.5)
        trained.norm2.bias.copy_(-trained.norm2.weight * words.directions[0].to(device))
    return trained


def train_words(
    unet: Any,
    text_encoder: Any,
    scheduler: Any,
    lessons: Lessons,
    words: Words,
    schedule: Schedule,
    *,
    empty: Tensor,
    folder: Path,
    seed: int,
    device: str,
    name: str,
    of: str = "",
    gamma: float = 5.0,
    drop: float = 0.1,
) -> Any:
    """Train `unet`, whose reader knows the words and stays as it is, on pictures of each.

    `empty` [length] are the tokens of no caption, which takes their place with probability `drop`.
    """
    torch.manual_seed(seed)
    unet = for_training(unet, device)
    unet.add_embedding.requires_grad_(False)
    text_encoder = text_encoder.to(device).eval().requires_grad_(False)
    size = len(words.values)
    groups = Batches(len(lessons.twins) // size, max(1, 3 * schedule.batch // (4 * size)), seed)
    others = Batches(len(lessons.others), schedule.batch - groups.size * size, seed + 1)
    weights = snr_weights(scheduler, gamma).to(device)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        batch = lessons.batch(groups.at(step), size, others.at(step), rng)
        count, tokens = len(batch.repeats), batch.tokens.clone()
        tokens[batch.shared(torch.rand(count) < drop)] = empty
        noise = batch.shared(torch.randn(count, *batch.latents.shape[1:])).to(device)
        middle = torch.rand(count) < 0.5
        t = torch.where(middle, torch.randint(_FROM, _TO, (count,)), torch.randint(len(weights), (count,)))
        t = batch.shared(t).to(device)
        noisy = scheduler.add_noise(batch.latents.to(device), noise, t)
        with reduced(device):
            states = text_encoder(tokens.to(device)).last_hidden_state
            predicted = unet(noisy, t, states).sample.float()
        subject = F.adaptive_avg_pool2d(batch.masks, noise.shape[-1]).to(device)
        error = (1 + (FOCUS - 1) * subject) * (predicted - noise).pow(2)
        return (weights[t] * error.mean((1, 2, 3))).mean()

    trained: Any = fit(nn.ModuleDict({"unet": unet}), loss, schedule, folder=folder, name=name, seed=seed, of=of)[
        "unet"
    ]
    return trained.requires_grad_(True)


@torch.no_grad()
def mixed(unet: Any, before: Any, share: float = SHARE, louder: float = LOUDER) -> Any:
    """`unet` with `share` of its own weights and the rest those of `before`, which had no reader of these words."""
    old = before.state_dict()
    for name, value in unet.state_dict().items():
        if name in old and not name.startswith("add_embedding."):
            value.lerp_(old[name].to(value), 1 - share)
    for value in (unet.add_embedding.norm2.weight, unet.add_embedding.norm2.bias):
        value.mul_(louder)
    return unet
