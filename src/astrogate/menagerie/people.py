"""The people of Menagerie, front view.

Ages differ in their head-to-body ratio and in hair and dress, never in height alone; mood lifts the arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from astrogate.menagerie.canvas import Canvas, luminance, shade
from astrogate.menagerie.figure import FLOOR, Look, Painter, face


@dataclass(frozen=True, slots=True)
class Figure:
    """Proportions of a person: lengths at height 0, in units of the frame."""

    head: float
    torso: float
    leg: float
    half: float
    dress: str
    hair: str


_FIGURES = {
    "person": Figure(0.158, 0.18, 0.15, 0.088, "coat", "bald"),
    "man": Figure(0.152, 0.17, 0.18, 0.095, "trousers", "beard"),
    "woman": Figure(0.152, 0.17, 0.18, 0.074, "gown", "long"),
    "child": Figure(0.178, 0.14, 0.10, 0.088, "trousers", "bob"),
    "baby": Figure(0.198, 0.13, 0.05, 0.110, "nappy", "curl"),
    "boy": Figure(0.172, 0.13, 0.13, 0.084, "shorts", "spikes"),
    "girl": Figure(0.172, 0.14, 0.12, 0.074, "skirt", "tails"),
}


def person(kind: str) -> Painter:
    """The painter of one kind of person; it returns where a hat sits (x, y) and its half width."""
    figure = _FIGURES[kind]

    def paint(c: Canvas, lk: Look, x: float) -> tuple[float, float, float]:
        head, long = figure.head, lk.long
        leg, torso, half = figure.leg * long, figure.torso * long, figure.half * lk.wide
        hip, shoulder = FLOOR - leg, FLOOR - leg - torso
        hy = shoulder - 0.80 * head
        limb = 0.036 * lk.wide**0.7 + 0.016
        dark = shade(lk.colour, 0.62) if luminance(lk.colour) > 0.2 else shade(lk.colour, 1.3)
        _back_hair(c, figure.hair, lk, x, hy, head)
        for side in (-1, 1):
            foot = x + side * half * (1.5 if figure.dress == "nappy" else 0.62)
            top, bare = (x + side * half * 0.5, hip - 0.01), figure.dress in ("shorts", "skirt", "nappy", "gown")
            c.line([top, (foot, FLOOR - 0.02)], limb, lk.skin if bare else dark)
            c.ellipse(foot + side * 0.012, FLOOR - 0.014, 0.034, 0.020, (70, 46, 40))
        for side in (-1, 1):
            angle = 0.35 + 1.05 * (lk.mood + 1) / 2 * pi * 0.62
            reach = 0.11 + 0.055 * long
            start = (x + side * half * 0.95, shoulder + 0.035)
            hand = (start[0] + side * reach * sin(angle), start[1] + reach * cos(angle))
            c.line([start, hand], limb * 0.9, lk.colour)
            c.ellipse(*hand, limb * 0.62, limb * 0.62, lk.skin)
        _garment(c, figure.dress, lk, x, shoulder, hip, half, leg)
        c.pattern(lk.pattern, lk.colour)
        c.ellipse(x, hy, head, head * 1.02, lk.skin)
        _front_hair(c, figure.hair, lk, x, hy, head)
        face(c, x, hy + 0.10 * head, head * 0.94, lk.mood, lk.skin)
        return x, hy - 0.62 * head, head * 0.86

    return paint


def _garment(c: Canvas, dress: str, lk: Look, x: float, top: float, hip: float, half: float, leg: float) -> None:
    if dress == "gown":
        hem = hip + leg * 0.72
        c.polygon(
            [(x - half, top), (x + half, top), (x + half * 2.5, hem), (x - half * 2.5, hem)], lk.colour, body=True
        )
    elif dress == "skirt":
        hem = hip + leg * 0.28
        c.polygon(
            [(x - half, top), (x + half, top), (x + half * 1.9, hem), (x - half * 1.9, hem)], lk.colour, body=True
        )
    elif dress == "coat":
        c.box(x - half * 1.12, top, x + half * 1.12, hip + leg * 0.55, lk.colour, body=True)
    elif dress == "nappy":
        c.ellipse(x, (top + hip) / 2, half * 1.25, (hip - top) * 0.62, lk.colour, body=True)
    else:
        middle = (top + hip) / 2
        c.polygon([(x - half, top), (x + half, top), (x + half, hip), (x - half, hip)], lk.colour, body=True)
        c.ellipse(x, middle + 0.01, half * 1.12, (hip - top) * 0.56, lk.colour, body=True)
        if dress == "shorts":
            c.box(x - half, hip - 0.01, x + half, hip + leg * 0.35, shade(lk.colour, 0.62))


def _back_hair(c: Canvas, hair: str, lk: Look, x: float, y: float, r: float) -> None:
    if hair == "long":
        c.ellipse(x, y + 0.15 * r, 1.22 * r, 1.25 * r, lk.hair)
        c.box(x - 1.20 * r, y + 0.15 * r, x + 1.20 * r, y + 1.75 * r, lk.hair)
    elif hair == "tails":
        for side in (-1, 1):
            c.ellipse(x + side * 1.28 * r, y + 0.22 * r, 0.36 * r, 0.66 * r, lk.hair)
            c.ellipse(x + side * 1.02 * r, y - 0.34 * r, 0.20 * r, 0.20 * r, (230, 60, 140))


def _front_hair(c: Canvas, hair: str, lk: Look, x: float, y: float, r: float) -> None:
    outline, c.outline = c.outline, 0.0
    cap = [(x + r * 1.05 * cos(a), y + r * 1.06 * sin(a)) for a in np.linspace(pi * 1.06, pi * 1.94, 14)]
    if hair in ("long", "tails", "beard"):
        c.polygon([*cap, (x, y - 0.52 * r)], lk.hair)
    if hair == "beard":
        jaw = [(x + r * 1.04 * cos(a), y + r * 1.10 * sin(a)) for a in np.linspace(0.02 * pi, 0.98 * pi, 16)]
        chin = [(x + r * 0.74 * cos(a), y + r * 0.92 * sin(a)) for a in np.linspace(0.98 * pi, 0.02 * pi, 16)]
        c.polygon([*jaw, *chin], lk.hair)
        c.ellipse(x, y + 0.36 * r, 0.34 * r, 0.09 * r, lk.hair)
    elif hair == "bob":
        fringe = [(x + r * 1.16 * cos(a), y + r * 1.12 * sin(a)) for a in np.linspace(pi * 0.88, pi * 2.12, 20)]
        inner = [
            (x + r * 0.84 * cos(a), y + 0.1 * r + r * 0.70 * sin(a)) for a in np.linspace(pi * 2.12, pi * 0.88, 20)
        ]
        c.polygon([*fringe, *inner], lk.hair)
    elif hair == "spikes":
        tips: list[tuple[float, float]] = []
        for i, a in enumerate(np.linspace(pi * 1.08, pi * 1.92, 11)):
            reach = 1.36 if i % 2 else 0.98
            tips.append((x + r * reach * cos(a), y + r * reach * sin(a)))
        c.polygon([*tips, (x, y - 0.5 * r)], lk.hair)
    elif hair == "curl":
        c.line([(x - 0.05 * r, y - 0.98 * r), (x + 0.26 * r, y - 1.16 * r), (x, y - 1.30 * r)], 0.12 * r, lk.hair)
    c.outline = outline


PEOPLE: dict[str, Painter] = {kind: person(kind) for kind in _FIGURES}
