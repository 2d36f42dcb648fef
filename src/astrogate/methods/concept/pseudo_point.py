"""Points whose concept is a pseudo-word: in the prompt stands a word of one token, in whose place vectors are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from astrogate.core import archive
from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.segment import WORD, places, words_of
from astrogate.core.texts import check_text
from astrogate.models.text.prompts import first_segment
from astrogate.models.text.pseudo_word import encoders, standing_in

#: Makes a point of a text and a seed.
Making = Callable[[str, int], Point]


@dataclass(frozen=True, slots=True)
class Place:
    """A prompt's `concept`, what is `before` and `after` it, and the `standin` of one token that takes its place."""

    before: str
    concept: str
    after: str
    standin: str

    def __post_init__(self) -> None:
        for text in (self.before, self.concept, self.after, self.standin):
            check_text(text)

    @property
    def prompt(self) -> str:
        """The prompt itself."""
        return self.saying(self.concept)

    @property
    def text(self) -> str:
        """The prompt with the stand-in."""
        return self.saying(self.standin)

    def saying(self, word: str) -> str:
        """The prompt with another word in the concept's place."""
        return self.before + word + self.after


def place_of(prompt: str, concept: str | None, standins: Iterable[str]) -> Place:
    """Where the pseudo-word goes: for `concept`, a word or phrase of the prompt (None: its last word).

    The first of `standins` that the prompt does not contain stands in. Raises AstrogateError for a concept that the
    prompt does not contain.
    """
    said: list[str] = [word for word in WORD.findall(prompt) if word[0].isalpha()]
    if not said:
        raise AstrogateError(f"the prompt {prompt!r} has no word", 'write e.g. "a photo of a pet"')
    concept = said[-1] if concept is None else concept
    found, spoken = places(concept, prompt), words_of(prompt)
    if not found:
        choice = f"choose of its words: {' '.join(word.lower() for word in said)}"
        raise AstrogateError(f"the prompt {prompt!r} does not contain {concept!r}", choice)
    start, stop = found[-1]
    standin = next((word for word in standins if word not in spoken), None)
    if standin is None:
        raise AstrogateError(f"{prompt!r} says every word of the vocabulary", "give more words, or a shorter prompt")
    return Place(prompt[:start], prompt[start:stop], prompt[stop:], standin)


def check_place(model: Model, place: Place) -> None:
    """Raise AstrogateError for a prompt that is cut off before its concept."""
    if first_segment(model, place.text).find(place.standin, last=True) is None:
        raise AstrogateError(
            f"the prompt {place.prompt!r} is cut off before {place.concept!r}",
            "write a shorter prompt, the concept nearer its start",
        )


def tokens_of(model: Model, concept: str) -> int:
    """How many tokens a concept becomes in the first text encoder."""
    return len(encoders(model)[0][0](concept, add_special_tokens=False).input_ids)


def states(model: Model, place: Place, vectors: Sequence[Tensor], *, gradient: bool = False) -> Mapping[str, Tensor]:
    """The text states [1, ...] by space with vectors [width], one per encoder, as the pseudo-word.

    Raises AstrogateError where the prompt is cut off before it.
    """
    with standing_in(model, place.standin, [vector[None] for vector in vectors], [place.text]):
        encoded = model.encode([place.text], gradient=gradient)
    return {space: value for space, value in encoded.items() if space != "end"}


def concept_points(
    model: Model, place: Place, vectors: Sequence[Tensor], seeds: Sequence[int], make: Making | None = None
) -> list[Point]:
    """The points of a pseudo-word, one per seed; `make` makes them of a text (None: as the model does).

    Raises AstrogateError where the prompt is cut off before the concept.
    """
    check_place(model, place)
    encoded = {space: value[0].detach().cpu() for space, value in states(model, place, vectors).items()}
    points = model.points(place.text, seeds) if make is None else [make(place.text, seed) for seed in seeds]
    said = {"prompt": place.prompt, "concept": place.concept}
    return [replace(p, tensors={**p.tensors, **encoded}, origin={**p.origin, **said}) for p in points]


def basis_place(basis: Basis, prompt: str | None = None) -> Place:
    """Where a basis goes: in the prompt that it was found in, or in another that contains its concept.

    Raises AstrogateError for a basis that was not found in a prompt, and for a prompt without its concept.
    """
    place = basis.origin.get("place")
    if not isinstance(place, dict):
        raise AstrogateError(f"{basis.name!r} was not found in a prompt", "use a decomposition that `explain` made")
    own = archive.rebuilt(Place, archive.told(basis.origin, "place", dict[str, str], {}, "a basis"), "a basis's place")
    return own if prompt is None else place_of(prompt, own.concept, [own.standin, *basis.names])


def basis_points(
    model: Model, basis: Basis, seeds: Sequence[int], *, prompt: str | None = None, make: Making | None = None
) -> list[Point]:
    """The points of a basis in a prompt (None: that which it was found in), one per seed.

    `make` makes points of a text and a seed, where the model's own way will not do. Raises AstrogateError for a basis
    of another model, for one that was not found in a prompt, and for a prompt that does not contain its concept.
    """
    if basis.model != model.fingerprint:
        raise AstrogateError(f"{basis.name!r} was taken apart in another model", "explain it again on this model")
    return concept_points(model, basis_place(basis, prompt), list(basis.sums().values()), seeds, make)
