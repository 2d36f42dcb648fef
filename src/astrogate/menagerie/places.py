"""The places of Menagerie: temple, pyramid, city and castle. They have build, height, colour and pattern, no mood."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from astrogate.menagerie.canvas import RGB, Canvas, luminance, shade
from astrogate.menagerie.figure import FLOOR, Look


def _dark(colour: RGB) -> RGB:
    return shade(colour, 0.45) if luminance(colour) > 0.2 else shade(colour, 1.4)


def temple(c: Canvas, lk: Look, x: float) -> None:
    """Columns on steps under a gable."""
    half, tall = 0.21 * lk.wide**0.8, 0.36 * lk.long
    top = FLOOR - 0.06 - tall
    dark = _dark(lk.colour)
    c.box(x - half * 0.9, top, x + half * 0.9, FLOOR - 0.06, dark)
    for u in np.linspace(-0.78, 0.78, 4):
        c.box(x + u * half - 0.030, top, x + u * half + 0.030, FLOOR - 0.05, lk.colour, body=True)
    c.box(x - half * 1.12, FLOOR - 0.06, x + half * 1.12, FLOOR, lk.colour)
    gable = 0.15 * lk.long**0.5
    c.polygon([(x - half * 1.2, top), (x + half * 1.2, top), (x, top - gable)], lk.colour, body=True)
    c.pattern(lk.pattern, lk.colour)


def pyramid(c: Canvas, lk: Look, x: float) -> None:
    """A triangle with a shaded side and a door."""
    half, top = 0.26 * lk.wide**0.8, FLOOR - 0.52 * lk.long
    c.polygon([(x - half, FLOOR), (x + half, FLOOR), (x, top)], lk.colour, body=True)
    c.pattern(lk.pattern, lk.colour)
    outline, c.outline = c.outline, 0.0
    c.polygon([(x + half * 0.42, FLOOR), (x + half, FLOOR), (x, top)], shade(lk.colour, 0.6))
    c.box(x - half * 0.28, FLOOR - 0.10, x - half * 0.02, FLOOR, _dark(lk.colour))
    c.outline = outline


def city(c: Canvas, lk: Look, x: float) -> None:
    """Three towers with lit windows."""
    half, tall = 0.095 * lk.wide**0.8, 0.52 * lk.long
    towers = ((-2.0, 0.66), (2.0, 0.80), (0.0, 1.0))
    for off, share in towers:
        cx, top = x + off * half, FLOOR - tall * share
        c.box(cx - half * 0.98, top, cx + half * 0.98, FLOOR, lk.colour, body=True)
    c.pattern(lk.pattern, lk.colour)
    outline, c.outline = c.outline, 0.0
    for off, share in towers:
        cx, top = x + off * half, FLOOR - tall * share
        for wy in np.arange(top + 0.045, FLOOR - 0.05, 0.085):
            for side in (-1, 1):
                wx = cx + side * half * 0.45
                c.box(wx - half * 0.24, wy - 0.016, wx + half * 0.24, wy + 0.020, (255, 240, 150))
    c.line([(x, FLOOR - tall), (x, FLOOR - tall - 0.07)], 0.014, _dark(lk.colour), plain=True)
    c.outline = outline


def castle(c: Canvas, lk: Look, x: float) -> None:
    """Two round towers with pointed roofs, a battlement and a gate."""
    half, tall = 0.20 * lk.wide**0.8, 0.36 * lk.long
    dark, top = _dark(lk.colour), FLOOR - tall
    wall = FLOOR - tall * 0.62
    c.box(x - half, wall, x + half, FLOOR, lk.colour, body=True)
    for u in (-0.42, 0.0, 0.42):
        c.box(x + u * half - 0.10 * half, wall - 0.045, x + u * half + 0.10 * half, wall + 0.01, lk.colour, body=True)
    for side in (-1, 1):
        cx, w = x + side * half, 0.30 * half + 0.012
        c.box(cx - w, top, cx + w, FLOOR, lk.colour, body=True)
    c.pattern(lk.pattern, lk.colour)
    for side in (-1, 1):
        cx, w = x + side * half, 0.42 * half + 0.014
        c.polygon([(cx - w, top), (cx + w, top), (cx, top - 0.15)], dark)
    c.ellipse(x, FLOOR - 0.09, 0.24 * half + 0.01, 0.07, dark)
    c.box(x - 0.24 * half - 0.01, FLOOR - 0.09, x + 0.24 * half + 0.01, FLOOR, dark)


PLACES: dict[str, Callable[[Canvas, Look, float], None]] = {
    "temple": temple,
    "pyramid": pyramid,
    "city": city,
    "castle": castle,
}
