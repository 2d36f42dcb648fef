"""What a prompt becomes: token spans of its words, what a tokenizer cuts off, words that a model does not know."""

from __future__ import annotations

import difflib
import itertools
import re
import string
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.protocols import Model
from astrogate.core.segment import WORD, Segment, folded, words_of
from astrogate.core.texts import check_text


def check_prompt(prompt: str) -> None:
    """Raise AstrogateError for an empty prompt, and for what is no text."""
    check_text(prompt)
    if not prompt.strip():
        raise AstrogateError("the prompt is empty", 'say what to draw, e.g. "a painting of a dog"')


def first_segment(model: Model, text: str) -> Segment:
    """Where the words of a text are among the tokens of a model's first encoder.

    Raises AstrogateError for a model whose denoiser reads no text.
    """
    found = model.segments(text)
    if not found:
        raise AstrogateError(f"the decoder of {model.name} reads no text", "move its image embedding")
    return found[0]


def check_tokens(model: Model, text: str) -> None:
    """Raise AstrogateError for a text that becomes no token at all, or more of them than a model reads."""
    segment = first_segment(model, text)
    if segment.first == segment.end:
        raise AstrogateError(f"{text!r} becomes no token in {model.name}", "use a word that its tokenizer knows")
    if len(segment.words) < len(said := WORD.findall(text)):
        raise AstrogateError(f"{text!r} is too long for {model.name}", f"end it before {said[len(segment.words)]!r}")


def check_length(text: str, tokenizer: Any, limit: int | None = None, frame: tuple[str, str] = ("", "")) -> None:
    """Warn about what is cut off of a text in its `frame`, at `limit` tokens (None: the tokenizer's)."""
    spelled, most = expanded(text, tokenizer)[0].join(frame), int(limit or tokenizer.model_max_length)
    ids = tokenizer(spelled, truncation=False, verbose=False).input_ids
    if len(ids) > most:
        cut = tokenizer.decode(ids[most - 1 : -1]).strip()
        _warn(f"the prompt is {len(ids) - most} tokens too long: {cut!r} was cut off; shorten it")


def check_words(texts: Sequence[str], language: Collection[str]) -> None:
    """Warn about words outside a closed language, with the nearest inside; an empty language is open.

    Raises AstrogateError for what is no text, and for one text in place of several.
    """
    if isinstance(texts, str):
        raise AstrogateError(f"{texts!r} is one text, and several are wanted", "give a list of texts")
    for text in texts:
        check_text(text)
    if not language:
        return
    for word in dict.fromkeys(word for text in texts for word in words_of(text)):
        if word not in language and not set(word) <= set(string.punctuation):
            near = difflib.get_close_matches(word, language, n=3, cutoff=0.5)
            hint = f"; near it: {', '.join(near)}" if near else "; see `WORDS` in astrogate.menagerie.captions"
            _warn(f"this model does not know the word {word!r}{hint}")


def check_padding(padding: str) -> None:
    """Raise AstrogateError for a way to pad texts that there is not."""
    if padding not in ("max_length", "longest"):
        raise AstrogateError(f"padding {padding!r} is unknown", "use max_length or longest")


def _warn(text: str) -> None:
    warnings.warn(text, AstrogateWarning, stacklevel=4)


def expanded(prompt: str, tokenizer: Any) -> tuple[str, list[tuple[int, int, int, int]]]:
    """A prompt with every token of a textual inversion of several vectors, as diffusers spells it out, and where each
    such word was: its range in the prompt, and in the text that comes back.
    """
    added: Mapping[str, int] = getattr(tokenizer, "added_tokens_encoder", {})
    if not any(f"{token}_1" in added for token in added):
        return prompt, []
    read = dict.fromkeys(tokenizer.tokenize(prompt, verbose=False))  # it alone knows which words are which tokens
    several = sorted((token for token in read if token in added and f"{token}_1" in added), key=len, reverse=True)
    if not several:
        return prompt, []
    text, places, done = "", list[tuple[int, int, int, int]](), 0
    for match in re.finditer("|".join(map(re.escape, several)), prompt):
        token = match.group()
        more = itertools.takewhile(lambda name: name in added, (f"{token}_{i}" for i in itertools.count(1)))
        text += prompt[done : match.start()]
        spelled, done = " ".join([token, *more]), match.end()
        places.append((match.start(), match.end(), len(text), len(text) + len(spelled)))
        text += spelled
    return text + prompt[done:], places


def _placed(start: int, end: int, places: Sequence[tuple[int, int, int, int]]) -> tuple[int, int]:
    """Where a range of a prompt lies in the text that `expanded` made: all of a word that it is a part of."""
    moved = 0
    for a, b, c, d in places:
        if a < end and b > start:
            return c, d
        if b <= start:
            moved = d - b
    return start + moved, end + moved


def segment(
    prompt: str,
    tokenizer: Any,
    *,
    length: int | None = None,
    most: int | None = None,
    start: int = 0,
    name: str = "",
    frame: tuple[str, str] = ("", ""),
    omitted: slice = slice(0, 0),
    left: bool = False,
) -> Segment:
    """Where a prompt's words, its end and its padding lie in `length` tokens from `start` (None: the tokenizer's).

    `most` is how many of them are read, `frame` what stands before and behind the prompt; the tokens `omitted` are no
    part of the segment. Padding stands behind it, or on the `left`.
    """
    size: int = length or tokenizer.model_max_length
    check_text(prompt)
    text, places = expanded(prompt, tokenizer)
    before, behind = frame
    encoded = tokenizer(text.join(frame), truncation=True, max_length=most or size, return_offsets_mapping=True)
    ids, offsets = list(encoded.input_ids), list(encoded.offset_mapping)
    del ids[omitted], offsets[omitted]
    begin = start + (size - len(ids) if left else 0)
    words: list[tuple[str, int, int]] = []
    for match in WORD.finditer(prompt):
        low, high = (len(before) + place for place in _placed(match.start(), match.end(), places))
        inside = [begin + i for i, (a, b) in enumerate(offsets) if a < high and b > low]
        if inside:
            words.append((folded(match.group()), inside[0], inside[-1] + 1))
    end = len(ids) - (ids[-1] == tokenizer.eos_token_id)  # some write no end
    if behind:
        end = next((i for i, (a, _) in enumerate(offsets) if a >= len(before + text)), end)
    first = (
        next((i for i, (_, b) in enumerate(offsets) if b > len(before)), end)
        if before
        else int(ids[0] == tokenizer.bos_token_id)
    )
    return Segment(start, begin + first, begin + end, start + size, tuple(words), name)


def tokenized(tokenizer: Any, prompts: Sequence[str], padding: str = "max_length") -> Any:
    """`input_ids` and `attention_mask` [n, tokens] of prompts, cut off and padded at the tokenizer's own length.

    Warns about what is cut off.
    """
    limit = tokenizer.model_max_length
    for prompt in prompts:
        check_length(prompt, tokenizer)
    return tokenizer(
        [expanded(prompt, tokenizer)[0] for prompt in prompts],
        padding=padding,
        max_length=limit,
        truncation=True,
        return_tensors="pt",
    )


def end_of_text(ids: Tensor, tokenizer: Any) -> Tensor:
    """The index [n] of the first end-of-text token in each row of ids [n, tokens]."""
    return (ids == tokenizer.eos_token_id).int().argmax(1)
