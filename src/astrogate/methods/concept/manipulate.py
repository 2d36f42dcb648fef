"""Manipulate: one word's share in a concept, more or less, at the same seed (Chefer et al. 2024, section 4).

    w*(f) = n (sum_i a_i w_i + (f - 1) a_j w_j) / | ... |,   f = 1 is the decomposition itself, f = 0 is without word j

A factor is a steer from the decomposition's text states to its own. In a window that begins after the first steps the
layout is the decomposition's, and the word changes what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from astrogate.core.basis import Basis
from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Steer
from astrogate.core.protocols import Model
from astrogate.methods.concept.pseudo_point import Making, basis_place, basis_points

#: Beyond this a concept is that one word.
LIMIT = 1000.0


def with_words(basis: Basis, names: Sequence[str]) -> Basis:
    """The basis as it is deployed, of its largest weights alone, and of `names` whatever their weights.

    Raises AstrogateError for names that it lacks.
    """
    largest = [basis.names[i] for i in basis.order()[: basis.used]]
    wanted = {*largest, *(basis.names[basis.place(name)] for name in names)}
    return replace(basis.reduced(frozenset(wanted)), used=len(wanted))


def manipulate(
    model: Model,
    basis: Basis,
    word: str,
    factors: Sequence[float],
    *,
    seed: int = 0,
    prompt: str | None = None,
    make: Making | None = None,
    window: tuple[float, float] = (0.0, 1.0),
) -> list[Point]:
    """Points of a concept whose weight of `word` is multiplied by each of `factors`, at one seed.

    Each is the decomposition's point with a steer, in a `window` of the steps. `prompt` is another one that holds the
    concept (None: that which it was found in), `make` makes points of a text and a seed (None: as the model does).
    Raises AstrogateError for words that the basis lacks, a weight of 0, and factors outside [0, 1000].
    """
    kept = _checked(basis, word, factors)

    def point(factor: float) -> Point:
        return basis_points(model, kept.scaled({word: factor}), [seed], prompt=prompt, make=make)[0]

    start = point(1.0)
    return [
        start.with_steers(Steer(_moved(start, point(f)), window=window, name=word, origin={"factor": f}))
        for f in factors
    ]


def direction_of(model: Model, basis: Basis, word: str) -> Direction:
    """The direction from a concept without `word` to the decomposition with it, in the text states.

    Its roles are the concept's own token and the end of the text. Raises AstrogateError as `manipulate` does.
    """
    kept = _checked(basis, word, [])
    without, whole = (basis_points(model, kept.scaled({word: factor}), [0])[0] for factor in (0.0, 1.0))
    (segment, *_) = model.segments(basis_place(basis).text)
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
