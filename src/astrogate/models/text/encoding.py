"""Prompts as a pipeline itself encodes them, by a family's row: textual inversions and all."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from astrogate.core.segment import Segment
from astrogate.models.family import Family, Text
from astrogate.models.finite import check_made
from astrogate.models.loading.checks import check_tokenizers
from astrogate.models.loading.quiet import quiet
from astrogate.models.sampler.layers import side_by_side
from astrogate.models.sampler.lengths import padded
from astrogate.models.text.prompts import expanded, segment


def encoded(
    pipe: Any,
    family: Family,
    prompts: list[str],
    *,
    negative: str | None = None,
    learning: bool = False,
    short: bool = False,
) -> dict[str, Tensor]:
    """States [n, ...] by space for prompts and, unless it is None, a negative prompt ("" is none).

    Those of `short` texts have no more padding than the longest of the prompts needs.

    Raises AstrogateError for states that are not finite, unless something is `learning`, which looks at its own loss.
    """
    check_tokenizers(pipe, "the model")  # tokens may be added to one alone, at any time
    accepted = signature(pipe.encode_prompt).parameters
    counted = [text for text in family.texts if text.length is not None]
    lengths = [needed(pipe, text, prompts) if short else text.tokens(pipe) for text in counted]
    given = {
        "prompt": list(prompts),  # some write into it
        "prompt_2": None,
        "prompt_3": None,
        "device": pipe._execution_device,
        "num_images_per_prompt": 1,
        "do_classifier_free_guidance": negative is not None,
        **({"negative_prompt": [negative] * len(prompts)} if negative else {}),
        **({"max_sequence_length": lengths[-1]} if lengths else {}),
        **({} if family.asked is None else family.asked(pipe)),
    }
    with quiet():
        found = pipe.encode_prompt(**{name: value for name, value in given.items() if name in accepted})
    states = {
        name: value
        for name, value in zip(family.encoded, found, strict=False)
        if name is not None and value is not None
    }
    if family.unpadded:
        states = padded(states, family)
    if family.layers is not None:
        states = side_by_side(states)
    encoders = {name: getattr(pipe, name) for name in family.encoders}
    if not learning:
        check_made(states.values(), "text states", {name: part for name, part in encoders.items() if part is not None})
    if negative is None:
        return {space: states[space] for space in family.sites}
    if "negative_prompt" not in accepted:
        states |= {f"negative_{space}": value for space, value in encoded(pipe, family, [negative]).items()}
    return states


def needed(pipe: Any, text: Text, prompts: Sequence[str]) -> int:
    """How many tokens an encoder must read for the longest of the prompts, and what stands behind it."""
    frame, omitted, tokenizer = text.frame(pipe), text.omitted(pipe), text.reader(pipe)
    spelled = [expanded(text.read(prompt), tokenizer)[0].join(frame) for prompt in prompts]
    with quiet():
        read = [len(ids) for ids in tokenizer(spelled).input_ids]
    return min(max(read) + 1 - (omitted.stop - omitted.start) + text.tail, text.tokens(pipe))


@contextmanager
def shortened(pipe: Any, prompts: Sequence[str]) -> Generator[None]:
    """While open, tokenizers that cut at a length of their own pad to the longest of the prompts."""
    found = [getattr(pipe, name) for name in pipe.components if name.startswith("tokenizer")]
    tokenizers = {id(tokenizer): tokenizer for tokenizer in found if tokenizer is not None}.values()
    before = [(tokenizer, tokenizer.model_max_length) for tokenizer in tokenizers]
    with quiet():
        read = [
            tokenizer([expanded(prompt, tokenizer)[0] for prompt in prompts], truncation=True).input_ids
            for tokenizer in tokenizers
        ]
    longest = max((len(ids) for rows in read for ids in rows), default=0)
    try:
        for tokenizer, _ in before:
            tokenizer.model_max_length = longest
        yield
    finally:
        for tokenizer, length in before:
            tokenizer.model_max_length = length


def ends(pipe: Any, family: Family, prompts: Sequence[str]) -> Tensor:
    """The index [n] of each prompt's end-of-text token in the first segment."""
    first = family.texts[0]
    tokenizer, how = first.reader(pipe), _reading(pipe, family, first)
    return torch.tensor([segment(first.read(prompt), tokenizer, **how).end for prompt in prompts])


def _reading(pipe: Any, family: Family, text: Text) -> dict[str, Any]:
    """How a pipeline reads a text, for `prompts.segment`."""
    own = {"length": text.tokens(pipe), "most": text.limit(pipe), "left": text.left(pipe) and not family.unpadded}
    return {**own, "frame": text.frame(pipe), "omitted": text.omitted(pipe)}


def segments(pipe: Any, family: Family, prompt: str) -> tuple[Segment, ...]:
    """A prompt's tokens, a segment for each of the family's texts whose tokenizer is there."""
    found: list[Segment] = []
    for text in family.texts:
        tokenizer = text.reader(pipe)
        if tokenizer is not None:
            start = found[-1].stop if found else 0
            how = _reading(pipe, family, text)
            found.append(segment(text.read(prompt), tokenizer, start=start, name=text.name, **how))
    return tuple(found)
