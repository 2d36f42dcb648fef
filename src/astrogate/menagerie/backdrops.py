"""What stands behind the subject: the six scenes, and the extras doomsday, alien and invasion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from astrogate.menagerie.canvas import RGB, SIZE

_HORIZON = 0.66


def _gradient(top: RGB, bottom: RGB, side: int) -> Image.Image:
    ramp = np.linspace(0, 1, side)[:, None, None]
    column = np.asarray(top) * (1 - ramp) + np.asarray(bottom) * ramp
    return Image.fromarray(np.broadcast_to(column, (side, side, 3)).astype(np.uint8))


class Ground:
    """A backdrop in the making, in unit coordinates, `side` pixels wide; `rng` places what is not a factor."""

    def __init__(self, rng: np.random.Generator, doomsday: bool, side: int) -> None:
        self.rng = rng
        self.side = side
        self.doomsday = doomsday

    def sky(self, top: RGB, bottom: RGB) -> None:
        if self.doomsday:
            top, bottom = (96, 8, 16), (236, 60, 30)
        self.image = _gradient(top, bottom, self.side)
        self._draw = ImageDraw.Draw(self.image)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB) -> None:
        n = self.side
        self._draw.rectangle([x0 * n, y0 * n, x1 * n, y1 * n], fill=colour)

    def disc(self, x: float, y: float, rx: float, ry: float, colour: RGB) -> None:
        n = self.side
        self._draw.ellipse([(x - rx) * n, (y - ry) * n, (x + rx) * n, (y + ry) * n], fill=colour)

    def polygon(self, spots: list[tuple[float, float]], colour: RGB) -> None:
        n = self.side
        self._draw.polygon([(x * n, y * n) for x, y in spots], fill=colour)

    def line(self, spots: list[tuple[float, float]], width: float, colour: RGB) -> None:
        n = self.side
        self._draw.line([(x * n, y * n) for x, y in spots], fill=colour, width=max(1, round(width * n)))

    def jitter(self, spread: float) -> float:
        return float(self.rng.uniform(-spread, spread))


def _meadow(g: Ground) -> None:
    g.sky((120, 194, 250), (208, 236, 255))
    g.disc(0.86 + g.jitter(0.03), 0.14, 0.09, 0.09, (255, 232, 90))
    g.disc(0.2 + g.jitter(0.1), 0.74, 0.55, 0.20, (132, 206, 92))
    g.box(0, _HORIZON + 0.06, 1, 1, (108, 188, 70))
    for i in range(9):
        x, y = i / 9 + 0.05 + g.jitter(0.03), 0.80 + 0.16 * float(g.rng.random())
        g.disc(x, y, 0.017, 0.017, ((255, 250, 250), (255, 120, 160), (255, 236, 90))[i % 3])


def _beach(g: Ground) -> None:
    g.sky((150, 216, 252), (226, 244, 252))
    g.box(0, 0.46, 1, _HORIZON, (24, 132, 190))
    for y in (0.52, 0.59):
        g.line([(u, y + 0.008 * np.sin(u * 22 + y * 9)) for u in np.linspace(0, 1, 24)], 0.012, (150, 216, 236))
    g.box(0, _HORIZON, 1, 1, (242, 214, 150))
    x = 0.88 + g.jitter(0.02)
    g.line([(x, 0.80), (x - 0.03, 0.42)], 0.032, (140, 96, 56))
    for dx, dy in ((-0.16, 0.03), (0.13, 0.04), (-0.10, -0.09), (0.08, -0.10)):
        g.line([(x - 0.03, 0.42), (x - 0.03 + dx, 0.42 + dy)], 0.036, (40, 140, 66))


def _night(g: Ground) -> None:
    g.sky((12, 14, 46), (36, 38, 92))
    x = 0.84 + g.jitter(0.03)
    g.disc(x, 0.16, 0.10, 0.10, (250, 246, 206))
    g.disc(x - 0.045, 0.14, 0.085, 0.085, (18, 20, 56) if not g.doomsday else (110, 14, 20))
    for _ in range(14):
        x, y = float(g.rng.random()), 0.52 * float(g.rng.random())
        g.disc(x, y, 0.010, 0.010, (255, 255, 230))
    g.box(0, _HORIZON + 0.06, 1, 1, (24, 34, 44))


def _snow(g: Ground) -> None:
    g.sky((172, 196, 220), (222, 232, 242))
    for x in (0.10 + g.jitter(0.03), 0.90 + g.jitter(0.03)):
        for k in range(3):
            w, y = 0.10 + 0.035 * k, 0.34 + 0.11 * k
            g.polygon([(x - w, y + 0.14), (x + w, y + 0.14), (x, y)], (36, 104, 84))
            g.polygon([(x - w * 0.4, y + 0.056), (x + w * 0.4, y + 0.056), (x, y)], (250, 252, 255))
    g.box(0, _HORIZON, 1, 1, (244, 248, 255))
    for _ in range(16):
        g.disc(float(g.rng.random()), float(g.rng.random()) * 0.66, 0.013, 0.013, (255, 255, 255))


def _city(g: Ground) -> None:
    g.sky((196, 190, 196), (232, 222, 210))
    x = -0.02
    while x < 1:
        w, tall = 0.13 + 0.05 * float(g.rng.random()), 0.24 + 0.26 * float(g.rng.random())
        tone = int(104 + 40 * g.rng.random())
        g.box(x, _HORIZON - tall, x + w, 0.75, (tone, tone, tone + 14))
        for wy in np.arange(_HORIZON - tall + 0.04, 0.70, 0.075):
            for wx in (x + w * 0.28, x + w * 0.72):
                g.box(wx - 0.018, wy - 0.016, wx + 0.018, wy + 0.016, (250, 226, 140))
        x += w + 0.012
    g.box(0, 0.74, 1, 1, (92, 92, 98))
    for u in (0.02, 0.30, 0.58, 0.86):
        g.box(u, 0.90, u + 0.16, 0.925, (240, 230, 160))


def _jungle(g: Ground) -> None:
    g.sky((26, 92, 46), (60, 130, 60))
    for _ in range(16):
        x, y = float(g.rng.random()), 0.60 * float(g.rng.random())
        tone = int(60 + 60 * g.rng.random())
        g.disc(x, y, 0.13, 0.045, (20, tone + 20, 34))
    for x in (0.07 + g.jitter(0.03), 0.93 + g.jitter(0.03)):
        g.line([(x, 0), (x, 0.8)], 0.05, (92, 62, 36))
        for y in (0.10, 0.32, 0.54):
            for side in (-1, 1):
                g.polygon([(x, y), (x + side * 0.20, y - 0.01), (x + side * 0.10, y + 0.10)], (34, 150, 60))
    for x in (0.30 + g.jitter(0.05), 0.68 + g.jitter(0.05)):
        g.line([(x + 0.02 * np.sin(9 * u), u * 0.55) for u in np.linspace(0, 1, 12)], 0.018, (120, 190, 60))
    g.box(0, 0.74, 1, 1, (44, 78, 36))


_PAINTERS: dict[str, Callable[[Ground], None]] = {
    "meadow": _meadow,
    "beach": _beach,
    "night": _night,
    "snow": _snow,
    "city": _city,
    "jungle": _jungle,
}


def _saucer(g: Ground, x: float, y: float, r: float) -> None:
    g.disc(x, y - 0.30 * r, 0.50 * r, 0.42 * r, (150, 255, 190))
    g.disc(x, y, r, 0.30 * r, (150, 150, 170))
    for u in (-0.6, 0.0, 0.6):
        g.disc(x + u * r, y + 0.03 * r, 0.12 * r, 0.12 * r, (255, 80, 220))


def _rocket(g: Ground, x: float, y: float, r: float) -> None:
    g.polygon([(x, y + 1.1 * r), (x - 0.6 * r, y - 0.6 * r), (x + 0.6 * r, y - 0.6 * r)], (40, 40, 46))
    g.disc(x, y - 0.9 * r, 0.36 * r, 0.5 * r, (255, 150, 30))


def backdrop(
    scene: str, *, doomsday: bool, alien: bool, invasion: bool, rng: np.random.Generator, side: int = SIZE
) -> Image.Image:
    """Paint a scene with its extras: a red sky, a saucer, or many of them (rockets, unless they are aliens)."""
    ground = Ground(rng, doomsday, side)
    _PAINTERS[scene](ground)
    if alien:
        _saucer(ground, 0.17 + ground.jitter(0.02), 0.16, 0.14)
    if invasion:
        craft, r = (_saucer, 0.08) if alien else (_rocket, 0.065)
        for x, y in ((0.09, 0.34), (0.38, 0.09), (0.60, 0.14), (0.74, 0.34), (0.93, 0.30)):
            craft(ground, x + ground.jitter(0.02), y, r)
    return ground.image
