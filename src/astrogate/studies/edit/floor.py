"""The floor of leakage: the world's own edits, drawn, put through the model's VAE and read as pictures are.

A scene and the same scene with one factor changed differ in nothing else, so any other change that a reader reports is
its own error, or how one factor changes the look of another.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from astrogate.core.protocols import Readings
from astrogate.measure.leakage import Cell, effect, leak, outside
from astrogate.menagerie.world import Scene, sample_scene
from astrogate.studies.edit.editors import Attribute
from astrogate.studies.edit.leakage import Bench
from astrogate.studies.world.scenes import drawings, reconstruct

#: How far a continuous factor, which lies in [-1, 1], is moved.
_STEPS = (0.4, 0.8, 1.2)
#: A painting of nothing else.
PLAIN = {"medium": "painting", "doomsday": "no", "alien": "no", "invasion": "no"}


def world_edit(bench: Bench, attribute: Attribute, subject: str, *, count: int = 40) -> Cell:
    """The cell of an attribute and a subject when the world itself is edited, over `count` random scenes."""
    rng = np.random.default_rng(0)
    scenes = [replace(sample_scene(rng), subject=subject, style="none", strength=0.0, **PLAIN) for _ in range(count)]
    target = attribute.target
    if target.value is None:
        scenes = [replace(s, **{target.factor: target.sign * (_STEPS[-1] / -2)}) for s in scenes]
    pictures, before = _read(bench, scenes)
    rows = [(0.0, float(effect(target, before, before, bench.spread).mean()), 0.0, 0.0)]
    for step in _STEPS if target.value is None else (1.0,):
        moved = [replace(s, **{target.factor: _moved(s, attribute, step)}) for s in scenes]
        drawn, after = _read(bench, moved)
        rows.append(
            (
                step,
                float(effect(target, before, after, bench.spread).mean()),
                float(leak(target, before, after, bench.spread, bench.visible(subject)).mean()),
                float(outside(pictures, drawn, before.mask).mean()),
            )
        )
    strengths, effects, leaks, outsides = zip(*rows, strict=True)
    return Cell(strengths, effects, leaks, outsides, target.level)


def _moved(scene: Scene, attribute: Attribute, step: float) -> float | str:
    """The value of the attribute's factor after the edit."""
    target = attribute.target
    return target.value or getattr(scene, target.factor) + target.sign * step


def _read(bench: Bench, scenes: list[Scene]) -> tuple[Tensor, Readings]:
    pictures = reconstruct(bench.model, drawings(scenes, bench.model.size)[0])
    return pictures, bench.reader.read(pictures)
