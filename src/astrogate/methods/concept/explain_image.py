"""Explain an image: which of a concept's words made one picture (Chefer et al. 2024, single-image decomposition).

From the smallest weight up, a word and those that mean the same are left out; where CLIP sees the same picture at the
same seed, they stay out. Passes repeat until one leaves nothing out. What was drawn for a set of words is remembered,
and the next candidates are drawn in one batch on the guess that the last answer comes again, in larger ones while it
does: the result is that of one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from torch import Tensor

from astrogate.core import archive
from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.state import usual
from astrogate.measure.clip import Clip, clip_for
from astrogate.methods.concept.cutoffs import Cutoffs
from astrogate.methods.concept.plan import recipe_of
from astrogate.methods.concept.pseudo_point import basis_points
from astrogate.methods.concept.vocabulary import word_features
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

_Words = frozenset[str]


@dataclass(slots=True)
class _Drawn:
    """The cosine of each set of words' picture to the whole's, drawn in batches when asked for."""

    model: Model
    basis: Basis
    clip: Clip
    seed: int
    recipe: Recipe
    target: Tensor
    known: dict[_Words, float] = field(default_factory=dict[_Words, float])

    def look(self, sets: Sequence[_Words]) -> None:
        """Draw the sets that are not known, in one batch."""
        missing = [words for words in dict.fromkeys(sets) if words not in self.known]
        if not missing:
            return
        points = [basis_points(self.model, self.basis.reduced(words), [self.seed])[0] for words in missing]
        pictures = to_tensor(render(self.model, points, recipe=self.recipe, batch_size=len(points)))
        self.known |= dict(zip(missing, (self.clip.images(pictures) @ self.target).tolist(), strict=True))


@usual()
def explain_image(
    model: Model,
    basis: Basis,
    *,
    seed: int = 0,
    clip: Clip | None = None,
    recipe: Recipe | None = None,
    batch_size: int = 8,
    tell: Callable[[str], None] = lambda text: None,
) -> Basis:
    """The words without which the basis's picture at `seed` would be another, with their weights.

    `recipe` draws it (None: as the basis's pictures were drawn), at most `batch_size` at once. Raises
    AstrogateError for a basis that `explain` did not make, or of another model or CLIP.
    """
    limits = basis.origin.get("cutoffs")
    if not isinstance(limits, dict):
        raise AstrogateError(f"{basis.name!r} was not found in pictures", "use a decomposition that `explain` made")
    recipe = recipe or recipe_of(basis)
    clip, limits = clip or clip_for(model.name, None), archive.rebuilt(Cutoffs, limits, "a basis's cutoffs")
    if basis.origin.get("clip", clip.digest) != clip.digest:
        raise AstrogateError(f"{basis.name!r} was taken apart with another CLIP", "name that one")
    largest = [basis.names[i] for i in basis.order()[: basis.used]]
    features = word_features(clip, [*largest, basis.name])
    own = (features[:-1] @ features[-1] > limits.concept_of_one).tolist()
    names = [name for name, same in zip(largest, own, strict=True) if not same] or largest
    alike = _alike(names, features[[largest.index(name) for name in names]], limits.words)
    whole = to_tensor(render(model, basis_points(model, basis, [seed]), recipe=recipe))
    drawn = _Drawn(model, replace(basis, used=len(names)), clip, seed, recipe, clip.images(whole)[0])
    kept: _Words = frozenset(names)
    accepted, ahead = True, 1
    while True:
        before = kept
        queue = [name for name in reversed(names) if name in kept]
        for place, name in enumerate(queue):
            candidate = kept - alike[name]
            if name not in kept or not candidate:
                continue
            if candidate not in drawn.known:
                drawn.look(list(_guesses(kept, queue[place:], alike, accepted=accepted))[:ahead])
                ahead = min(batch_size, 2 * ahead)
            answer = drawn.known[candidate] > limits.pictures
            accepted, ahead = answer, ahead if answer == accepted else 1
            if accepted:
                kept = candidate
        if kept == before:
            break
        tell(f"{len(kept)} words are left: {', '.join(name for name in names if name in kept)}")
    origin = {**basis.origin, "seed": seed, "drawn": len(drawn.known), "recipe": recipe.to_json()}
    return replace(drawn.basis.reduced(kept), used=len(kept), origin=origin)


def _alike(names: Sequence[str], features: Tensor, cutoff: float) -> dict[str, _Words]:
    """Each word with those that mean the same."""
    near = features @ features.T > cutoff
    return {
        name: frozenset({name, *(other for j, other in enumerate(names) if bool(near[i, j]))})
        for i, name in enumerate(names)
    }


def _guesses(kept: _Words, queue: Sequence[str], alike: dict[str, _Words], *, accepted: bool) -> Iterator[_Words]:
    """The sets that will be asked for, if every answer is `accepted`."""
    for name in queue:
        if name in kept and (candidate := kept - alike[name]):
            yield candidate
            kept = candidate if accepted else kept
