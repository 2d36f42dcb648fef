"""How far a style goes before the picture breaks: slerp (Qi 2023) beside methods that start later or move less.

Strips of rising strength, over prompts and seeds, are read for the style, the subject and the edges.
`measure.breakdown` says where a strip breaks and what it reached before; the style's strength is the reader's, where it
sees the style at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from astrogate.core.point import Point
from astrogate.core.protocols import Model, Reader, Readings
from astrogate.core.recipe import Recipe
from astrogate.measure.breakdown import before_breakdown, breakdown, edge_energy
from astrogate.measure.scores import Estimate, bootstrap, mean
from astrogate.menagerie.world import sample_scene
from astrogate.methods.edit.contrast import contrast
from astrogate.methods.edit.guidance import guide, toward
from astrogate.methods.edit.style import style
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.edit.editors import LATE
from astrogate.studies.edit.floor import PLAIN
from astrogate.studies.world.scenes import drawings, reconstruct

Style = Callable[[Point, float], Point]


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt, the phrase in it, the style that a reader should see and the subject that should stay."""

    prompt: str
    phrase: str
    style: str
    subject: str


#: The paper's three prompts.
CASES = (
    Case("doomsday pyramid cyberpunk alien invasion", "cyberpunk", "cyberpunk", "pyramid"),
    Case("futuristic high tech city architecture", "futuristic high tech", "futuristic", "city"),
    Case("temple hidden in the jungle Monet style", "Monet style", "Monet", "temple"),
)
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
SEEDS = tuple(range(300, 308))
_TEMPLATE = "a {medium} of a {subject} {word}"
_SUBJECTS = ("temple", "pyramid", "city", "castle", "dog", "cat", "man", "woman")


def methods(model: Model, text: str) -> dict[str, tuple[Style, tuple[float, ...]]]:
    """Every way to strengthen a phrase, with its strengths from 0 on."""
    direction = contrast(model, text, None, template=_TEMPLATE, subjects=_SUBJECTS, roles=("subject", "end", "padding"))

    def slerped(**options: Any) -> Style:
        return lambda p, s: p.apply(style(model, p, text, **options), s)

    def placed(p: Point, s: float) -> Point:
        return p.apply(direction.at(p, window=LATE), s)

    def guided(p: Point, s: float) -> Point:
        return p.apply(guide(p, direction.at(p), quantile=0.0), s)

    def sega(p: Point, s: float) -> Point:
        return p.apply(toward(model, text, quantile=0.0), s)

    def held(make: Style) -> Style:
        return lambda p, s: make(p, s).held(1.0) if s else p

    slerps, scales, guides = (
        (*STRENGTHS, 0.6, 0.8, 1.0),
        (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0),
        (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0),
    )
    late = slerped(window=(0.3, 1.0))
    return {
        "slerp": (slerped(), slerps),
        "slerp, late": (late, slerps),
        "slerp, late and held": (held(late), slerps),
        "the phrase's tokens alone": (slerped(in_span=True), slerps),
        "direction, late": (placed, scales),
        "direction, late and held": (held(placed), scales),
        "guidance by the direction": (guided, guides),
        "guidance by the phrase": (sega, guides),
        "guidance by the phrase, held": (held(sega), guides),
    }


@dataclass(frozen=True, slots=True)
class Strip:
    """One strip: what was read at each strength, and its pictures."""

    strengths: tuple[float, ...]
    styles: tuple[float, ...]
    subjects: tuple[str, ...]
    edges: tuple[float, ...]
    images: tuple[Image.Image, ...]

    @property
    def broken(self) -> float | None:
        """The first strength at which the picture is broken."""
        return breakdown(self.strengths, self.subjects, self.edges)

    @property
    def reached(self) -> float:
        """The style's strength before that."""
        return before_breakdown(self.strengths, self.styles, self.broken)


def strips(
    model: Model, reader: Reader, case: Case, seeds: Sequence[int], recipe: Recipe | None = None
) -> dict[str, list[Strip]]:
    """A strip for every method and seed."""
    out: dict[str, list[Strip]] = {}
    for name, (make, strengths) in methods(model, case.phrase).items():
        starts = model.points(case.prompt, seeds)
        points = [make(start, s) for start in starts for s in strengths]
        frames = list(render(model, points, recipe=recipe, batch_size=32))
        pictures = to_tensor(frames)
        readings, edges = reader.read(pictures), edge_energy(pictures)
        styles, subjects = _styles(readings, case.style), readings.labels("subject")
        n = len(strengths)
        out[name] = [
            Strip(
                strengths,
                tuple(styles[i : i + n]),
                tuple(subjects[i : i + n]),
                tuple(edges[i : i + n].tolist()),
                tuple(frame.image for frame in frames[i : i + n]),
            )
            for i in range(0, len(frames), n)
        ]
    return out


def full_strength(model: Model, reader: Reader, *, count: int = 40) -> Estimate:
    """What is read, as in `strips`, of the world's own drawings at full strength: of each case's style and subject."""
    rng, seen = np.random.default_rng(0), list[float]()
    for case in CASES:
        own = {"subject": case.subject, "style": case.style, "strength": 1.0, **PLAIN}
        pictures = reconstruct(
            model, drawings([replace(sample_scene(rng), **own) for _ in range(count)], model.size)[0]
        )
        seen += _styles(reader.read(pictures), case.style)
    return bootstrap(mean, np.asarray(seen))


def _styles(readings: Readings, style: str) -> list[float]:
    """The strength of a style in pictures: its probability times the strength that is read."""
    seen = readings.probabilities["style"][:, list(readings.classes["style"]).index(style)]
    return (seen * readings.values["strength"].clamp(0, 1)).tolist()


def summary(found: Sequence[Mapping[str, Sequence[Strip]]]) -> dict[str, tuple[Estimate, float]]:
    """For every method, over cases and seeds: the style reached before breakdown, and the share of broken strips."""
    names = list(found[0])
    pooled = {name: [strip for case in found for strip in case[name]] for name in names}
    return {
        name: (
            bootstrap(mean, np.asarray([s.reached for s in every])),
            mean([float(s.broken is not None) for s in every]),
        )
        for name, every in pooled.items()
    }
