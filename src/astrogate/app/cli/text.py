"""Text that is safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line of text with what a terminal would obey, such as escapes, written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
