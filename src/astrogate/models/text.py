"""What a prompt becomes: token spans of its words, what a tokenizer cuts off, words that a model does not know."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Collection
from typing import Any

from astrogate.core.errors import AstrogateError, AstrogateWarning

_WORD = re.compile(r"[^\W\d_]+|\d|[^\w\s]+|_+")


def check_prompt(prompt: str, tokenizer: Any, language: Collection[str]) -> None:
    """Raise for an empty prompt; warn about the rest, as `check_words` does."""
    if not prompt.strip():
        raise AstrogateError("the prompt is empty", 'say what to draw, e.g. "a painting of a dog"')
    check_words(prompt, tokenizer, language)


def check_words(prompt: str, tokenizer: Any, language: Collection[str]) -> None:
    """Warn about what is cut off and, in a closed language, about unknown words."""
    ids = tokenizer(prompt, truncation=False, verbose=False).input_ids
    limit = tokenizer.model_max_length
    if len(ids) > limit:
        cut = tokenizer.decode(ids[limit - 1 : -1]).strip()
        _warn(f"the prompt is {len(ids) - limit} tokens too long: {cut!r} was cut off; shorten it")
    if language:
        for word in dict.fromkeys(_WORD.findall(prompt.lower())):
            if word.isalpha() and word not in language:
                near = difflib.get_close_matches(word, language, n=3, cutoff=0.5)
                hint = f"; near it: {', '.join(near)}" if near else ""
                _warn(f"this model does not know the word {word!r}{hint}")


def _warn(text: str) -> None:
    warnings.warn(text, AstrogateWarning, stacklevel=5)


def word_spans(prompt: str, tokenizer: Any) -> dict[str, tuple[int, int]]:
    """Each word's token range [start, end) in the encoded prompt; a word's first occurrence counts."""
    spans: dict[str, tuple[int, int]] = {}
    start, limit = 1, tokenizer.model_max_length - 1
    for word in _WORD.findall(prompt):
        end = start + len(tokenizer(word, add_special_tokens=False).input_ids)
        if end > limit:
            break
        spans.setdefault(word.lower(), (start, end))
        start = end
    return spans
