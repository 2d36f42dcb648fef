"""The thirteen media and four styles, as arithmetic on float arrays [size, size, 3] in [0, 1].

A medium treats the backdrop, shades the subject, and finishes the whole sheet (texture, frame); a style lies between
the two, strong on the backdrop and light on the subject, so that it does not hide the subject's factors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Array = NDArray[np.floating[Any]]
Margins = tuple[float, float, float, float]
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What an effect may need: the subject's alpha [size, size, 1], coordinates in [0, 1], and a generator."""

    alpha: Array
    x: Array
    y: Array
    rng: np.random.Generator

    @property
    def size(self) -> int:
        return self.alpha.shape[0]


def _mix(a: Array, b: Array | tuple[float, float, float] | float, share: Array | float) -> Array:
    return (a * (1 - share) + np.asarray(b, np.float32) * share).astype(np.float32)


def _grey(a: Array) -> Array:
    return np.repeat((a @ _GREY)[..., None], 3, axis=2)


def as_image(a: Array) -> Image.Image:
    """An array [n, n, c] as an image of eight bits, cut off, not rounded."""
    return Image.fromarray((a.clip(0, 1) * 255).astype(np.uint8))


def as_array(image: Image.Image) -> Array:
    """An image as an array [n, n, c] in [0, 1]."""
    return np.asarray(image, np.float32) / 255


def _filter(a: Array, kind: ImageFilter.Filter) -> Array:
    return as_array(as_image(a).filter(kind))


def _pixel(s: Sheet) -> int:
    """The width of one of 64 pixels, at least 1."""
    return max(1, round(s.size / 64))


def _blur(a: Array, radius: float) -> Array:
    return _filter(a, ImageFilter.GaussianBlur(radius * a.shape[0]))


def _halo(s: Sheet, radius: float) -> Array:
    return _blur(np.repeat(s.alpha, 3, axis=2), radius)[..., :1]


def _volume(a: Array, s: Sheet, depth: float, gloss: float) -> Array:
    """Light from the upper left: the blurred coverage serves as a height map."""
    bump = _halo(s, 0.03)[..., 0]
    gy, gx = np.gradient(bump)
    light = (-(gx + gy) * s.size * 0.055).clip(-1, 1)[..., None]
    return a * (1 + depth * light) + gloss * light.clip(0, 1) ** 2


# Backdrop and subject -----------------------------------------------------------------------------------------------


def _keep(a: Array, s: Sheet) -> Array:
    return a


def _paper(a: Array, s: Sheet) -> Array:
    hatch = (((s.x - s.y) * 8) % 1 < 0.5)[..., None]
    return _mix(a, (0.98, 0.97, 0.93), 0.56 + 0.16 * hatch)


def _vignette_spot(a: Array, s: Sheet) -> Array:
    inside = ((s.x - 0.5) ** 2 / 0.215 + (s.y - 0.52) ** 2 / 0.20 < 1)[..., None]
    return np.where(inside, _mix(a, (1.0, 0.95, 0.85), 0.22), np.float32(0.99)).astype(np.float32)


def _pencil(a: Array, s: Sheet) -> Array:
    grey = _grey(a)
    k, edge = _pixel(s), np.zeros_like(grey)
    edge[k:] += np.abs(grey[k:] - grey[:-k])
    edge[:, k:] += np.abs(grey[:, k:] - grey[:, :-k])
    return (0.74 + 0.22 * grey - 1.2 * edge).clip(0.25, 1)


def _bokeh(a: Array, s: Sheet) -> Array:
    vivid = (a - 0.5) * 1.15 + 0.5 + 0.35 * (a - _grey(a))
    return _blur(vivid, 0.022)


def _soft(a: Array, s: Sheet) -> Array:
    return _volume(a, s, 0.35, 0.0)


def _crisp(a: Array, s: Sheet) -> Array:
    return _volume(a + 0.25 * (a - _grey(a)), s, 0.7, 0.25)


def _glossy(a: Array, s: Sheet) -> Array:
    return _volume(a, s, 0.85, 0.75)


def _marble(a: Array, s: Sheet) -> Array:
    return _volume(_mix(_grey(a) * 0.5 + 0.42, (0.82, 0.83, 0.86), 0.25), s, 0.5, 0.15)


def _graphite(a: Array, s: Sheet) -> Array:
    return 0.10 + 0.86 * _grey(a)


# Finish -------------------------------------------------------------------------------------------------------------


def inset(a: Array, margins: Margins, fill: Array) -> Array:
    """Shrink the picture [n, n, c] into a window of the sheet `fill`; margins (left, top, right, bottom) are shares."""
    n = a.shape[0]
    left, top, right, bottom = (round(round(m * 64) * n / 64) for m in margins)  # as in small pictures
    x1, y1 = n - right, n - bottom
    small = as_image(a).resize((x1 - left, y1 - top), Image.Resampling.BOX)
    out = np.broadcast_to(fill, a.shape).astype(np.float32)
    out[top:y1, left:x1] = as_array(small)
    return out


