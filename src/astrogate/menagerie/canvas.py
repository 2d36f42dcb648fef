"""A small drawing surface in unit coordinates: x to the right, y down, the frame is [0, 1] x [0, 1].

Shapes of the subject land on a transparent layer; those marked `body` also land in a mask, so that a pattern can be
laid over the body alone. Drawn at several times the picture's size and reduced, which is the anti-aliasing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw

#: Pixels per side of a surface for small pictures, in which patterns are measured.
SIZE = 256
RGB = tuple[int, int, int]
Spot = tuple[float, float]

COLOURS: dict[str, RGB] = {
    "black": (34, 32, 38),
    "white": (245, 245, 240),
    "red": (214, 36, 44),
    "orange": (242, 136, 28),
    "yellow": (250, 218, 44),
    "green": (46, 158, 62),
    "blue": (42, 92, 214),
    "purple": (142, 52, 176),
}
INK: RGB = (26, 22, 28)


def shade(colour: RGB, factor: float) -> RGB:
    """Darken (factor < 1) or lighten towards white (factor > 1) a colour."""
    if factor <= 1:
        return tuple(int(c * factor) for c in colour)  # type: ignore[return-value]
    return tuple(int(c + (255 - c) * (factor - 1)) for c in colour)  # type: ignore[return-value]


def luminance(colour: RGB) -> float:
    """Relative luminance in [0, 1]."""
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


class Canvas:
    """A transparent layer to draw a subject on, `side` pixels wide; `outline` is the width of its contour, in units of
    the frame.
    """

    def __init__(self, outline: float, side: int = SIZE, ink: RGB = INK) -> None:
        self.side = side
        self.image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self.body = Image.new("L", (side, side), 0)
        self._draw = ImageDraw.Draw(self.image)
        self._body = ImageDraw.Draw(self.body)
        self.outline = outline
        self.ink = ink

    @property
    def _contour(self) -> int:
        return round(self.outline * self.side)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: RGB, *, body: bool = False) -> None:
        box = [(x - rx) * self.side, (y - ry) * self.side, (x + rx) * self.side, (y + ry) * self.side]
        w = self._contour
        if w:
            self._draw.ellipse([box[0] - w, box[1] - w, box[2] + w, box[3] + w], fill=self.ink)
        self._draw.ellipse(box, fill=colour)
        if body:
            self._body.ellipse(box, fill=255)

    def polygon(self, spots: Sequence[Spot], colour: RGB, *, body: bool = False) -> None:
        xy = [(x * self.side, y * self.side) for x, y in spots]
        if self._contour:
            self._draw.line([*xy, xy[0], xy[1]], fill=self.ink, width=2 * self._contour, joint="curve")
        self._draw.polygon(xy, fill=colour)
        if body:
            self._body.polygon(xy, fill=255)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, *, body: bool = False) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, body=body)

    def line(self, spots: Sequence[Spot], width: float, colour: RGB, *, plain: bool = False) -> None:
        """A thick polyline with round ends; `plain` leaves out its contour."""
        xy = [(x * self.side, y * self.side) for x, y in spots]
        w = max(1, round(width * self.side))
        if self._contour and not plain:
            self._stroke(self._draw, xy, w + 2 * self._contour, self.ink)
        self._stroke(self._draw, xy, w, colour)

    @staticmethod
    def _stroke(draw: ImageDraw.ImageDraw, xy: list[tuple[float, float]], w: int, fill: RGB) -> None:
        draw.line(xy, fill=fill, width=w, joint="curve")
        r = w / 2
        for x, y in (xy[0], xy[-1]):
            draw.ellipse([x - r, y - r, x + r, y + r], fill=fill)

    def pattern(self, kind: str, colour: RGB) -> None:
        """Lay spots, stripes or a winding spiral over the body drawn so far, in a contrasting tone."""
        bounds = self.body.getbbox()
        if kind == "plain" or bounds is None:
            return
        x0, y0, x1, y1 = bounds
        marks = Image.new("L", (self.side, self.side), 0)
        draw, unit = ImageDraw.Draw(marks), self.side / SIZE
        if kind == "spotted":
            step, r = 34 * unit, 9 * unit
            for row, y in enumerate(np.arange(y0 + 10 * unit, y1 + step, step * 0.8)):
                for x in np.arange(x0 - step + (step / 2 if row % 2 else 6 * unit), x1 + step, step):
                    draw.ellipse([x - r, y - r, x + r, y + r], fill=255)
        elif kind == "striped":
            for x in np.arange(x0 - (y1 - y0), x1, 26 * unit):
                draw.line([(x, y1), (x + (y1 - y0), y0)], fill=255, width=round(10 * unit))
        else:
            turns = np.linspace(0, 2.35 * 2 * np.pi, 90)
            cx, cy, rx, ry = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
            radius = 0.06 + 0.86 * turns / turns[-1]
            points = [(cx + rx * r * np.cos(a), cy + ry * r * np.sin(a)) for r, a in zip(radius, turns, strict=True)]
            draw.line(points, fill=255, width=round(9 * unit), joint="curve")
        tone = shade(colour, 0.32) if luminance(colour) > 0.42 else shade(colour, 1.68)
        self.image.paste(tone, mask=ImageChops.multiply(marks, self.body))

    def mask(self) -> Image.Image:
        """The subject's coverage, as an "L" picture."""
        return self.image.getchannel("A")
