"""CLIP as a reader is softmax over cosines, and differences of cosines."""

from __future__ import annotations

import pytest
import torch

from astrogate.measure.clip import Clip
from astrogate.measure.zero_shot import ZeroShot


def test_readings_are_cosines(clip: Clip) -> None:
    reader = ZeroShot(clip, {"subject": {"dog": "a dog", "cat": "a cat"}}, {"build": ("a fat dog", "a thin dog")})
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    readings = reader.read(pictures)
    features, k = clip.images(pictures), float(clip.model.logit_scale.detach().exp())
    cosine = features @ clip.texts(["a dog", "a cat", "a fat dog", "a thin dog"]).T
    odds = (readings.probabilities["subject"][:, 0] / readings.probabilities["subject"][:, 1]).log()
    assert torch.allclose(odds.float(), k * (cosine[:, 0] - cosine[:, 1]), atol=1e-4)
    assert torch.allclose(readings.values["build"], k * (cosine[:, 2] - cosine[:, 3]), atol=1e-4)
    assert readings.labels("subject") == ["dog" if o > 0 else "cat" for o in odds]
    assert readings.mask.shape == (3, 16, 16)
    assert readings.probabilities["subject"].sum(1).tolist() == pytest.approx([1, 1, 1])