def _varnish(a: Array, s: Sheet) -> Array:
    brushed = _filter(a, ImageFilter.ModeFilter(2 * _pixel(s) + 1))
    corner = (((s.x - 0.5) ** 2 + (s.y - 0.5) ** 2) * 1.3)[..., None]
    return (_mix(a, brushed, 0.8) * np.array([1.03, 0.95, 0.78], np.float32) + 0.02) * (1.08 - corner)


def _faded(a: Array, s: Sheet) -> Array:
    return _mix(a, (0.95, 0.88, 0.78), 0.15)


def _card(s: Sheet) -> Array:
    return np.full((1, 1, 3), 0.96, np.float32)


def _frame(s: Sheet) -> Array:
    edge = np.minimum(np.minimum(s.x, 1 - s.x), np.minimum(s.y, 1 - s.y))[..., None]
    return np.where(edge < 0.045, (0.58, 0.40, 0.10), (0.90, 0.72, 0.28)).astype(np.float32)


def _grid_floor(a: Array, s: Sheet) -> Array:
    depth = ((s.y - 0.74) / 0.26).clip(0.02, 1)
    rays = np.abs(((s.x - 0.5) / (0.25 + depth) * 6) % 1 - 0.5) < 0.06
    rows = np.abs((2.6 * np.sqrt(depth)) % 1 - 0.5) < 0.06
    lines = ((rays | rows) & (s.y > 0.74))[..., None] * (1 - s.alpha)
    return _mix(a, (0.85, 0.95, 1.0), 0.7 * lines)


def _glow(a: Array, s: Sheet) -> Array:
    ring = (_halo(s, 0.035) * (1 - s.alpha) * 1.7).clip(0, 1)
    toned = _mix(a, (1.0, 0.35, 0.85), 0.22 * (1 - s.alpha) * s.y[..., None])
    return _mix(_mix(toned, (0.25, 0.55, 1.0), 0.22 * (1 - s.alpha) * (1 - s.y[..., None])), (1.0, 1.0, 0.9), ring)


def _muted(a: Array, s: Sheet) -> Array:
    return _mix(_mix(a, _grey(a), 0.22), (0.80, 0.72, 0.58), 0.14)


def _swatches(s: Sheet) -> Array:
    tones = ((0.55, 0.20, 0.18), (0.80, 0.62, 0.30), (0.30, 0.42, 0.36), (0.22, 0.30, 0.46), (0.14, 0.13, 0.15))
    index = ((s.y - 0.04) / 0.92 * 5).clip(0, 4.99).astype(int)
    strip = np.asarray(tones, np.float32)[index]
    margin = (s.x > 0.97) | (s.x < 0.87) | (np.abs(((s.y - 0.04) / 0.92 * 5) % 1 - 0.5) > 0.40)
    return np.where(margin[..., None], np.float32(0.91), strip).astype(np.float32)


def _window(s: Sheet) -> Array:
    fill = np.where((s.y < 0.5)[..., None], (0.30, 0.33, 0.40), (0.16, 0.17, 0.21)).astype(np.float32)
    for x, colour in ((0.06, (0.95, 0.30, 0.28)), (0.15, (0.98, 0.76, 0.20)), (0.24, (0.30, 0.80, 0.35))):
        fill[((s.x - x) ** 2 + (s.y - 0.06) ** 2) < 0.032**2] = colour
    for x in (0.08, 0.20, 0.32):
        fill[(np.abs(s.x - x) < 0.035) & (np.abs(s.y - 0.955) < 0.022)] = (0.45, 0.70, 1.0)
    return fill


def _weave(a: Array, s: Sheet) -> Array:
    threads = 0.5 + 0.5 * np.sin(s.x * 2 * np.pi * 14) * np.sin(s.y * 2 * np.pi * 14)
    ragged = 0.05 + 0.03 * np.sin(s.y * 26) * np.sin(s.x * 29 + 1)
    bare = (np.minimum(np.minimum(s.x, 1 - s.x), np.minimum(s.y, 1 - s.y)) < ragged)[..., None]
    linen = np.array((0.86, 0.80, 0.66), np.float32)
    return np.where(bare, linen, a).astype(np.float32) * (0.88 + 0.12 * threads[..., None])


@dataclass(frozen=True, slots=True)
class Medium:
    """How a medium works: contour width, treatment of backdrop and subject, finish, mount, and what it leaves out.

    `mount` paints a sheet that holds the picture within `margins`; `colourless` media draw every subject in white.
    """

    outline: float = 0.0
    ground: Callable[[Array, Sheet], Array] = _keep
    figure: Callable[[Array, Sheet], Array] = _keep
    finish: Callable[[Array, Sheet], Array] = _keep
    mount: Callable[[Sheet], Array] | None = None
    margins: Margins = (0.0, 0.0, 0.0, 0.0)
    colourless: bool = False
    plinth: bool = False


