"""Letters on pictures: Open Sans, for Latin, Greek and Cyrillic scripts. What it lacks is spelt out, not boxed."""

from __future__ import annotations

import unicodedata
from functools import cache

from PIL import Image, ImageDraw, ImageFont
from ttf_opensans import OPENSANS_REGULAR

#: No character: fonts draw for it what they draw for all that they lack.
_NONE = "\uffff"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font of labels, `size` pixels high."""
    return ImageFont.truetype(str(OPENSANS_REGULAR.path), size)


def shown(text: str) -> str:
    """A text as the font can draw it, in one line: a character that it lacks is spelt out, such as U+732B."""
    composed = " ".join(unicodedata.normalize("NFC", text).split())
    return " ".join("".join(c if _has(c) else f"U+{ord(c):04X} " for c in composed).split())


@cache
def _has(character: str) -> bool:
    """Whether the font has a character, and it is one that is seen."""
    if not character.isprintable():
        return False
    return _mask(character) != _mask(_NONE)


def _mask(character: str) -> tuple[tuple[int, int], bytes]:
    """The size and the pixels of a character."""
    width = max(1, round(font(16).getlength(character)))
    page = Image.new("L", (width, 24))
    ImageDraw.Draw(page).text((0, 0), character, 255, font(16))
    return page.size, page.tobytes()
