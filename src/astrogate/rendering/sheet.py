"""Contact sheets: frames in a grid, with labels, enlarged by whole factors so that small pictures stay crisp."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PIL import Image, ImageDraw, ImageFont

from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Frame
from astrogate.core.texts import check_text
from astrogate.core.values import whole
from astrogate.rendering.letters import font, shown
from astrogate.rendering.pixels import MOST_SHEET, image_of

_PAPER, _INK, _GAP = (255, 255, 255), (40, 40, 48), 4
#: The most letters of a label, and the width of those left of the rows, in letters.
_LONGEST, _SIDE = 200, 12
#: To what width pictures are enlarged, at most.
LARGEST_TILE = 4096


def sheet(
    frames: Frame | Image.Image | Iterable[Frame | Image.Image],
    *,
    columns: int | None = None,
    labels: Sequence[str] = (),
    rows: Sequence[str] = (),
    tile: int = 128,
) -> Image.Image:
    """Lay frames or images out, row by row.

    `columns` defaults to one row; `labels` head the columns, `rows` stand left of the rows, in as many lines as they
    need; pictures smaller than `tile` pixels are enlarged by a whole factor. Raises AstrogateError when there is
    nothing to show, or too much, and for more labels than columns or rows.
    """
    images = [image_of(frame) for frame in ([frames] if isinstance(frames, (Frame, Image.Image)) else frames)]
    if not images:
        raise AstrogateError("there are no frames to lay out", "render at least one point")
    if odd := next((image for image in images if image.size != images[0].size), None):
        raise AstrogateError(f"frames of {images[0].size} and {odd.size} pixels", "lay out frames of one size")
    columns = len(images) if columns is None else whole(columns, "{} columns", 1, 10_000)
    tile = whole(tile, "a tile of {} pixels", 1, LARGEST_TILE)
    count = -(-len(images) // columns)
    w, h = check_sheet(images[0].size, columns, count, tile)
    letters = max(11, min(h // 14, 400))
    ink = font(letters)
    for texts, most, what in ((labels, columns, "columns"), (rows, count, "rows")):
        if isinstance(texts, str) or len(texts) > most:
            raise AstrogateError(f"{len(texts)} labels for {most} {what}", "give a list of one for each")
        for text in texts:
            check_text(text)
    heads = [_wrapped(shown(text), ink, w) for text in labels]
    sides = [_wrapped(shown(text), ink, max(w, _SIDE * letters)) for text in rows]
    line = round(letters * (0.4 + 1.2 * max(head.count("\n") + 1 for head in heads))) if heads else 0
    parts = [part for text in sides for part in text.split("\n")]
    margin = round(max((ink.getlength(part) for part in parts), default=0)) + (2 * _GAP if rows else 0)
    size = (margin + columns * (w + _GAP) + _GAP, line + count * (h + _GAP) + _GAP)
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    for i, image in enumerate(images):
        x, y = margin + _GAP + (i % columns) * (w + _GAP), line + _GAP + (i // columns) * (h + _GAP)
        page.paste(image.resize((w, h), Image.Resampling.NEAREST), (x, y))
    for i, head in enumerate(heads):
        draw.text((margin + _GAP + i * (w + _GAP) + w / 2, line / 2 + 2), head, _INK, ink, "mm", align="center")
    for i, text in enumerate(sides):
        draw.text((_GAP, line + _GAP + i * (h + _GAP) + h / 2), text, _INK, ink, "lm")
    return page


def check_sheet(size: tuple[int, int], columns: int, rows: int, tile: int) -> tuple[int, int]:
    """The width and height of a picture of `size` on a sheet. Raises AstrogateError for a sheet of too many pixels."""
    zoom = max(1, -(-tile // max(size)))
    w, h = size[0] * zoom, size[1] * zoom
    wide, high = columns * (w + _GAP), rows * (h + _GAP)
    if wide * high > MOST_SHEET:
        raise AstrogateError(f"a sheet of {wide} x {high} pixels", "show fewer pictures, or smaller ones")
    return w, h


def _wrapped(text: str, ink: ImageFont.FreeTypeFont, width: int) -> str:
    """The text in lines of at most `width` pixels, of which there are a few; what is too long ends in "..."."""
    lines = [""]
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    for word in text.split():
        if ink.getlength(word) > width:
            fitting = (n for n in range(len(word), 0, -1) if ink.getlength(f"{word[:n]}...") <= width)
            word = f"{word[: next(fitting, 1)]}..."
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and ink.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return "\n".join(lines)
