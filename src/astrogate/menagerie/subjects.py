"""The animals and people of Menagerie, front view, with large faces so that a mood survives 64 pixels.

Build widens the body, height lengthens legs, neck and torso, mood bends mouth, brows, arms, ears and tail. Ages differ
in their head-to-body ratio and in hair and dress, never in height alone. Feet stand on y = `FLOOR`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, exp, pi, sin

import numpy as np

from astrogate.menagerie.canvas import COLOURS, RGB, Canvas, luminance, shade

FLOOR = 0.95
_WHITE, _BLACK, _TEAR, _BLUSH = (252, 252, 252), (20, 18, 22), (70, 150, 250), (250, 120, 130)
_SKIN: tuple[RGB, ...] = ((248, 214, 184), (214, 160, 116), (140, 94, 66))
_HAIR: tuple[RGB, ...] = ((62, 40, 26), (40, 32, 34), (150, 92, 40))


@dataclass(frozen=True, slots=True)
class Look:
    """What a subject needs to be drawn: `wide` and `long` are multipliers, `mood` is in [-1, 1]."""

    wide: float
    long: float
    mood: float
    colour: RGB
    pattern: str
    skin: RGB
    hair: RGB


def look(build: float, height: float, mood: float, colour: str, pattern: str, tone: int) -> Look:
    """Turn factors into multipliers: build and height act exponentially, so thin and fat are equally far."""
    return Look(
        wide=exp(0.5 * build),
        long=exp(0.36 * height),
        mood=mood,
        colour=COLOURS[colour],
        pattern=pattern,
        skin=_SKIN[tone % 3],
        hair=_HAIR[tone % 3],
    )


def face(c: Canvas, x: float, y: float, r: float, mood: float, ground: RGB) -> None:
    """Eyes, brows, a mouth that bends with the mood; blush when happy, a tear when sad."""
    ink, outline = (_BLACK if luminance(ground) > 0.32 else _WHITE), c.outline
    c.outline = 0.0
    for side in (-1, 1):
        ex, ey = x + side * 0.40 * r, y - 0.12 * r
        c.ellipse(ex, ey, 0.27 * r, 0.29 * r, _WHITE)
        c.ellipse(ex, ey - 0.06 * r * mood, 0.15 * r, 0.17 * r, _BLACK)
        rise, slope = 0.42 + 0.10 * max(0.0, mood), 0.30 * max(0.0, -mood)
        inner, outer = (
            (x + side * 0.18 * r, ey - (rise + slope * 0.4) * r),
            (x + side * 0.66 * r, ey - (rise - slope) * r),
        )
        c.line([inner, outer], 0.11 * r, ink, plain=True)
        if mood > 0.15:
            c.ellipse(x + side * 0.68 * r, y + 0.28 * r, 0.20 * r * mood, 0.14 * r * mood, _BLUSH)
    us = np.linspace(-1, 1, 13)
    bend, middle = 0.48 * r * mood, y + 0.50 * r
    arc = [(x + 0.56 * r * u, middle + bend * (0.5 - u * u)) for u in us]
    if mood > 0.3:
        c.polygon([*arc, *((px, py - 0.3 * (py - arc[0][1])) for px, py in reversed(arc))], (190, 30, 50))
    c.line(arc, 0.19 * r, ink, plain=True)
    if mood < -0.15:
        ty = y + 0.22 * r
        size = 0.24 * r * -mood
        c.ellipse(x + 0.46 * r, ty + size * 0.9, size * 0.75, size * 1.2, _TEAR)
    c.outline = outline


def hat(c: Canvas, x: float, y: float, r: float, colour: RGB) -> None:
    """A top hat: brim at y, crown above, a band so that it stands out on any ground."""
    band = shade(colour, 0.45) if luminance(colour) > 0.3 else shade(colour, 1.6)
    c.box(x - 0.72 * r, y - 0.86 * r, x + 0.72 * r, y, colour)
    c.box(x - 0.72 * r, y - 0.28 * r, x + 0.72 * r, y - 0.04 * r, band)
    c.ellipse(x, y, 1.18 * r, 0.16 * r, colour)


# People -------------------------------------------------------------------------------------------------------------


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


def person(kind: str) -> Callable[[Canvas, Look, float], tuple[float, float, float]]:
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


# Animals ------------------------------------------------------------------------------------------------------------


def quadruped(kind: str) -> Callable[[Canvas, Look, float], tuple[float, float, float]]:
    """Dog, cat and horse: the body from the side, the face to the front."""
    tall = kind == "horse"
    head, leg0, neck0 = {"dog": (0.178, 0.17, 0.06), "cat": (0.172, 0.15, 0.05), "horse": (0.150, 0.20, 0.12)}[kind]

    def paint(c: Canvas, lk: Look, x: float) -> tuple[float, float, float]:
        leg, ry = leg0 * lk.long, 0.085 * lk.wide
        rx = 0.20 + 0.03 * (lk.wide - 1)
        by = FLOOR - leg - ry * 0.6
        bx, hx = x + 0.07, x - 0.16
        hy = by - ry * 0.5 - neck0 * lk.long - head * 0.45
        limb, dark = 0.030 + 0.026 * lk.wide, shade(lk.colour, 0.72)
        _tail(c, kind, lk, bx + rx * 0.92, by - ry * 0.35)
        for off, tone in ((-0.55, dark), (0.80, dark), (-0.80, lk.colour), (0.55, lk.colour)):
            c.line([(bx + off * rx, by), (bx + off * rx, FLOOR - limb * 0.4)], limb, tone)
        c.line([(bx - rx * 0.7, by - ry * 0.2), (hx + 0.02, hy + head * 0.3)], 0.085 + 0.04 * lk.wide, lk.colour)
        if tall:
            c.line([(bx - rx * 0.5, by - ry), (hx + 0.09, hy - head * 0.3)], 0.05, lk.hair)
        c.ellipse(bx, by, rx, ry, lk.colour, body=True)
        c.pattern(lk.pattern, lk.colour)
        _head(c, kind, lk, hx, hy, head)
        return hx, hy - 0.72 * head, head * 0.82

    return paint


def _tail(c: Canvas, kind: str, lk: Look, x: float, y: float) -> None:
    lift = 0.13 * lk.mood
    if kind == "dog":
        c.line([(x, y), (x + 0.06, y - 0.03 - lift * 0.6), (x + 0.09, y - 0.05 - lift)], 0.035, lk.colour)
    elif kind == "cat":
        curve = [(x + 0.11 * sin(u * 2.4), y - u * (0.05 + lift) * 1.6) for u in np.linspace(0, 1, 9)]
        c.line(curve, 0.03, lk.colour)
    else:
        c.line([(x, y), (x + 0.06, y + 0.02 - lift * 0.5), (x + 0.07, y + 0.16 - lift)], 0.05, lk.hair)


def _head(c: Canvas, kind: str, lk: Look, x: float, y: float, r: float) -> None:
    dark = shade(lk.colour, 0.62) if luminance(lk.colour) > 0.2 else shade(lk.colour, 1.35)
    droop = 0.5 * (1 - lk.mood)
    if kind == "dog":
        c.ellipse(x, y, r, r * 0.95, lk.colour)
        for side in (-1, 1):
            c.ellipse(x + side * 1.02 * r, y - 0.30 * r + 0.50 * r * droop, 0.30 * r, 0.58 * r, dark)
    elif kind == "cat":
        for side in (-1, 1):
            tip = (x + side * (0.86 + 0.24 * droop) * r, y - (1.52 - 0.44 * droop) * r)
            c.polygon([(x + side * 0.96 * r, y - 0.2 * r), tip, (x + side * 0.22 * r, y - 0.82 * r)], lk.colour)
        c.ellipse(x, y, r * 1.08, r * 0.92, lk.colour)
        for side in (-1, 1):
            for rise in (-0.10, 0.16):
                end = (x + side * 1.42 * r, y + (0.30 + rise * 1.8) * r)
                c.line([(x + side * 0.7 * r, y + (0.3 + rise) * r), end], 0.010, (120, 116, 120), plain=True)
    else:
        for side in (-1, 1):
            tip = (x + side * (0.55 + 0.35 * droop) * r, y - (1.50 - 0.35 * droop) * r)
            c.polygon([(x + side * 0.75 * r, y - 0.5 * r), tip, (x + side * 0.2 * r, y - 0.8 * r)], lk.colour)
        c.ellipse(x, y - 0.05 * r, r * 0.92, r, lk.colour)
        c.ellipse(x, y + 0.86 * r, r * 0.78, r * 0.62, shade(lk.colour, 1.35) if luminance(lk.colour) < 0.8 else dark)
    if kind == "horse":
        for side in (-1, 1):
            c.ellipse(x + side * 0.30 * r, y + 1.12 * r, 0.10 * r, 0.10 * r, _BLACK)
    face(c, x, y + (0.08 if kind != "horse" else 0.16) * r, r * 0.92, lk.mood, lk.colour)
    if kind != "horse":
        c.ellipse(x, y + 0.24 * r, 0.15 * r, 0.10 * r, _BLACK if luminance(lk.colour) > 0.32 else (240, 150, 160))


def ant(c: Canvas, lk: Look, x: float) -> tuple[float, float, float]:
    """Three balls on six legs, with feelers."""
    leg, head = 0.15 * lk.long, 0.162
    ry, dark = 0.085 * lk.wide, shade(lk.colour, 0.6) if luminance(lk.colour) > 0.2 else shade(lk.colour, 1.3)
    rx = 0.135 + 0.03 * (lk.wide - 1)
    y = FLOOR - leg - ry * 0.3
    hx, hy = x - 0.22, y - head * 0.55 - 0.16 * (lk.long - 0.6)
    for off in (-0.10, 0.0, 0.10):
        for side in (-1, 1):
            knee = (x - 0.02 + off * 1.4 + side * 0.03, y + leg * 0.35)
            c.line([(x - 0.02 + off * 0.5, y), knee, (x - 0.02 + off * 2.1 + side * 0.025, FLOOR)], 0.022, dark)
    c.line([(x - 0.04, y), (hx, hy)], 0.05, lk.colour)
    c.ellipse(x - 0.03, y, 0.085, 0.055 + ry * 0.3, lk.colour)
    c.ellipse(x + 0.17, y - 0.02, rx, ry, lk.colour, body=True)
    c.pattern(lk.pattern, lk.colour)
    _feelers(c, hx, hy, head, lk.mood, dark)
    c.ellipse(hx, hy, head, head * 0.92, lk.colour)
    face(c, hx, hy + 0.05 * head, head * 0.92, lk.mood, lk.colour)
    return hx, hy - 0.70 * head, head * 0.82


def ladybug(c: Canvas, lk: Look, x: float) -> tuple[float, float, float]:
    """A dome on short legs; the head is always black."""
    leg, head, black = 0.085 * lk.long, 0.158, (36, 34, 42)
    ry, rx = 0.20 * (0.55 * lk.wide + 0.25 * lk.long + 0.1), 0.215 + 0.10 * (lk.wide - 1)
    base = FLOOR - leg
    hx, hy = x - 0.20, base - head * 0.75 - 0.10 * (lk.long - 0.7)
    for off in (-0.6, 0.0, 0.6):
        c.line([(x + 0.08 + off * rx, base - 0.02), (x + 0.08 + off * rx * 1.15, FLOOR - 0.01)], 0.030, black)
    dome = [(x + 0.08 + rx * cos(a), base - ry * 1.5 * sin(a)) for a in np.linspace(0, pi, 30)]
    c.polygon(dome, lk.colour, body=True)
    if lk.pattern == "plain":
        c.line([(x + 0.10, base - ry * 1.46), (x + 0.16, base)], 0.012, shade(lk.colour, 0.45), plain=True)
    c.pattern(lk.pattern, lk.colour)
    _feelers(c, hx, hy, head, lk.mood, black)
    c.ellipse(hx, hy, head, head * 0.95, black)
    face(c, hx, hy + 0.05 * head, head * 0.92, lk.mood, black)
    return hx, hy - 0.70 * head, head * 0.82


def _feelers(c: Canvas, x: float, y: float, r: float, mood: float, colour: RGB) -> None:
    for side in (-1, 1):
        tip = (x + side * (0.75 - 0.2 * mood) * r, y - (1.35 + 0.35 * mood) * r)
        c.line([(x + side * 0.3 * r, y - 0.6 * r), tip], 0.018, colour)
        c.ellipse(*tip, 0.13 * r, 0.13 * r, colour)


Painter = Callable[[Canvas, Look, float], tuple[float, float, float]]
BEINGS: dict[str, Painter] = {
    **{kind: person(kind) for kind in _FIGURES},
    **{kind: quadruped(kind) for kind in ("dog", "cat", "horse")},
    "ant": ant,
    "ladybug": ladybug,
}
