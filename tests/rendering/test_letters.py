"""Labels: letters that the font has, and what becomes of others."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from astrogate.rendering.letters import shown
from astrogate.rendering.sheet import sheet


@pytest.mark.parametrize("text", ["a dog", "Ça ğ Łódź", "Ψυχή Ωμέγα", "Ёжик в тумане", "Việt Nam", "−2.5 …"])  # noqa: RUF001
def test_letters_of_european_scripts_are_drawn(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("猫", "U+732B"),
        ("a 猫 b", "a U+732B b"),
        ("e\u0301tude", "\u00e9tude"),
        ("two\nlines\tof  it", "two lines of it"),
        ("a\u202eb", "aU+202E b"),
        ("a\x1b[2K", "aU+001B [2K"),
        ("", ""),
    ],
)
def test_what_the_font_lacks_is_spelt_out(text: str, drawn: str) -> None:
    assert shown(text) == drawn


def test_a_sheet_tells_labels_apart() -> None:
    frame = Image.new("RGB", (64, 64))
    pages = [np.asarray(sheet([frame], labels=[label], rows=[label])) for label in ("猫", "犬", "é", "e")]
    assert all(not np.array_equal(a, b) for i, a in enumerate(pages) for b in pages[:i] if a.shape == b.shape)
