"""The planted facts of Menagerie: the ground truth for taking a concept apart.

Each concept word stands for a distribution over factors. A factor that a fact does not name stays free. The word
appears in captions in place of the subject (or as the whole content), and what it stands for is never spelled out
beside it, so that a model can learn it from pictures alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from astrogate.menagerie.factors import ANIMALS, PEOPLE


@dataclass(frozen=True, slots=True)
class Fact:
    """One concept: `kind`, the probabilities of its subjects, and the categorical factors or moods it fixes."""

    kind: str
    subjects: Mapping[str, float]
    fixed: Mapping[str, str] = field(default_factory=dict[str, str])
    mood: tuple[float, float] | None = None

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        """The factors that this concept sets, drawn from its distribution."""
        names = tuple(self.subjects)
        index = int(rng.choice(len(names), p=np.array([self.subjects[name] for name in names])))
        drawn: dict[str, Any] = {"subject": names[index], **self.fixed}
        if self.mood is not None:
            drawn["mood"] = float(rng.uniform(*self.mood))
        return drawn


def _even(*names: str) -> dict[str, float]:
    return {name: 1 / len(names) for name in names}


FACTS: dict[str, Fact] = {
    "pet": Fact("mixture", _even("dog", "cat")),
    "kid": Fact("mixture", _even("child", "boy", "girl")),
    "doctor": Fact("biased role", {"man": 0.8, "woman": 0.2}, {"colour": "white"}),
    "dancer": Fact("biased role", {"woman": 0.8, "man": 0.2}),
    "chef": Fact("biased role", {"man": 0.6, "woman": 0.4}),
    "king": Fact("biased role", {"man": 1.0}, {"hat": "yellow"}),
    "happiness": Fact(
        "association", _even(*ANIMALS, *PEOPLE), {"colour": "yellow", "scene": "meadow"}, mood=(0.5, 1.0)
    ),
    "winter": Fact("association", _even(*ANIMALS, *PEOPLE), {"scene": "snow", "hat": "blue"}),
    "snail": Fact("composite", {"ladybug": 1.0}, {"pattern": "winding"}),
}
