"""Where the weights of a concept's words begin: cold, at a convex solution of CLIP's features, or from the text alone.

    convex:  argmin_{a >= 0, b}  |mu - b c - sum_i a_i (t_i - c)|^2 / (2 d) + penalty sum(a),   c the mean of t
    text:    argmin  |e(prompt with w*) - e(prompt)|^2 / |e(prompt)|^2,   e the states that the denoiser attends to

mu is the pictures' mean CLIP feature; the first is SpLiCE's idea (Bhalla et al. 2024). Neither draws anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.ops.sparse import lasso

_PENALTIES = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5)


def convex(features: Tensor, mu: Tensor, tokens: int) -> Tensor:
    """Weights [n] of words' unit features [n, d] that make `mu` [d]: those of the largest penalty that leaves `tokens`
    of them, or as many as there are."""
    centre = features.mean(0)
    unit = F.normalize(centre, dim=0)
    free = torch.eye(len(unit), dtype=features.dtype) - torch.outer(unit, unit)
    atoms, target = (features - centre) @ free, mu @ free
    found = torch.zeros(len(features))
    for penalty in _PENALTIES:
        found = lasso(atoms, target, penalty, begin=found)
        if int((found > 0).sum()) >= tokens:
            break
    return found if bool(found.any()) else torch.ones(len(features))


def toward(network: nn.Module, inputs: Tensor, weights: Tensor, *, steps: int = 300, rate: float = 1e-2) -> None:
    """Bring the network's weights of the words with `inputs` [n, width] to `weights` [n], the largest at 1."""
    goal = weights / weights.max()
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        (network(inputs) - goal).square().mean().backward()
        optimiser.step()


def from_text(
    network: nn.Module,
    states: Callable[[], Mapping[str, Tensor]],
    goals: Mapping[str, Tensor],
    *,
    steps: int = 200,
    rate: float = 1e-3,
) -> float:
    """Bring the states that the network's pseudo-word gives to `goals`; returns what is left, as a share."""
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    left = torch.tensor(torch.inf)
    for _ in range(steps):
        optimiser.zero_grad()
        found = states()
        left = torch.stack([_missed(found[space].float(), goal) for space, goal in goals.items()]).sum()
        left.backward()
        optimiser.step()
    return float(left.detach())


def _missed(found: Tensor, goal: Tensor) -> Tensor:
    goal = goal.to(found)
    return (found - goal).square().sum() / goal.square().sum()
