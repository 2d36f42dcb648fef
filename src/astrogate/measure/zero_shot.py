"""CLIP as a reader: factors from cosines to texts (Radford et al. 2021, zero-shot classification).

    P(value | picture) = softmax over values of  k cos(picture, text of value),  k CLIP's own logit scale
    value of a pair    = k (cos(picture, text of the high pole) - cos(picture, text of the low pole))

It has no ground truth behind it and no mask: the whole picture counts as outside the subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor

from astrogate.core.protocols import Readings
from astrogate.core.state import usual
from astrogate.measure.clip import Clip


@final
class ZeroShot:
    """A Reader by `texts`, factor -> value -> text, and `poles`, factor -> (text of the high end, of the low end)."""

    def __init__(
        self, clip: Clip, texts: Mapping[str, Mapping[str, str]], poles: Mapping[str, tuple[str, str]]
    ) -> None:
        self.clip, self.scale = clip, float(clip.model.logit_scale.detach().exp())
        self.classes = {factor: tuple(values) for factor, values in texts.items()}
        self._texts = {factor: clip.texts(list(values.values())) for factor, values in texts.items()}
        self._poles = {factor: clip.texts(pair) for factor, pair in poles.items()}

    @usual()
    def read(self, pictures: Tensor) -> Readings:
        """Readings of pictures [n, 3, h, w] in [0, 1]."""
        features = self.clip.images(pictures)
        cosines = {factor: self.scale * features @ pair.T for factor, pair in self._poles.items()}
        return Readings(
            classes=self.classes,
            probabilities={f: (self.scale * features @ t.T).double().softmax(1) for f, t in self._texts.items()},
            values={factor: c[:, 0] - c[:, 1] for factor, c in cosines.items()},
            mask=torch.zeros(len(pictures), *pictures.shape[-2:]),
        )
