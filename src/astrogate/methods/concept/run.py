"""The optimisation: a small network gives every word of the dictionary its weight (Chefer et al. 2024).

    a_i = |W2 ReLU(W1 w_i + b1) + b2|,   w* = n (sum_i a_i w_i) / |sum_i a_i w_i|
    min  E |f(x_t, t, prompt with w*) - y|^2 + sparsity (1 - cos(sum of the largest a_i w_i, w*))

Draws depend on the seed and the step alone, so that an interrupted run resumes as it would have. The network is
where the denoiser is, and nothing waits for it within `every` steps; a loss that is no number is found at their end.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.core import archive
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.protocols import Model
from astrogate.core.seeds import generator, normal
from astrogate.core.state import learning
from astrogate.methods.concept.judges import Judging
from astrogate.methods.concept.plan import Plan
from astrogate.methods.concept.pseudo_point import Place, states
from astrogate.methods.concept.vocabulary import Vocabulary
from astrogate.models.prediction import denoising_loss, loss_scale, timesteps

#: The file that an interrupted run resumes from.
STATE = "state.safetensors"
_FORMAT = "astrogate-explaining-1"
_FIELDS = {"step": int, "seconds": float, "history": list[dict[str, Any]]}
#: Early: how many looks, the share of the top ten words that stays, the share by which the best score grows at most.
_LOOKS, _STAY, _GROWTH = 3, 0.8, 5e-3


class Weights(nn.Module):
    """The network: inputs [n, width] to weights [n], not below 0."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(width, hidden), nn.Linear(hidden, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """See the module's formula."""
        return self.second(self.first(inputs).relu()).squeeze(-1).abs()


@dataclass(frozen=True, slots=True)
class Found:
    """The best weights [n] of the dictionary's words, each look's step, score, loss and top ten words, what it cost."""

    weights: Tensor
    history: list[dict[str, Any]]
    stopped: str
    cpu_seconds: float


def pseudo_words(words: Vocabulary, weights: Tensor, tokens: int | None = None) -> list[Tensor]:
    """w* [width] of each encoder, of all words or of those with the `tokens` largest weights."""
    if tokens is not None:
        top = weights.topk(min(tokens, len(weights))).indices
        weights = torch.zeros_like(weights).index_copy(0, top, weights[top])
    return [
        length * F.normalize(weights @ embedding, dim=0)
        for embedding, length in zip(words.embeddings, words.lengths, strict=True)
    ]


def sparsity(words: Vocabulary, weights: Tensor, tokens: int) -> Tensor:
    """1 - cos between the sum of all words and of those with the largest weights, mean over encoders."""
    pairs = zip(pseudo_words(words, weights), pseudo_words(words, weights, tokens), strict=True)
    return torch.stack([1 - F.cosine_similarity(whole, part, dim=0) for whole, part in pairs]).mean()


@learning()
def optimise(
    model: Model,
    place: Place,
    words: Vocabulary,
    latents: tuple[Tensor, Tensor],
    plan: Plan,
    judge: Judging,
    *,
    folder: Path,
    begin: Callable[[Weights], object] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Found:
    """Find the weights of `words` from the latents' means and deviations [m, c, h, w], as `plan` says.

    `begin` prepares the network. A run resumes from the state in `folder`. One that diverges stops with a warning and
    its best state. Raises AstrogateError for one that diverges before the first look.
    """
    words, device = words.to(latents[0].device), latents[0].device
    inputs = torch.cat(words.embeddings, 1)
    network = network_of(inputs.shape[1], plan).to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate)
    state, scale = folder / STATE, loss_scale(model)
    history: list[dict[str, Any]] = []
    best, first, spent, started = torch.zeros(len(inputs)), 0, 0.0, time.process_time()

    def look(step: int, loss: float | None) -> bool:
        """Judge the network as it is; False for a score that is no number."""
        nonlocal best
        with torch.no_grad():
            weights = network(inputs)
        score = judge(pseudo_words(words, weights, plan.tokens))
        if not math.isfinite(score):
            return False
        top = [words.words[int(i)] for i in weights.argsort(descending=True)[:10]]
        if not history or score > max(past["score"] for past in history):
            best = weights.cpu()
        history.append({"step": step, "score": score, "loss": loss, "top": top})
        tell(f"step {step}: {'' if loss is None else f'loss {loss:.4f}, '}score {score:.4f}; {', '.join(top[:5])}")
        return True

    if state.exists():
        first, history, best, spent = _restore(state, network, optimiser)
    elif begin is not None:
        begin(network)
        if not look(0, None):
            _diverged(history, 0)
    running, stopped = torch.zeros((), device=device), ""
    for step in range(first, plan.fit_steps):
        if stopped := _settled(history) if plan.early else "":
            break
        text, penalty = _text(model, place, words, network(inputs), plan)
        loss = denoising_loss(model, text, *_drawn(model, latents, plan, step), dtype=plan.dtype).mean()
        optimiser.zero_grad()
        (scale * (loss + plan.sparsity * penalty)).backward()
        for parameter in network.parameters() if scale != 1 else ():
            if parameter.grad is not None:
                parameter.grad /= scale
        optimiser.step()
        running = running + loss.detach()
        if (step + 1) % plan.every == 0 or step + 1 == plan.fit_steps:
            mean = float(running) / ((step % plan.every) + 1)
            whole = math.isfinite(mean) and all(bool(p.isfinite().all()) for p in network.parameters())
            if not whole or not look(step + 1, mean):
                stopped = _diverged(history, step + 1)
                break
            running = torch.zeros_like(running)
            _keep(state, network, optimiser, step + 1, spent + time.process_time() - started, history, best)
    return Found(best, history, stopped, spent + time.process_time() - started)


