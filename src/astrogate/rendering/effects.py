"""What edits did to the pictures that were drawn: acted or not, still change at the ends or not, went too far or not.

Frames hold their points, so that they tell which differ in one edit's scale alone. With x_0 .. x_n the pictures of
rising scales and d_i = mean |x_i+1 - x_i|, an edit acted where a d is above `NOISE`. Towards an end it is saturated
from the scale on behind which every d is below `NOISE`, or below a twentieth of the largest. Edits that moved together
are told together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from astrogate.core.edit import Edit
from astrogate.core.parts import moments
from astrogate.core.protocols import Model
from astrogate.core.recipe import Frame
from astrogate.core.texts import counted
from astrogate.models.text.usual import Usual
from astrogate.rendering.render import render

#: The mean difference of two pictures that is more than rounding: of 255 levels, a sixth of one.
NOISE = 1 / 6
#: What share of the largest change is none.
_SHARE, _MEANS = 0.05, Image.Resampling.BOX


@dataclass(frozen=True, slots=True)
class Effect:
    """What an edit, or several that moved together, did.

    `acted` is None where there was nothing to compare with, `why` says what kept it from acting. `saturated` holds the
    scales, below 0 and above, from which on nothing changes; `unusual` those from which on the text states leave what
    the model usually reads.
    """

    name: str
    acted: bool | None
    why: str = ""
    saturated: tuple[float | None, float | None] = (None, None)
    unusual: tuple[float | None, float | None] = (None, None)

    def __str__(self) -> str:
        if not self.acted:
            told = "no effect" if self.acted is False else "nothing to compare with"
            return f"{self.name}: {told}{self.why and f' ({self.why})'}"
        found = ["acted", *_beyond(self.saturated, "nothing changes"), *_beyond(self.unusual, "the text is unusual")]
        return f"{self.name}: {', '.join(found)}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object of it."""
        return asdict(self)


def _beyond(ends: tuple[float | None, float | None], what: str) -> Iterable[str]:
    low, high = ends
    if low is not None:
        yield f"{what} below {low:g}"
    if high is not None:
        yield f"{what} above {high:g}"


def small(frame: Frame) -> Frame:
    """A frame with a picture of at most 64 pixels a side, by means over areas: what is compared."""
    wide, high = (min(64, side) for side in frame.image.size)
    return frame if frame.image.size == (wide, high) else replace(frame, image=frame.image.resize((wide, high), _MEANS))


def effects(frames: Sequence[Frame], model: Model | None = None) -> tuple[Effect, ...]:
    """What each edit in frames did; with a `model`, also where it leaves that model's usual range.

    For an edit that is the same in all frames, a `model` draws the first of them once without it.
    """
    found: list[Effect] = []
    for moving in _together(frames):
        curves = [curve for curve in _curves(frames, moving) if len(curve) > 1]
        if not curves and model is not None:
            curves = [_beside(frames, moving, model)]
        name = " with ".join(edit.name or "an edit" for edit in moving)
        if not curves:
            found.append(Effect(name, None))
            continue
        changes = [_changes(curve) for curve in curves]
        acted = any(change > NOISE for change in np.concatenate(changes))
        scales = [scale for scale, _ in curves[0]]
        mean = np.mean([c for c in changes if len(c) == len(scales) - 1], axis=0)
        unusual = (None, None) if model is None or not acted else _unusual(curves, Usual.of(model))
        why = "" if acted else _asleep(frames, moving, model)
        found.append(Effect(name, acted, why, _saturated(scales, mean) if acted else (None, None), unusual))
    return tuple(found)


