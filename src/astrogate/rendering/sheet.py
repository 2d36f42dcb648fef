"""Contact sheets: frames in a grid, with labels, enlarged by whole factors so that small pictures stay crisp."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Frame
from astrogate.core.values import whole
from astrogate.rendering.letters import font, shown
from astrogate.rendering.pixels import MOST_SHEET, image_of

_PAPER, _INK, _GAP = (255, 255, 255), (40, 40, 48), 4
#: To what width pictures are enlarged, at most.
LARGEST_TILE = 4096


def sheet(
    frames: Iterable[Frame | Image.Image],
    *,
    columns: int | None = None,
    labels: Sequence[str] = (),
    rows: Sequence[str] = (),
    tile: int = 128,
) -> Image.Image:
    """Lay frames or images out, row by row.

    `columns` defaults to one row; `labels` head the columns, in as many lines as they need, `rows` stand left of the
    rows; pictures smaller than `tile` pixels are enlarged by a whole factor. Raises AstrogateError when there is
    nothing to show.
    """
    images = [image_of(frame) for frame in frames]
    if not images:
        raise AstrogateError("there are no frames to lay out", "render at least one point")
    if odd := next((image for image in images if image.size != images[0].size), None):
        raise AstrogateError(f"frames of {images[0].size} and {odd.size} pixels", "lay out frames of one size")
    columns = len(images) if columns is None else whole(columns, "{} columns", 1, 10_000)
    tile = whole(tile, "a tile of {} pixels", 1, LARGEST_TILE)
    zoom = max(1, -(-tile // images[0].width))
    w, h = images[0].width * zoom, images[0].height * zoom
    letters = max(11, min(h // 10, 400))
    ink = font(letters)
    heads = [_wrapped(shown(text), ink, w) for text in labels[:columns]]
    rows = [shown(text) for text in rows]
    line = round(letters * (0.4 + 1.2 * max(head.count("\n") + 1 for head in heads))) if heads else 0
    margin = round(max((ink.getlength(text) for text in rows), default=0)) + (2 * _GAP if rows else 0)
    count = -(-len(images) // columns)
    size = (margin + columns * (w + _GAP) + _GAP, line + count * (h + _GAP) + _GAP)
    if size[0] * size[1] > MOST_SHEET:
        raise AstrogateError(f"a sheet of {size[0]} x {size[1]} pixels", "show fewer pictures, or smaller ones")
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    for i, image in enumerate(images):
        x, y = margin + _GAP + (i % columns) * (w + _GAP), line + _GAP + (i // columns) * (h + _GAP)
        page.paste(image.resize((w, h), Image.Resampling.NEAREST), (x, y))
    for i, head in enumerate(heads):
        draw.text((margin + _GAP + i * (w + _GAP) + w / 2, line / 2 + 2), head, _INK, ink, "mm", align="center")
    for i, text in enumerate(rows[:count]):
        draw.text((_GAP, line + _GAP + i * (h + _GAP) + h / 2), text, _INK, ink, "lm")
    return page


def _wrapped(text: str, ink: ImageFont.FreeTypeFont, width: int) -> str:
    """The text with its words in lines of at most `width` pixels, where a word is no longer than that."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and ink.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