def network_of(width: int, plan: Plan) -> Weights:
    """The network as it starts, by the plan's seed; torch's own generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator(plan.fit_seed, "network"))))
        return Weights(width, plan.hidden)


def _text(
    model: Model, place: Place, words: Vocabulary, weights: Tensor, plan: Plan
) -> tuple[Mapping[str, Tensor], Tensor]:
    """The text states of the weights' pseudo-word, with gradients, and what it costs to leave the small ones out."""
    return states(model, place, pseudo_words(words, weights), gradient=True), sparsity(words, weights, plan.tokens)


def _drawn(model: Model, latents: tuple[Tensor, Tensor], plan: Plan, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Latents drawn from the posteriors of some pictures, noise, and times, of one step."""
    mean, deviation = latents
    drawing = generator(plan.fit_seed, f"step {step}")
    index = torch.randint(len(mean), (plan.fit_batch,), generator=drawing)
    shape = (2, plan.fit_batch, *mean.shape[1:])
    own, noise = normal(shape, drawing).to(mean)
    return (
        mean[index] + deviation[index] * own,
        noise,
        torch.randint(timesteps(model), (plan.fit_batch,), generator=drawing),
    )


def _settled(history: Sequence[Mapping[str, Any]]) -> str:
    """Why a run may stop early: the top words of the last looks are the same, and the score grows no more."""
    if len(history) <= _LOOKS:
        return ""
    last = history[-_LOOKS - 1 :]
    stay = min(len({*a["top"]} & {*b["top"]}) / len(a["top"]) for a, b in pairwise(last))
    before, now = (max(look["score"] for look in looks) for looks in (history[:-_LOOKS], history))
    return f"settled at step {last[-1]['step']}" if stay >= _STAY and now - before < _GROWTH * abs(before) else ""


def _diverged(history: Sequence[Mapping[str, Any]], step: int) -> str:
    if not history:
        raise AstrogateError(f"the run diverged within {step} steps", "lower the plan's rate, or compute in float32")
    text = f"the run diverged by step {step}; the best state before is kept: lower the plan's rate for a longer run"
    warnings.warn(text, AstrogateWarning, stacklevel=3)
    return f"diverged by step {step}"


def _keep(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    seconds: float,
    history: list[Any],
    best: Tensor,
) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()} | {"best": best}
    for i, parameter in enumerate(network.parameters()):
        tensors |= {f"optimiser.{i}.{k}": v for k, v in optimiser.state[parameter].items()}
    archive.write(path, tensors, {"step": step, "seconds": seconds, "history": history}, format=_FORMAT)


def _restore(
    path: Path, network: nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[int, list[dict[str, Any]], Tensor, float]:
    remedy = "delete it to start again"
    tensors, meta = archive.read(
        path, format=_FORMAT, fields=_FIELDS, tensors=("best",), what="a run's state", remedy=remedy
    )
    network.load_state_dict(archive.below("network", tensors))
    for i, parameter in enumerate(network.parameters()):
        kept = archive.below(f"optimiser.{i}", tensors)
        optimiser.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in kept.items()}
    return meta["step"], meta["history"], tensors["best"], meta["seconds"]
