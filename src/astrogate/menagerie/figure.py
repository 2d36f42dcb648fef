"""What every figure shares: its proportions, its face and its hat. Feet stand on y = `FLOOR`.

Build widens, height lengthens, mood bends mouth and brows; faces are large so that a mood survives 64 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp

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


#: Draws a subject at x; returns where a hat sits (x, y) and its half width.
Painter = Callable[[Canvas, Look, float], tuple[float, float, float]]
