"""Points whose concept is a pseudo-word: in the prompt stands a word of one token, in whose place vectors are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.point import WORD, Point
from astrogate.core.protocols import Model
from astrogate.methods.vocabulary import Vocabulary
from astrogate.models.pseudo_word import encoders, standing_in


@dataclass(frozen=True, slots=True)
class Place:
    """`text` is a prompt with `standin`, a word of one token, where its `concept` was."""

    prompt: str
    concept: str
    text: str
    standin: str


def place_of(model: Model, prompt: str, concept: str | None, words: Vocabulary) -> Place:
    """Where the pseudo-word goes: for `concept`, a word or phrase of the prompt (None: its last word).

    Raises AstrogateError for a concept that the prompt does not hold.
    """
    found = list(WORD.finditer(prompt))
    if not found:
        raise AstrogateError(f"the prompt {prompt!r} has no word", 'write e.g. "a photo of a pet"')
    concept = concept or found[-1].group()
    wanted, spoken = WORD.findall(concept.lower()), [match.group().lower() for match in found]
    starts = [i for i in range(len(found) - len(wanted) + 1) if wanted and spoken[i : i + len(wanted)] == wanted]
    if not starts:
        raise AstrogateError(
            f"the prompt {prompt!r} does not hold {concept!r}", f"choose of its words: {' '.join(spoken)}"
        )
    first, last = found[starts[-1]], found[starts[-1] + len(wanted) - 1]
    standin = next(word for word in words.words if word not in spoken)
    return Place(prompt, concept, prompt[: first.start()] + standin + prompt[last.end() :], standin)


def tokens_of(model: Model, concept: str) -> int:
    """How many tokens a concept becomes in the first text encoder."""
    return len(encoders(model)[0][0](concept, add_special_tokens=False).input_ids)


def states(model: Model, place: Place, vectors: Sequence[Tensor], *, gradient: bool = False) -> Mapping[str, Tensor]:
    """The text states [1, ...] by space with vectors [width], one an encoder, as the pseudo-word."""
    with standing_in(model, place.standin, [vector[None] for vector in vectors], [place.text]):
        encoded = model.encode([place.text], gradient=gradient)
    return {space: value for space, value in encoded.items() if space != "end"}


def concept_points(model: Model, place: Place, vectors: Sequence[Tensor], seeds: Sequence[int]) -> list[Point]:
    """The points of a pseudo-word, a seed each."""
    encoded = {space: value[0].detach() for space, value in states(model, place, vectors).items()}
    points = [model.point(place.text, seed=seed) for seed in seeds]
    return [
        replace(p, tensors={**p.tensors, **encoded}, origin=dict(p.origin) | {"concept": place.concept}) for p in points
    ]


def basis_points(model: Model, basis: Basis, seeds: Sequence[int], prompt: str | None = None) -> list[Point]:
    """The points of a basis in the prompt that it was found in, or another that holds its stand-in, a seed each.

    Raises AstrogateError for a basis of another model, and for one that was not found in a prompt.
    """
    if basis.model != model.fingerprint:
        raise AstrogateError(f"{basis.name!r} was taken apart in another model", "explain it again on this model")
    place = basis.origin.get("place")
    if not isinstance(place, dict):
        raise AstrogateError(f"{basis.name!r} was not found in a prompt", "use a decomposition of `astrogate explain`")
    where = Place(**place)
    if prompt is not None:
        where = replace(where, text=prompt)
    return concept_points(model, where, list(basis.sums().values()), seeds)
