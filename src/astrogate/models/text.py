"""What a prompt becomes: token spans of its words, what a tokenizer cuts off, words that a model does not know."""

from __future__ import annotations

import difflib
import re
import string
import warnings
from collections.abc import Collection, Iterable
from typing import Any

from astrogate.core.errors import AstrogateError, AstrogateWarning

_WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]+|_+")


def check_prompt(prompt: str) -> None:
    """Raise AstrogateError for an empty prompt."""
    if not prompt.strip():
        raise AstrogateError("the prompt is empty", 'say what to draw, e.g. "a painting of a dog"')


def check_length(text: str, tokenizer: Any) -> None:
    """Warn about what a tokenizer cuts off."""
    ids = tokenizer(text, truncation=False, verbose=False).input_ids
    limit = tokenizer.model_max_length
    if len(ids) > limit:
        cut = tokenizer.decode(ids[limit - 1 : -1]).strip()
        _warn(f"the prompt is {len(ids) - limit} tokens too long: {cut!r} was cut off; shorten it")


def check_words(texts: Iterable[str], language: Collection[str]) -> None:
    """Warn about words outside a closed language, with the nearest inside; an empty language is open."""
    if not language:
        return
    for word in dict.fromkeys(word for text in texts for word in _WORD.findall(text.lower())):
        if word not in language and not set(word) <= set(string.punctuation):
            near = difflib.get_close_matches(word, language, n=3, cutoff=0.5)
            hint = f"; near it: {', '.join(near)}" if near else "; see `WORDS` in astrogate.menagerie.captions"
            _warn(f"this model does not know the word {word!r}{hint}")


def _warn(text: str) -> None:
    warnings.warn(text, AstrogateWarning, stacklevel=4)


def word_spans(prompt: str, tokenizer: Any) -> dict[str, tuple[int, int]]:
    """Each word's token range [start, end) in the encoded prompt; a word's first occurrence counts."""
    limit = tokenizer.model_max_length
    offsets = tokenizer(prompt, truncation=True, max_length=limit, return_offsets_mapping=True).offset_mapping
    spans: dict[str, tuple[int, int]] = {}
    for match in _WORD.finditer(prompt):
        inside = [i for i, (a, b) in enumerate(offsets) if a < match.end() and b > match.start()]
        if inside:
            spans.setdefault(match.group().lower(), (inside[0], inside[-1] + 1))
    return spans
