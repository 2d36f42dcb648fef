"""The animals of Menagerie: the body from the side, the face to the front; mood lifts ears, tail and feelers."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from astrogate.menagerie.canvas import RGB, Canvas, luminance, shade
from astrogate.menagerie.figure import FLOOR, Look, Painter, face

_BLACK = (20, 18, 22)


def quadruped(kind: str) -> Painter:
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


ANIMALS: dict[str, Painter] = {
    **{kind: quadruped(kind) for kind in ("dog", "cat", "horse")},
    "ant": ant,
    "ladybug": ladybug,
}
