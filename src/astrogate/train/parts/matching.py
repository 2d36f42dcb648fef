"""Match what a few-step student draws with what its teacher would: distribution matching (Yin et al. 2024: DMD2).

    x   = f_student(x_t, t)                               x_t: where its own steps lead from noise, at one of its levels
    g   = (x_critic - x_teacher) / mean |x - x_teacher|   both x_0 of x, noised to a level drawn at random
    L   = |x - (x - g)|^2 / 2, with x - g held fixed, + |noise_critic - noise|^2 on x, held fixed

The critic is the U-Net with a second LoRA: it learns what the student draws, as any denoiser learns pictures. Where it
and the teacher differ, the student draws what the teacher would not. Pictures are not needed: captions are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from astrogate.core.keys import key_of
from astrogate.core.protocols import Model
from astrogate.models.loading.student import RECIPE
from astrogate.train.kit.data import Batches
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.precision import reduced
from astrogate.train.parts.distilling import Distilled, distilled, give, layers, weights_of

#: How long and how fast, by default.
MATCHING = Schedule(steps=800, batch=32, lr=4e-4, minutes=60, warmup=50, decay=0.5, ema=0.99, weight_decay=0)
#: Steps in which the critic learns alone, and how much more than the student's LoRA its own counts.
ALONE, STRENGTH = 60, 3
#: The share of timesteps at either end at which drawings are not compared.
MARGIN = 0.02
_STUDENT, _CRITIC = "student", "critic"


def match_student(
    model: Model,
    captions: Sequence[str],
    begun: Mapping[str, Tensor],
    schedule: Schedule = MATCHING,
    *,
    folder: Path,
    seed: int,
    guidance: float = 4.0,
) -> dict[str, Tensor]:
    """The weights by name of the student `begun` of `model`, brought nearer to what it draws of `captions`.

    `guidance` is the teacher's. The model is left as it was. Raises AstrogateError for a model without a loss of its
    own, for a U-Net that has a LoRA, for weights that are no student's of it, and for fewer captions than a batch.
    """
    torch.manual_seed(seed)
    rank = next((len(value) for name, value in begun.items() if "lora_A" in name and value.ndim > 1), 1)
    of = (
        f"{model.weights}, guidance {guidance:g}, seed {seed}, captions {key_of(list(captions))}, {key_of(dict(begun))}"
    )
    with distilled(model, guidance, {_STUDENT: (rank, 1), _CRITIC: (rank, STRENGTH)}) as net:
        unet = net.model.denoiser
        give(unet, _STUDENT, begun)
        parts = nn.ModuleDict({name: layers(unet, name).requires_grad_(True) for name in (_STUDENT, _CRITIC)})
        loss = _Matching(net, captions, Batches(len(captions), schedule.batch, seed), parts, _levels(net))
        best = fit(parts, loss, schedule, folder=folder, name="matching", seed=seed, of=of)
        parts[_STUDENT].load_state_dict(best[_STUDENT].state_dict())
        return weights_of(unet, _STUDENT)


def _levels(net: Distilled) -> Tensor:
    """The timesteps at which a student draws."""
    from diffusers import LCMScheduler

    scheduler: Any = LCMScheduler.from_config(net.model.pipe.scheduler.config)
    scheduler.set_timesteps(RECIPE.num_inference_steps)
    return scheduler.timesteps


@dataclass(frozen=True, slots=True, eq=False)
class _Matching:
    """The loss of a step."""

    net: Distilled
    captions: Sequence[str]
    order: Batches
    parts: nn.ModuleDict
    levels: Tensor

    def __call__(self, step: int, rng: np.random.Generator) -> Tensor:
        net = self.net
        with reduced(net.model.device):
            with torch.no_grad():
                states = net.states([self.captions[int(i)] for i in self.order.at(step)])
                x, t = self._on_its_way(states, self.order.size, int(rng.integers(len(self.levels))))
            if step < ALONE:
                with torch.no_grad():
                    drawn = net.consistent(x, t, states, _STUDENT)
                pull = torch.zeros(())
            else:
                drawn = net.consistent(x, t, states, _STUDENT)
                pull = (drawn - (drawn - self._away(drawn.detach(), states)).detach()).square().mean() / 2
            loss = pull + self._of_critic(drawn.detach(), states)
        self.parts.requires_grad_(True)  # peft lets the LoRA alone learn that was used last
        return loss

    def _on_its_way(self, states: Mapping[str, Tensor], count: int, level: int) -> tuple[Tensor, Tensor]:
        """Latents that the student has brought from noise to one of its levels, and the timesteps [n]."""
        device = self.net.model.device
        x = torch.randn(count, *self.net.free["latents"].shape, device=device)
        times = [torch.full((count,), int(t), device=device) for t in self.levels[: level + 1]]
        for t, following in pairwise(times):
            a, b = self.net.root(following)
            x = a * self.net.consistent(x, t, states, _STUDENT) + b * torch.randn_like(x)
        return x, times[-1]

    def _noised(self, x: Tensor, margin: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Latents at random levels of noise, the timesteps [n], and the noise; `margin` is left out at either end."""
        count = len(self.net.alphas)
        t = torch.randint(int(margin * count), count - int(margin * count), (len(x),), device=x.device)
        (a, b), noise = self.net.root(t), torch.randn_like(x)
        return a * x + b * noise, t, noise

    @torch.no_grad()
    def _away(self, x: Tensor, states: Mapping[str, Tensor]) -> Tensor:
        """g: which way a drawing is from what the teacher would draw."""
        noisy, t, _ = self._noised(x, MARGIN)
        critic = self.net.first(noisy, t, self.net.seen(noisy, t, states, _CRITIC))
        teacher = self.net.first(noisy, t, self.net.taught(noisy, t, states))
        return (critic - teacher) / (x - teacher).abs().mean((1, 2, 3), keepdim=True).clamp(min=1e-3)

    def _of_critic(self, x: Tensor, states: Mapping[str, Tensor]) -> Tensor:
        """The critic's own loss on drawings."""
        noisy, t, noise = self._noised(x)
        return mse_loss(self.net.seen(noisy, t, states, _CRITIC), noise)
