"""The dictionary: the words of a vocabulary that are nearest to a concept's pictures, less the concept's own.

mu = mean of CLIP's unit features of the pictures,   score(v) = cos(mu, t_v)
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError
from astrogate.core.segment import folded, words_of
from astrogate.measure.clip import Clip
from astrogate.methods.concept.plan import Plan
from astrogate.methods.concept.vocabulary import Vocabulary, word_features


def dictionary(clip: Clip, words: Vocabulary, pictures: Tensor, concept: str, plan: Plan, cutoff: float) -> Vocabulary:
    """The nearest `plan.dictionary` words to the pictures' features [n, d], those to be included first.

    Words whose cosine to the concept is above `cutoff`, and the concept itself, are left out unless it is kept. Raises
    AstrogateError where fewer than two words are left.
    """
    mu = F.normalize(pictures.mean(0), dim=0)
    scores = words.features @ mu
    if not plan.keep_concept:
        alike = words.features @ word_features(clip, [concept])[0] > cutoff
        same = torch.tensor([folded(word) in words_of(concept) for word in words.words])
        scores = scores.masked_fill(alike | same, -torch.inf)
    first = torch.tensor([word in plan.include for word in words.words])
    order = scores.masked_fill(first, torch.inf).argsort(descending=True, stable=True)[: plan.dictionary]
    order = order[scores[order].argsort(descending=True, stable=True)]
    kept = [int(i) for i in order if scores[i] > -torch.inf or first[i]]
    if len(kept) < 2:
        raise AstrogateError(f"{len(kept)} words are left for {concept!r}", "give more words, or keep the concept")
    return words.at(kept)
