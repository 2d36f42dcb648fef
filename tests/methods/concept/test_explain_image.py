"""One picture's words: as the slow way finds them, each set of words drawn once, in batches."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.methods.concept import explain_image as module
from astrogate.methods.concept.cutoffs import Cutoffs
from astrogate.methods.concept.explain_image import explain_image
from astrogate.methods.concept.pseudo_point import basis_points, place_of
from astrogate.methods.concept.vocabulary import vocabulary, word_features
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

RECIPE = Recipe(2)


def decomposed(model: Model, clip: Clip, limits: Cutoffs) -> Basis:
    words = vocabulary(model, clip)
    weights = torch.rand(len(words.words), generator=torch.Generator().manual_seed(0)) ** 3 + 0.01
    place = place_of("a photo of a dog", None, words.words)
    origin = {"place": asdict(place), "cutoffs": asdict(limits)}
    atoms, lengths = {"encoder 0": words.embeddings[0]}, {"encoder 0": words.lengths[0]}
    return Basis(words.words, weights, atoms, lengths, 8, model.fingerprint, "dog", origin)


def slow(model: Model, clip: Clip, basis: Basis, limits: Cutoffs, seed: int) -> set[str]:
    """The published procedure, a picture at a time, with nothing remembered."""

    def seen(names: set[str]) -> torch.Tensor:
        point = basis_points(model, replace(basis.reduced(frozenset(names)), used=8), [seed])
        return clip.images(to_tensor(render(model, point, recipe=RECIPE)))[0]

    names = [basis.names[i] for i in basis.order()[:8]]
    features = word_features(clip, [*names, "dog"])
    names = [
        n for n, f in zip(names, features, strict=False) if float(f @ features[-1]) <= limits.concept_of_one
    ] or names
    kept, target = (
        set(names),
        clip.images(to_tensor(render(model, basis_points(model, basis, [seed]), recipe=RECIPE)))[0],
    )
    while True:
        before = set(kept)
        for name in reversed(names):
            (own,) = word_features(clip, [name])
            gone = {n for n in names if n == name or float(word_features(clip, [n])[0] @ own) > limits.words}
            if name in kept and kept - gone and float(seen(kept - gone) @ target) > limits.pictures:
                kept -= gone
        if kept == before:
            return kept


@pytest.mark.parametrize("limit", [0.2, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("batch", [1, 4])
def test_it_finds_what_the_slow_way_finds(tiny: Model, clip: Clip, limit: float, batch: int) -> None:
    limits = Cutoffs(concept_of_one=0.999, words=0.97, pictures=limit)
    basis = decomposed(tiny, clip, limits)
    found = explain_image(tiny, basis, seed=3, clip=clip, recipe=RECIPE, batch_size=batch)
    kept = {name for name, weight in zip(found.names, found.weights, strict=True) if weight}
    assert kept == slow(tiny, clip, basis, limits, 3)
    assert found.used == len(kept)
    assert found.origin["seed"] == 3


def test_what_was_drawn_is_not_drawn_again(tiny: Model, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    basis, batches = decomposed(tiny, clip, Cutoffs(1.1, 1.1, 1.1, 0.95)), list[int]()

    def counted(model: Model, points: Any, **options: Any) -> Any:
        batches.append(len(points))
        return render(model, points, **options)

    monkeypatch.setattr(module, "render", counted)
    found = explain_image(tiny, basis, seed=1, clip=clip, recipe=RECIPE, batch_size=4)
    assert sum(batches) == found.origin["drawn"] + 1
    assert len(batches) < sum(batches)


def test_a_basis_of_another_kind_is_refused(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    with pytest.raises(AstrogateError, match="with another CLIP"):
        explain_image(tiny, replace(basis, origin={**basis.origin, "clip": "x"}), clip=clip)
    with pytest.raises(AstrogateError, match="not found in pictures"):
        explain_image(tiny, replace(basis, origin={}), clip=clip)
