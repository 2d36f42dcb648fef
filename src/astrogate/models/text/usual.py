"""How far text states go in a model's usual prompts, and whether edited ones go further.

    r = max over tokens of |(x - mean) / deviation| / sqrt(width)

Mean and deviation are by channel, over the tokens of `PROMPTS`. Beyond the 99th percentile of their r a denoiser is
given what it has hardly seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, product

import numpy as np
import torch
from torch import Tensor

from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.segment import Segment
from astrogate.models.sampler.edits import plain

_SUBJECTS = ("dog", "cat", "horse", "man", "woman", "child", "castle", "city")
_MEDIA = ("painting", "drawing", "photograph", "illustration", "sketch", "portrait")
_WORDS = ("fat", "thin", "tall", "happy", "sad", "red", "blue", "black", "white", "green", "yellow")
#: Prompts that any model of pictures knows, and Menagerie, too.
PROMPTS = tuple(
    f"a {medium} of a {word} {subject}" for (medium, subject), word in zip(product(_MEDIA, _SUBJECTS), cycle(_WORDS))
)
_BATCH = 16
_known: dict[str, Usual] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Usual:
    """`mean` and `deviation` [width] of states, and how far the states of usual prompts go."""

    mean: Tensor
    deviation: Tensor
    most: float

    @classmethod
    def of(cls, model: Model) -> Usual:
        """Those of a model, by its fingerprint: its text encoder reads `PROMPTS` once."""
        if model.fingerprint not in _known:
            batches = (PROMPTS[i : i + _BATCH] for i in range(0, len(PROMPTS), _BATCH))
            states = [x.float() for batch in batches for x in model.encode(batch, padding="longest")["prompt_embeds"]]
            parts = [_spoken(x, model.segments(p)) for x, p in zip(states, PROMPTS, strict=True)]
            every = torch.cat(parts)
            found = cls(every.mean(0), every.std(0).clamp(min=1e-6), 0.0)
            most = float(np.quantile([found.reach(part) for part in parts], 0.99))
            _known[model.fingerprint] = cls(found.mean, found.deviation, most)
        return _known[model.fingerprint]

    def reach(self, states: Tensor) -> float:
        """r of states [tokens, width]."""
        return float(((states - self.mean) / self.deviation).square().mean(1).sqrt().max())

    def leaves(self, point: Point) -> bool:
        """Whether a point's edits take its states further than usual prompts go, and than its own prompt does."""
        states = point.tensors["prompt_embeds"].float()
        moved = states.clone()
        for steer in (plain(steer, point.tensors) for steer in point.steers):
            if "prompt_embeds" in steer.vectors and steer.half in ("positive", "both"):
                most = max((abs(w) for _, w in steer.curve), default=1.0)
                moved += most * steer.scale * steer.vectors["prompt_embeds"].float()
        if not point.segments or torch.equal(moved, states):
            return False
        before, after = (self.reach(_spoken(x, point.segments)) for x in (states, moved))
        return after > max(self.most, before)


def _spoken(states: Tensor, segments: Sequence[Segment]) -> Tensor:
    """The states of a prompt's tokens up to its end, of every text encoder."""
    return torch.cat([states[s.first : s.end + 1] for s in segments])
