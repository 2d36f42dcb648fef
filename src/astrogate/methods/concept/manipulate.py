"""Manipulate: one word's share in a concept, more or less, at the same seed (Chefer et al. 2024, section 4).

    w*(f) = n (sum_i a_i w_i + (f - 1) a_j w_j) / | ... |,   f = 1 is the decomposition itself, f = 0 is without word j

An edit goes from the decomposition's text states to those of a factor: at scale -1 without the word, at 1 with the
largest factor, in between by the states of the factors in between. In a window that starts after the first steps the
layout is the decomposition's, and the word changes what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from astrogate.core.basis import Basis
from astrogate.core.direction import Direction
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Parts, Steer, Window
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.methods.concept.pseudo_point import Making, basis_place, basis_points
from astrogate.models.text.prompts import first_segment

#: Beyond this a concept is that one word.
LIMIT = 1000.0
#: Where the states are those of a factor itself, unless others are named.
FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


def with_words(basis: Basis, names: Sequence[str]) -> Basis:
    """The basis as it is deployed, of its largest weights alone, and of `names` whatever their weights.

    Raises AstrogateError for names that it misses.
    """
    largest = [basis.names[i] for i in basis.order()[: basis.used]]
    wanted = {*largest, *(basis.names[basis.place(name)] for name in names)}
    return replace(basis.reduced(frozenset(wanted)), used=len(wanted))


def manipulate(
    model: Model,
    basis: Basis,
    word: str,
    factors: Sequence[float] = FACTORS,
    *,
    prompt: str | None = None,
    make: Making | None = None,
    window: Window = (0.0, 1.0),
) -> Edit:
    """The edit of a decomposition's points (`basis_points`) that multiplies its weight of `word`.

    The largest of `factors` (2 where none is above 1) is scale 1, a factor of 0 is scale -1; see `scale_of`. `prompt`
    is another one that contains the concept (None: that which it was found in), `make` makes points of a text and a
    seed (None: as the model does). `window` says when it acts. Raises AstrogateError for words that the basis misses, a
    weight of 0, and factors outside [0, 1000].
    """
    kept = _checked(basis, word, factors)
    most = most_of(factors)
    more = sorted({most, *(f for f in factors if f > 1)})
    less = sorted({0.0, *(f for f in factors if f < 1)}, reverse=True)

    def point(factor: float) -> Point:
        return basis_points(model, kept.scaled({word: factor}), [0], prompt=prompt, make=make)[0]

    start = point(1.0)

    def parts(factors: Sequence[float]) -> Parts:
        """The way from the decomposition through factors away from 1."""
        moves = [_moved(start, point(f)) for f in factors]
        vectors = {
            space: torch.stack([torch.zeros_like(v), *(m[space] for m in moves)]) for space, v in moves[0].items()
        }
        knots = (0.0, *(abs(scale_of(f, most)) for f in factors))
        return Parts((Steer(vectors, window=window, rule="knots", knots=knots),))

    return Edit(
        parts(more),
        parts(less),
        model=model.fingerprint,
        segments=start.segments,
        limits=(-1.0, 1.0),
        name=word,
        origin={"method": "manipulate", "concept": basis.name, "word": word, "factors": sorted(factors)},
    )


def most_of(factors: Sequence[float]) -> float:
    """The factor that scale 1 stands for: the largest above 1, else 2."""
    return max((factor for factor in factors if factor > 1), default=2.0)


def scale_of(factor: float, most: float) -> float:
    """The scale that stands for a factor, where `most` is the largest: -1 for 0, 0 for 1, 1 for `most`."""
    return factor - 1 if factor <= 1 else (factor - 1) / (most - 1)


def whole(
    model: Model,
    basis: Basis,
    word: str,
    seeds: Sequence[int],
    *,
    prompt: str | None = None,
    make: Making | None = None,
) -> list[Point]:
    """The points that an edit of `word` starts from, one per seed: the decomposition's, `word` among its words."""
    return basis_points(model, with_words(basis, [word]), seeds, prompt=prompt, make=make)


def direction_of(model: Model, basis: Basis, word: str) -> Direction:
    """The direction from a concept without `word` to the decomposition with it, in the text states.

    Its roles are the concept's own token and the end of the text. Raises AstrogateError as `manipulate` does.
    """
    kept = _checked(basis, word, [])
    without, whole = (basis_points(model, kept.scaled({word: factor}), [0])[0] for factor in (0.0, 1.0))
    segment = first_segment(model, basis_place(basis).text)
    span = segment.find(basis_place(basis).standin, last=True)
    assert span is not None
    moved = _moved(without, whole)
    vectors = {"subject": moved["prompt_embeds"][slice(*span)].mean(0), "end": moved["prompt_embeds"][segment.end]}
    if "pooled_prompt_embeds" in moved:
        vectors["pooled"] = moved["pooled_prompt_embeds"]
    origin = {"method": "conceptor", "concept": basis.name, "word": word}
    return Direction(vectors, model.fingerprint, f"{word} in {basis.name}", origin)


def _checked(basis: Basis, word: str, factors: Sequence[float]) -> Basis:
    """The basis as it is deployed, with `word`, whose weight may be multiplied by `factors`."""
    if any(not 0 <= factor <= LIMIT for factor in factors):
        told = ", ".join(f"{factor:g}" for factor in factors)
        raise AstrogateError(f"factors {told}", f"use 0 to {LIMIT:g}; 1 changes nothing")
    kept = with_words(basis, [word])
    if not float(kept.weights[kept.place(word)]):
        raise AstrogateError(f"{word!r} has no weight in {basis.name!r}", f"choose one of {_words(basis)}")
    return kept


def _moved(start: Point, end: Point) -> dict[str, Tensor]:
    """What the text states of two points differ by, by space."""
    spaces = ("prompt_embeds", "pooled_prompt_embeds")
    return {space: end.tensors[space] - start.tensors[space] for space in spaces if space in start.tensors}


def _words(basis: Basis) -> str:
    return ", ".join(word for word, _ in basis.top(10))
