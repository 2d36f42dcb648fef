"""Distil a U-Net into a few-step student: a LoRA, by latent consistency (Luo et al. 2023: LCM, and LCM-LoRA).

    L = h(f_student(x_s, s), f_average(x_e, e))  h(d) = sqrt(d^2 + c^2) - c        f: see `distilling`

x_s is a noisy latent at one of `LEVELS` steps, e lies `SKIP` of them below s, and x_e is where one step of DDIM with
the guided teacher leads from x_s. What the average knows of a picture climbs SKIP levels at a time: the fewer the hops,
the fewer the steps of training. f_average is the student with a moving average of its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of
from astrogate.core.protocols import Model
from astrogate.train.kit.data import Batches
from astrogate.train.kit.denoising import drawn_latents
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.pairs import Pairs
from astrogate.train.kit.precision import reduced
from astrogate.train.parts.distilling import Distilled, distilled, give, layers, weights_of

#: How long and how fast, by default.
SCHEDULE = Schedule(steps=6_000, batch=32, lr=1e-3, minutes=90, warmup=100, decay=0.5, ema=0.99, weight_decay=0)
#: Levels of noise, as `LCMScheduler` counts them; how many one step of DDIM skips; the Huber loss's c.
LEVELS, SKIP, HUBER = 50, 2, 1e-3
_STUDENT, _AVERAGE = "student", "average"


def train_student(
    model: Model,
    pairs: Pairs,
    schedule: Schedule,
    *,
    folder: Path,
    seed: int,
    rank: int = 16,
    guidance: float = 4.0,
    decay: float = 0.9,
    begun: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The LoRA's weights by name, of a student of `model` that draws as it does at `guidance`, in few steps.

    `decay` is that of the average, per step. It goes on from the weights `begun`, if there are any. The model is left
    as it was. Raises AstrogateError for a model without a loss of its own, for a U-Net that has a LoRA, and for weights
    of another rank or other layers.
    """
    torch.manual_seed(seed)
    of = f"{model.weights}, guidance {guidance:g}, rank {rank}, seed {seed}, pictures {pairs.key}"
    with distilled(model, guidance, {_STUDENT: (rank, 1), _AVERAGE: (rank, 1)}) as net:
        unet = net.model.denoiser
        if begun is not None:
            give(unet, _STUDENT, begun)
            of += f", on from {key_of(dict(begun))}"
        student, average = layers(unet, _STUDENT), layers(unet, _AVERAGE)
        average.load_state_dict(student.state_dict())
        loss = _Consistency(net, pairs, Batches(len(pairs.moments), schedule.batch, seed), student, average, decay)
        parts = nn.ModuleDict({"student": student.requires_grad_(True), "average": average.requires_grad_(False)})
        best = fit(parts, loss, schedule, folder=folder, name="student", seed=seed, of=of)
        student.load_state_dict(best["student"].state_dict())
        return weights_of(unet, _STUDENT)


@dataclass(frozen=True, slots=True, eq=False)
class _Consistency:
    """The loss of a step."""

    net: Distilled
    pairs: Pairs
    order: Batches
    student: nn.ModuleList
    average: nn.ModuleList
    decay: float

    def __call__(self, step: int, rng: np.random.Generator) -> Tensor:
        self._follow()
        net, index, device = self.net, self.order.at(step), self.net.model.device
        x, texts = drawn_latents(self.pairs.moments, index, str(device)), self.pairs.texts(index, rng)
        stride = len(net.alphas) // LEVELS
        start = torch.from_numpy(rng.integers(1, LEVELS + 1, len(index)) * stride - 1).to(device)
        end = (start - SKIP * stride).clamp(min=0)
        a, b = net.root(start)
        noisy = a * x + b * torch.randn_like(x)
        with reduced(device):
            with torch.no_grad():
                states = net.states(texts)
                below = self._below(noisy, start, end, states)
                wanted = net.consistent(below, end, states, _AVERAGE)
            found = net.consistent(noisy, start, states, _STUDENT)
        return ((found - wanted).square() + HUBER**2).sqrt().mean() - HUBER

    def _follow(self) -> None:
        """Move the average towards the student."""
        with torch.no_grad():
            for mean, own in zip(self.average.parameters(), self.student.parameters(), strict=True):
                mean.lerp_(own, 1 - self.decay)

    def _below(self, x: Tensor, start: Tensor, end: Tensor, states: Mapping[str, Tensor]) -> Tensor:
        """Where one step of DDIM with the guided teacher leads."""
        noise, (c, d) = self.net.taught(x, start, states), self.net.root(end)
        return c * self.net.first(x, start, noise) + d * noise


def read_student(folder: Path) -> dict[str, Tensor]:
    """The weights of a student that `save_student` wrote into a folder. Raises AstrogateError for anything else."""
    from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE

    path = folder / LORA_WEIGHT_NAME_SAFE
    if not path.is_file():
        raise AstrogateError(f"{folder} holds no student", "name the folder of one that `train student` made")
    weights, _ = archive.read(path, what="a LoRA", remedy="name the folder of one that `train student` made")
    return {name.removeprefix("unet."): value for name, value in weights.items()}


def save_student(weights: Mapping[str, Tensor], folder: Path) -> Path:
    """Write a LoRA as diffusers does, for `pipe.load_lora_weights(folder)`; returns the file."""
    from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LORA_WEIGHT_NAME_SAFE
    archive.write(path, {f"unet.{name}": value for name, value in weights.items()})
    return path
