"""How alike is too alike: the released code's cut-offs belong to CLIP ViT-B/32, other CLIPs have scales of their own.

Cosines between texts crowd together differently in every CLIP. For ViT-B/32 the numbers are the released ones;
elsewhere they are quantiles of the cosines of a whole vocabulary, and of those between the concept's own pictures. A
choice of words keeps the quantiles of what it was chosen from: in a short list the closest pair need not be alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from astrogate.measure.clip import Clip

#: The most words that are compared with one another.
_SAMPLE = 2000


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Cosines above which a word is the concept (when a dictionary is made, when one picture is explained), two words
    mean the same, two pictures show the same."""

    concept: float = 0.90
    concept_of_one: float = 0.92
    words: float = 0.95
    pictures: float = 0.93


def cutoffs(clip: Clip, alike: tuple[float, float, float], pictures: Tensor) -> Cutoffs:
    """The cut-offs for a CLIP, a vocabulary's `alike` and the features [m, d] of a concept's pictures.

    Two pictures show the same when they are as alike as the closest of two thousand pairs of the concept's pictures,
    all of different seeds (`benchmarks/one_picture.py`). ViT-B/32 means OpenAI's, recognised by its activation: others
    of its shape have other cosines.
    """
    vision = clip.model.config.vision_config
    shape = (vision.patch_size, vision.hidden_size, clip.model.config.projection_dim, vision.hidden_act)
    if shape == (32, 768, 512, "quick_gelu"):
        return Cutoffs()
    return Cutoffs(*alike, pictures_alike(pictures))


def pictures_alike(pictures: Tensor, quantile: float = 0.9995) -> float:
    """The cosine above which two pictures show the same, from a concept's own [m, d]."""
    return float(_cosines(pictures).quantile(quantile))


def alike(words: Tensor) -> tuple[float, float, float]:
    """Cosines between a whole vocabulary's features [n, d] above which a word is a concept (in a dictionary, in one
    picture) and two words mean the same: the closest 1, 0.7 and 0.1 of a thousand pairs."""
    between = _cosines(words)
    first, second, third = (float(between.quantile(q, interpolation="higher")) for q in (0.999, 0.9993, 0.9999))
    return first, second, third


def _cosines(features: Tensor) -> Tensor:
    """The cosines between all pairs of unit vectors [n, d], or of a regular sample of them."""
    sample = features[:: max(1, len(features) // _SAMPLE)][:_SAMPLE].double()
    rows, columns = torch.triu_indices(len(sample), len(sample), 1)
    return (sample @ sample.T)[rows, columns][:: max(1, len(rows) // 2**22)]