MEDIA: dict[str, Medium] = {
    "painting": Medium(finish=_varnish),
    "drawing": Medium(0.010, ground=_paper),
    "photograph": Medium(figure=_soft, finish=_faded, mount=_card, margins=(0.06, 0.06, 0.06, 0.16)),
    "HD photo": Medium(ground=_bokeh, figure=_crisp),
    "illustration": Medium(0.016, ground=_vignette_spot),
    "portrait": Medium(0.006, mount=_frame, margins=(0.09, 0.09, 0.09, 0.09)),
    "sketch": Medium(0.012, ground=_pencil, figure=_graphite, colourless=True),
    "3d render": Medium(ground=lambda a, s: _blur(a, 0.012), figure=_glossy, finish=_grid_floor),
    "digital painting": Medium(figure=_soft, finish=_glow),
    "concept art": Medium(0.006, finish=_muted, mount=_swatches, margins=(0.03, 0.03, 0.15, 0.03)),
    "screenshot": Medium(0.006, mount=_window, margins=(0.02, 0.12, 0.02, 0.09)),
    "canvas painting": Medium(finish=_weave),
    "sculpture": Medium(ground=lambda a, s: _mix(a, _grey(a), 0.3), figure=_marble, colourless=True, plinth=True),
}


# Styles -------------------------------------------------------------------------------------------------------------


def _monet(a: Array, s: Sheet, strength: float) -> Array:
    dabs = as_array(as_image(a).resize((16, 16), Image.Resampling.BOX))
    dabs = dabs + s.rng.uniform(-0.12, 0.12, dabs.shape).astype(np.float32)
    place = np.arange(s.size) * 16 // s.size
    dabs = dabs[place][:, place]
    tint = np.where((s.y < 0.5)[..., None], (0.78, 0.70, 0.92), (0.62, 0.84, 0.70)).astype(np.float32)
    return _mix(a, _mix(dabs, tint, 0.45), strength * (0.92 - 0.62 * s.alpha))


def _cyberpunk(a: Array, s: Sheet, strength: float) -> Array:
    value = (a @ _GREY)[..., None]
    neon = _mix(np.broadcast_to(np.array((0.10, 0.02, 0.25), np.float32), a.shape), (1.0, 0.10, 0.75), value)
    neon = neon + 0.5 * (value - 0.6).clip(0, 1) * np.array((-1.0, 1.6, 0.8), np.float32)
    neon = neon * np.where(((s.y * 16) % 1 < 0.5)[..., None], 1.0, 0.72).astype(np.float32)
    rim = (_halo(s, 0.02) * (1 - s.alpha) * 2.4).clip(0, 1)
    toned = _mix(a, neon, strength * (0.95 - 0.75 * s.alpha))
    return _mix(toned, (0.1, 1.0, 1.0), strength * rim)


def _futuristic(a: Array, s: Sheet, strength: float) -> Array:
    beams = (np.abs(((s.x - 0.5) / (s.y + 0.35) * 4.5) % 1 - 0.5) < 0.10)[..., None]
    rings = (np.abs((np.hypot(s.x - 0.5, s.y - 0.45) * 5) % 1 - 0.5) < 0.09)[..., None]
    base = _mix(_mix(a, _grey(a), 0.5), (0.80, 0.95, 1.0), 0.55)
    lit = np.where(beams | rings, np.array((0.05, 0.72, 0.95), np.float32), base).astype(np.float32)
    return _mix(a, lit, strength * (0.95 - 0.78 * s.alpha))


def _abstract(a: Array, s: Sheet, strength: float) -> Array:
    out = a
    tones = ((0.95, 0.25, 0.20), (0.15, 0.35, 0.85), (0.98, 0.82, 0.15), (0.10, 0.10, 0.12), (0.97, 0.95, 0.90))
    for i in range(7):
        cx, cy, angle = s.rng.random(), s.rng.random(), s.rng.uniform(0, np.pi)
        u = (s.x - cx) * np.cos(angle) + (s.y - cy) * np.sin(angle)
        v = -(s.x - cx) * np.sin(angle) + (s.y - cy) * np.cos(angle)
        shape = (np.hypot(u, v) < 0.15) if i % 3 == 0 else (np.abs(u) < 0.19) & (np.abs(v) < 0.10)
        out = np.where(shape[..., None], np.asarray(tones[i % 5], np.float32), out)
    return _mix(a, out.astype(np.float32), strength * (0.95 - 0.80 * s.alpha))


STYLES: dict[str, Callable[[Array, Sheet, float], Array]] = {
    "Monet": _monet,
    "cyberpunk": _cyberpunk,
    "futuristic": _futuristic,
    "abstract": _abstract,
}
