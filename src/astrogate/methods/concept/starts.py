"""Where the weights of a concept's words start: cold, at a convex solution of CLIP's features, or from the text alone.

    convex:  mean over pictures x of  a(x) / sum a(x),
             a(x) = argmin_{a >= 0}  |u(x) - sum_i a_i u(t_i - c)|^2 / (2 d) + penalty sum(a),
             c = mean of all words' t_i, u(v) = v / |v|
    text:    argmin  |e(prompt with w*) - e(prompt)|^2 / |e(prompt)|^2,   e the states that the denoiser attends to

The first is how SpLiCE describes a set of pictures (Bhalla et al. 2024). Each picture is taken apart by itself, since a
concept that is a dog or a cat has no picture that is half of both. SpLiCE also centres the pictures' features; here
they are not centred, which finds more of the truth (`benchmarks/mixtures.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.ops.sparse import lasso

#: Penalties are tried from the largest on, until `_LEFT` words are left (`benchmarks/mixtures.py`; SpLiCE has about 9).
_PENALTIES = tuple(3e-3 * 10 ** (-i / 4) for i in range(13))
_LEFT = 6


def convex(atoms: Tensor, pictures: Tensor, *, left: int = _LEFT) -> Tensor:
    """Weights [n], of sum 1, of words with features `atoms` [n, d]: what `pictures` with features [m, d] show.

    The words' features are less their mean. A picture's penalty is the largest that leaves it `left` words.
    """
    atoms, pictures = F.normalize(atoms, dim=1), F.normalize(pictures, dim=1)
    found = torch.zeros(len(pictures), len(atoms))
    few = torch.ones(len(pictures), dtype=torch.bool)
    for penalty in _PENALTIES:
        found[few] = lasso(atoms, pictures[few], penalty, begin=found[few])
        few = (found > 0).sum(1) < min(left, len(atoms))
        if not bool(few.any()):
            break
    found = found[found.any(1)]
    return F.normalize(found, p=1, dim=1).mean(0) if len(found) else torch.full((len(atoms),), 1 / len(atoms))


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