def _asleep(frames: Sequence[Frame], moving: tuple[Edit, ...], model: Model | None) -> str:
    """What keeps edits from acting whose windows hold no step; empty for others, and where it is not known."""
    keys, frame = {id(edit) for edit in moving}, frames[0]
    every = [edit.at(s) for f in frames for edit, s in f.point.edits if id(edit) in keys]
    windows = [part.window for parts in every for part in (*parts.steers, *parts.guides)]
    acts = [act for parts in every for act in (*(s.weight for s in parts.steers), *(g.acts for g in parts.guides))]
    steps = frame.recipe.num_inference_steps
    levels = [math.nan] * steps if model is None else model.noise_levels(frame.point, frame.recipe)
    if not acts or (model is None and any(len(window) == 3 for window in windows)):
        return ""
    awake = any(act(moment) for act in acts for moment in moments(levels))
    return "" if awake else f"its window holds none of {counted(steps, 'step')}"


def _together(frames: Sequence[Frame]) -> list[tuple[Edit, ...]]:
    """The edits of frames; those that always have the same scale are one."""
    edits = {id(edit): edit for frame in frames for edit, _ in frame.point.edits}
    columns = {key: tuple(_scales(frame).get(key, 0.0) for frame in frames) for key in edits}
    groups: defaultdict[tuple[float, ...], list[Edit]] = defaultdict(list)
    for key, column in columns.items():
        groups[column].append(edits[key])
    return [tuple(group) for group in groups.values()]


def _beside(frames: Sequence[Frame], moving: tuple[Edit, ...], model: Model) -> list[tuple[float, Frame]]:
    """The first frame that some edits act in, and the same without them."""
    keys = {id(edit) for edit in moving}
    frame = next(frame for frame in frames if keys & set(_scales(frame)))
    left = tuple(pair for pair in frame.point.edits if id(pair[0]) not in keys)
    (control,) = render(model, [replace(frame.point, edits=left)], recipe=frame.recipe)
    scale = next(scale for key, scale in _scales(frame).items() if key in keys)
    return sorted([(0.0, small(control)), (scale, frame)], key=lambda pair: pair[0])


def _scales(frame: Frame) -> dict[int, float]:
    return {id(edit): scale for edit, scale in frame.point.edits}


def _curves(frames: Sequence[Frame], moving: tuple[Edit, ...]) -> list[list[tuple[float, Frame]]]:
    """The frames that differ in the scale of some edits alone, by rising scales."""
    keys = {id(edit) for edit in moving}
    curves: defaultdict[Any, dict[float, Frame]] = defaultdict(dict)
    for frame in frames:
        point, scales = frame.point, _scales(frame)
        rest = tuple(sorted((key, scale) for key, scale in scales.items() if key not in keys))
        start = (point.seed, point.draw, point.prompt, *(id(t) for t in point.tensors.values()), rest, frame.recipe)
        curves[start][next((scales[key] for key in keys if key in scales), 0.0)] = frame
    return [sorted(curve.items(), key=lambda pair: pair[0]) for curve in curves.values()]


def _changes(curve: list[tuple[float, Frame]]) -> NDArray[np.float64]:
    """The mean difference of each picture and the next, in levels of 255."""
    pictures = [np.asarray(small(frame).image, np.float32) for _, frame in curve]
    return np.array([float(np.abs(b - a).mean()) for a, b in pairwise(pictures)])


def _saturated(scales: Sequence[float], changes: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """The scales below and above 0 from which on nothing changes, where there are two steps or more on that side."""
    still = changes <= max(NOISE, _SHARE * float(changes.max()))
    low = next((i for i in range(len(changes)) if not still[i]), 0)
    high = next((i for i in reversed(range(len(changes))) if not still[i]), len(changes) - 1) + 1
    below, above = sum(s < 0 for s in scales), sum(s > 0 for s in scales)
    return (
        scales[low] if below > 1 and low > 0 and scales[low] <= 0 else None,
        scales[high] if above > 1 and high < len(changes) and scales[high] >= 0 else None,
    )


def _unusual(curves: list[list[tuple[float, Frame]]], usual: Usual) -> tuple[float | None, float | None]:
    """The scales nearest to 0, below and above, at which an edit leaves the usual range."""
    beyond = [scale for curve in curves for scale, frame in curve if usual.leaves(frame.point)]
    return (
        max((scale for scale in beyond if scale < 0), default=None),
        min((scale for scale in beyond if scale > 0), default=None),
    )
