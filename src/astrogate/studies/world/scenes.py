"""Scenes of the world as pictures with their truth: drawn, held out from training, through a model's VAE, and read.

What several studies share: they draw scenes whose factors are known, and compare what is read with these.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from astrogate.core.protocols import Model, Readings
from astrogate.measure.scores import Estimate, bootstrap, mean, r2
from astrogate.menagerie.captions import Caption, caption
from astrogate.menagerie.drawing import draw_with_mask
from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS, PATTERNS
from astrogate.menagerie.world import Scene, scene_at, visible
from astrogate.ops.pixels import to_pictures

_SEED = 99


def held_out_scenes(count: int, *, seed: int = _SEED) -> tuple[list[Scene], list[Caption]]:
    """Scenes of held-out combinations with a caption each."""
    scenes = [scene_at(seed, i, held=True) for i in range(count)]
    return scenes, [caption(s, np.random.default_rng((seed, i, 1))) for i, s in enumerate(scenes)]


def scenes_of_patterns(each: int, *, seed: int = _SEED - 1) -> tuple[list[Scene], list[Caption]]:
    """Scenes of held-out combinations whose captions state their pattern, as many of `each` one."""
    scenes, captions = list[Scene](), list[Caption]()
    left: dict[str, int] = dict.fromkeys(PATTERNS, each)
    for i in itertools.count():
        scene = scene_at(seed, i, held=True)
        text = caption(scene, np.random.default_rng((seed, i, 1)), named={"pattern": 1.0})
        if left[scene.pattern] and "pattern" in text.mentions:
            left[scene.pattern] -= 1
            scenes.append(scene)
            captions.append(text)
        if not any(left.values()):
            break
    return scenes, captions


def drawings(scenes: list[Scene], size: int) -> tuple[Tensor, Tensor]:
    """Pictures [n, 3, size, size] in [0, 1] and masks [n, size, size] of scenes."""
    drawn = [draw_with_mask(scene, size) for scene in scenes]
    return to_pictures([d[0] for d in drawn]), torch.from_numpy(np.stack([d[1] for d in drawn])).float() / 255


def truth_scores(readings: Readings, scenes: list[Scene]) -> dict[str, Estimate]:
    """How well readings match what was drawn, visible factors only: accuracy, or R2 for continuous ones."""
    shown = [visible(scene) for scene in scenes]
    scores: dict[str, Estimate] = {}
    for name in CATEGORICAL:
        labels = readings.labels(name)
        hits = [a == getattr(s, name) for a, s, v in zip(labels, scenes, shown, strict=True) if name in v]
        scores[name] = bootstrap(mean, np.asarray(hits, float))
    for name in CONTINUOUS:
        pairs = [
            (getattr(s, name), float(r))
            for r, s, v in zip(readings.values[name], scenes, shown, strict=True)
            if name in v
        ]
        scores[name] = bootstrap(r2, *zip(*pairs, strict=True))
    return scores


def reconstruct(model: Model, pictures: Tensor) -> Tensor:
    """Pictures [n, 3, h, w] in [0, 1] through the VAE and back."""
    predictor: Any = model
    return torch.cat([model.decode(predictor.latents(part)) for part in pictures.split(50)])
