"""Style: the strength of a style by slerp of the text states towards states + phrase (Qi 2023).

    e_theta = slerp(e, e + v, theta),  v = encoding of the phrase alone, padded

over the flattened states of the prompt, or over the phrase's own tokens in it. A style is weakened by the same rule
with -v; the text difference, v = e - e(prompt without the phrase), is the way that Qi recommends instead.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Curve, Half, Parts, Steer, Window
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.segment import places
from astrogate.core.texts import check_said
from astrogate.models.text.prompts import check_tokens

#: Beyond this, states are mostly the phrase's; Qi's own range ends at half of it.
LIMIT, MOST = 1.0, 0.5


def style(
    model: Model,
    point: Point,
    text: str,
    *,
    difference: bool = False,
    in_span: bool = False,
    window: Window = (0.0, 1.0),
    curve: Curve = (),
    half: Half = "positive",
) -> Edit:
    """The edit that strengthens (or, below 0, weakens) the phrase `text` in a point's prompt; its scale is theta.

    `difference` takes v as what the phrase changes in this prompt, `in_span` moves the phrase's own tokens alone. The
    other options say when, as in `Steer`. Text states and pooled text move alike.

    Raises AstrogateError for an empty phrase, and where `difference` or `in_span` need it in the prompt and it is not.
    """
    check_said(text, "the phrase", 'name a style, e.g. "Monet style"')
    check_tokens(model, text)
    prompt = point.prompt
    if (difference or in_span) and not any(segment.find(text) for segment in point.segments):
        raise AstrogateError(f"the prompt {prompt!r} does not contain {text!r}", "name a phrase of the prompt")
    spaces = _spaces(point)
    if difference:
        start, stop = places(text, prompt)[0]
        bare = " ".join(f"{prompt[:start]} {prompt[stop:]}".split())
        if not bare:
            raise AstrogateError("the prompt is the phrase alone", "leave difference out")
        without = model.encode([bare])
        v: Mapping[str, Tensor] = {space: point.tensors[space] - without[space][0] for space in spaces}
    else:
        encoded = model.encode([text])
        v = {space: encoded[space][0] for space in spaces}
    spans: tuple[tuple[int, int], ...] = ()
    if in_span:
        spans, states = _spans(model, point, text, v["prompt_embeds"], in_place=difference)
        v = {**v, "prompt_embeds": states}
    steer = Steer(v, window=window, half=half, curve=curve, rule="turn", spans=spans)
    return Edit(
        Parts((steer,)),
        model=point.model,
        segments=point.segments,
        range=(0.0, MOST),
        limits=(-LIMIT, LIMIT),
        name=text,
        origin={"method": "style", "phrase": text, "difference": difference, "in_span": in_span},
    )


def _spaces(point: Point) -> list[str]:
    return [space for space in ("prompt_embeds", "pooled_prompt_embeds") if space in point.tensors]


def _spans(
    model: Model, point: Point, text: str, v: Tensor, *, in_place: bool
) -> tuple[tuple[tuple[int, int], ...], Tensor]:
    """The phrase's own tokens in every segment, and v [tokens, width] there.

    v is the phrase's encoding, with its tokens where they are alone, or (`in_place`) where they are in the prompt.
    """
    spans: list[tuple[int, int]] = []
    moved = torch.zeros_like(point.tensors["prompt_embeds"])
    for segment, alone in zip(point.segments, model.segments(text), strict=True):
        here, there = segment.find(text), alone.find(text)
        if here is None or there is None or here[1] - here[0] != there[1] - there[0]:
            raise AstrogateError(f"{text!r} is cut off in the prompt", "shorten the prompt")
        spans.append(here)
        moved[slice(*here)] = v[slice(*(here if in_place else there))]
    return tuple(spans), moved
