"""Segment: which tokens of a prompt are which words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from astrogate.core.texts import check_text

#: Marks that belong to the letter before them: accents, and the vowel signs of Indic scripts and Thai.
_MARKS = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0971-\u0dff"
    "\u0e31-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f"
)
#: What counts as one word of a prompt.
WORD = re.compile(rf"[^\W\d_](?:[^\W\d_]|[{_MARKS}])*|\d|[^\w\s]+|_+")


def folded(text: str) -> str:
    """A text as it is compared: without case, and with accents in one form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def words_of(text: str) -> list[str]:
    """The words of a text, as they are compared. Raises AstrogateError for what is no text."""
    check_text(text)
    return [folded(word) for word in WORD.findall(text)]


def places(phrase: str, text: str) -> list[tuple[int, int]]:
    """Where a word or phrase stands in a text: the range of characters of each time."""
    found, wanted = list(WORD.finditer(text)), words_of(phrase)
    spoken, count = [folded(match.group()) for match in found], len(wanted)
    starts = [i for i in range(len(found) - count + 1) if count and spoken[i : i + count] == wanted]
    return [(found[i].start(), found[i + count - 1].end()) for i in starts]


@dataclass(frozen=True, slots=True)
class Segment:
    """One text encoder's tokens on the sequence axis of "prompt_embeds": positions [start, stop).

    `first` is the text's first token (after a begin token, where there is one), `end` its end-of-text token; what
    follows is padding. `words` are the prompt's, in order and folded, each with its range. `name` is "" for a
    model's first segment, "t5" for T5's behind CLIP's.
    """

    start: int
    first: int
    end: int
    stop: int
    words: tuple[tuple[str, int, int], ...] = ()
    name: str = ""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Segment:
        """The segment that `dataclasses.asdict` told, as JSON gives it back."""
        words = tuple((str(word), int(low), int(high)) for word, low, high in told["words"])
        return cls(told["start"], told["first"], told["end"], told["stop"], words, told["name"])

    def find(self, phrase: str, *, last: bool = False) -> tuple[int, int] | None:
        """The range of tokens of a word or phrase where it first (or last) occurs; None where it does not."""
        wanted = words_of(phrase)
        places = range(len(self.words) - len(wanted) + 1) if wanted else range(0)
        for i in reversed(places) if last else places:
            found = self.words[i : i + len(wanted)]
            if [word for word, _, _ in found] == wanted:
                return found[0][1], found[-1][2]
        return None
