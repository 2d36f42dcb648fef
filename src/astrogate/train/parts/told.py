"""Teach a U-Net words that its text encoder hardly tells apart, by a U-Net that is told what they mean.

    s' = s + a sum_k y_k h_k                     y_k: 1 where the caption names value k; h_k: random unit vectors, a = 8
    M  = 1 + a W h,   W = argmin |s W - y|^2     over all tokens from the naming one on
    L  = w |e(x_t, t, s M) - e'(x_t, t, s')|^2

First e' is trained on s': it learns within minutes to draw what the words mean. Then e learns to agree with it from the
caption alone (privileged information: Vapnik & Vashist 2009; as distillation: Lopez-Paz et al. 2016). Its target holds
no noise, so that a weak cause is soon found. It starts as e', told what a linear readout of the states says, and M ends
up in the projections of the cross-attention: the U-Net stays stock, the text encoder as it is.

Three quarters of a batch are twins: pictures that differ in this factor alone, in groups with one noise and one step.
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

#: How long the added vectors are, and how many times errors on the subject count.
AMOUNT, FOCUS = 8.0, 3.0
#: Half of the pictures are shown at these steps of 1,000, where fine structure is decided.
_FROM, _TO = 100, 650
_READ = 60  # batches of captions that the readout is fitted to


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """Pictures to learn from, with their moments: `twins`, in groups of one picture per value, and `others`."""

    twins: PictureData
    twin_moments: NDArray[np.float16]
    others: PictureData
    other_moments: NDArray[np.float16]

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


class Hints:
    """What captions name of one factor, as vectors that are added to their text states; `words` lists each value's."""

    def __init__(self, tokenizer: Any, words: Mapping[str, Sequence[str]], width: int) -> None:
        self.values = [
            [int(tokenizer(word, add_special_tokens=False)["input_ids"][0]) for word in named]
            for named in words.values()
        ]
        drawn = torch.randn(len(words), width, generator=torch.Generator().manual_seed(0))
        self.vectors = AMOUNT * F.normalize(drawn, dim=1)

    def named(self, tokens: Tensor) -> Tensor:
        """Where tokens [b, length] name a value: [b, length, values]."""
        return torch.stack([torch.isin(tokens, torch.tensor(ids)) for ids in self.values], 2).float()

    def added(self, tokens: Tensor) -> Tensor:
        """What is added to the states of captions: [b, 1, width]."""
        return (self.named(tokens).amax(1) @ self.vectors)[:, None]

    def readout(self, tokens: Tensor, states: Tensor, *, ridge: float = 1e-3) -> Tensor:
        """M [width, width]: what is added, read linearly from states; the naming tokens count threefold."""
        named = self.named(tokens)
        weight = (1 + 2 * named.sum(2)).reshape(-1, 1)
        x, y = states.flatten(0, 1), named.cumsum(1).clamp(max=1).flatten(0, 1)
        moment = (x * weight).T @ x / len(x) + ridge * torch.eye(x.shape[1])
        return torch.eye(x.shape[1]) + torch.linalg.solve(moment, (x * weight).T @ y / len(x)) @ self.vectors


def train_told(
    unet: Any,
    text_encoder: Any,
    scheduler: Any,
    lessons: Lessons,
    hints: Hints,
    schedule: Schedule,
    *,
    empty: Tensor,
    folder: Path,
    seed: int,
    device: str,
    name: str,
    teacher: Any = None,
    gamma: float = 5.0,
    drop: float = 0.1,
) -> Any:
    """Train `unet` to draw what the hints tell it; with a `teacher` that does, to draw so from captions alone.

    `empty` [length] are the tokens of no caption, which takes their place with probability `drop`.
    """
    torch.manual_seed(seed)
    unet = for_training(unet, device)
    text_encoder = text_encoder.to(device).eval().requires_grad_(False)
    size = len(hints.values)
    groups = Batches(len(lessons.twins) // size, max(1, 3 * schedule.batch // (4 * size)), seed)
    others = Batches(len(lessons.others), schedule.batch - groups.size * size, seed + 1)
    weights = snr_weights(scheduler, gamma).to(device)

    @torch.no_grad()
    def states_of(tokens: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16):
            return text_encoder(tokens.to(device)).last_hidden_state.float()

    reading = torch.eye(hints.vectors.shape[1])
    if teacher is not None:
        teacher = for_training(teacher, device).eval().requires_grad_(False)
        rng = np.random.default_rng(seed)
        shown = [lessons.batch(groups.at(i), size, others.at(i), rng).tokens for i in range(_READ)]
        tokens = torch.cat(shown)
        reading = hints.readout(tokens, torch.cat([states_of(part).cpu() for part in shown]))
    matrix = reading.to(device)

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        batch = lessons.batch(groups.at(step), size, others.at(step), rng)
        count, tokens = len(batch.repeats), batch.tokens.clone()
        tokens[batch.shared(torch.rand(count) < drop)] = empty
        noise = batch.shared(torch.randn(count, *batch.latents.shape[1:])).to(device)
        middle = torch.rand(count) < 0.5
        t = torch.where(middle, torch.randint(_FROM, _TO, (count,)), torch.randint(len(weights), (count,)))
        t = batch.shared(t).to(device)
        noisy, states = scheduler.add_noise(batch.latents.to(device), noise, t), states_of(tokens)
        told, target = states + hints.added(tokens).to(device), noise
        with torch.autocast(device, torch.bfloat16):
            predicted = unet(noisy, t, told if teacher is None else states @ matrix).sample.float()
            if teacher is not None:
                with torch.no_grad():
                    target = teacher(noisy, t, told).sample.float()
        subject = F.adaptive_avg_pool2d(batch.masks, noise.shape[-1]).to(device)
        error = (1 + (FOCUS - 1) * subject) * (predicted - target).pow(2)
        return (weights[t] * error.mean((1, 2, 3))).mean()

    trained = fit(nn.ModuleDict({"unet": unet}), loss, schedule, folder=folder, name=name, seed=seed)["unet"]
    _fold(trained, matrix)
    return trained


@torch.no_grad()
def _fold(unet: nn.Module, matrix: Tensor) -> None:
    """Let the projections of the cross-attention do what was done to the states before them."""
    for name, module in unet.named_modules():
        if name.endswith(("attn2.to_k", "attn2.to_v")):
            assert isinstance(module, nn.Linear)
            module.weight.copy_(module.weight @ matrix.T)
