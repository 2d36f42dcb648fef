"""Segment: which tokens of a prompt are which words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: What counts as one word of a prompt.
WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]+|_+")


@dataclass(frozen=True, slots=True)
class Segment:
    """One text encoder's tokens on the sequence axis of "prompt_embeds": positions [start, stop).

    `first` is the text's first token (after a begin token, where there is one), `end` its end-of-text token; what
    follows is padding. `words` are the prompt's, in order and lower case, each with its range. `name` is "" for a
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
        wanted = WORD.findall(phrase.lower())
        places = range(len(self.words) - len(wanted) + 1) if wanted else range(0)
        for i in reversed(places) if last else places:
            found = self.words[i : i + len(wanted)]
            if [word for word, _, _ in found] == wanted:
                return found[0][1], found[-1][2]
        return None
