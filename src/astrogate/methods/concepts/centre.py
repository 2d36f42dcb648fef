"""What a prompt's pictures show whatever word stands in the concept's place, and what words say whichever they are.

    m = mean over words v of CLIP(picture of the prompt with v),   c = mean over the same words of t_v

CLIP keeps pictures and texts apart (Liang et al. 2022, the modality gap); x - m and t - c lie about one origin, as
SpLiCE wants them (Bhalla et al. 2024).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from astrogate.core.protocols import Model
from astrogate.core.seeds import generator
from astrogate.measure.features import Clip
from astrogate.methods.concepts import pictures as gallery
from astrogate.methods.concepts.plan import Plan
from astrogate.methods.concepts.point import Place
from astrogate.methods.vocabulary import Vocabulary

#: One picture each of so many words, at most.
_WORDS = 50


def centre(
    model: Model,
    clip: Clip,
    place: Place,
    words: Vocabulary,
    plan: Plan,
    root: Path,
    *,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[Tensor, Tensor]:
    """m and c [d], of some words by `plan.picture_seed`; their pictures are kept below `root`, for other concepts."""
    chosen = torch.randperm(len(words.words), generator=generator(plan.picture_seed, "centre"))[:_WORDS]
    first = 1_000_000 * plan.picture_seed + plan.pictures + plan.validation
    seeds = range(first, first + len(chosen))
    points = [model.point(place.saying(words.words[int(i)]), seed=s) for i, s in zip(chosen, seeds, strict=True)]
    made, _ = gallery.shared(model, points, plan.recipe, root, batch=plan.at_once, tell=tell)
    return clip.images(made).mean(0), words.features[chosen].mean(0)
