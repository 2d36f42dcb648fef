"""Phrase: the strength of a style by slerp of the text states towards states + phrase (Qi 2023, seed 001).

    e_theta = slerp(e, e + v, theta),  v = encoding of the phrase alone, padded

over the flattened states of the prompt, or over the phrase's own tokens in it. Seed 001 weakens a style by the same
rule with -v; the way that it recommends instead is the text difference, v = e - e(prompt without the phrase). `between`
is its interpolation from prompt to prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.point import WORD, Curve, Half, Point, Steer
from astrogate.core.protocols import Model
from astrogate.methods.path.walk import walk
from astrogate.models.text.prompts import check_tokens
from astrogate.ops.interpolate import slerp

#: Beyond this, states are mostly the phrase's; the seed's own range ends at 0.5.
LIMIT = 1.0


def phrase(
    model: Model,
    point: Point,
    text: str,
    strength: float,
    *,
    difference: bool = False,
    in_span: bool = False,
    window: tuple[float, float] = (0.0, 1.0),
    curve: Curve = (),
    half: Half = "positive",
) -> Steer:
    """Strengthen (or, below 0, weaken) the phrase `text` in a point's prompt.

    `strength` is theta, from -1 to 1. `difference` takes v as what the phrase changes in this prompt, `in_span` moves
    the phrase's own tokens alone. The other options say when, as in `place`. Text states and pooled text move alike.

    Raises AstrogateError for an empty phrase, and where `difference` or `in_span` need it in the prompt and it is not.
    """
    if not text.strip():
        raise AstrogateError("the phrase is empty", 'name a style, e.g. "Monet style"')
    check_tokens(model, text)
    if not abs(strength) <= LIMIT:
        raise AstrogateError(f"strength {strength:g}", f"use -{LIMIT:g} to {LIMIT:g}; 0 leaves the picture as it is")
    prompt = str(point.origin.get("prompt", ""))
    if (difference or in_span) and not any(segment.find(text) for segment in point.segments):
        raise AstrogateError(f"the prompt {prompt!r} does not hold {text!r}", "name a phrase of the prompt")
    toward: Mapping[str, Tensor] = model.encode([text])
    if difference:
        pattern = r"(?<!\w)" + r"\s*".join(re.escape(word) for word in WORD.findall(text)) + r"(?!\w)"
        bare = " ".join(re.sub(pattern, " ", prompt, count=1, flags=re.IGNORECASE).split())
        if not bare:
            raise AstrogateError("the prompt is the phrase alone", "leave difference out")
        without = model.encode([bare])
        toward = {space: point.tensors[space] - without[space][0] for space in _spaces(point)}
    else:
        toward = {space: toward[space][0] for space in _spaces(point)}
    vectors: dict[str, Tensor] = {}
    for space in _spaces(point):
        states, v = point.tensors[space], toward[space] * (1 if strength >= 0 else -1)
        if in_span and space == "prompt_embeds":
            vectors[space] = _within(model, point, text, v, abs(strength), in_place=difference)
        else:
            vectors[space] = slerp(states, states + v, abs(strength)) - states
    origin = {"method": "phrase", "phrase": text, "strength": strength, "difference": difference, "in_span": in_span}
    return Steer(vectors, 1.0 if strength else 0.0, window, half, curve, text, origin)


def between(start: Point, stop: Point, u: float) -> Point:
    """The point of `start` with the text at u from its own (0) to that of `stop` (1), along the great circle."""
    return walk(start, stop, spaces=_spaces(start))(u)


def _spaces(point: Point) -> list[str]:
    return [space for space in ("prompt_embeds", "pooled_prompt_embeds") if space in point.tensors]


def _within(model: Model, point: Point, text: str, v: Tensor, strength: float, *, in_place: bool) -> Tensor:
    """The move of the phrase's own tokens, in every segment, towards themselves + v there.

    v is the phrase's encoding, with its tokens where they are alone, or (`in_place`) where they are in the prompt.
    """
    states = point.tensors["prompt_embeds"]
    move = torch.zeros_like(states)
    for segment, alone in zip(point.segments, model.segments(text), strict=True):
        here, there = segment.find(text), alone.find(text)
        if here is None or there is None or here[1] - here[0] != there[1] - there[0]:
            raise AstrogateError(f"{text!r} is cut off in the prompt", "shorten the prompt")
        old = states[slice(*here)]
        move[slice(*here)] = slerp(old, old + v[slice(*(here if in_place else there))], strength) - old
    return move
