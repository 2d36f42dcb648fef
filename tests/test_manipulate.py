"""A word's share, more or less: factor 1 is the decomposition itself, and only the named weight moves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.measure.features import Clip
from astrogate.methods.concepts.cutoffs import Cutoffs
from astrogate.methods.concepts.point import basis_points
from astrogate.methods.manipulate import manipulate, with_words
from tests.test_explain_image import decomposed


def test_factors_move_one_weight(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    word = basis.top(3)[1][0]
    points = manipulate(tiny, basis, word, [1.0, 0.0, 3.0], seed=4)
    (plain,) = basis_points(tiny, basis, [4])
    assert all(torch.equal(point.tensors["latents"], plain.tensors["latents"]) for point in points)
    assert torch.equal(points[0].tensors["prompt_embeds"], plain.tensors["prompt_embeds"])
    for point, factor in zip(points[1:], (0.0, 3.0), strict=True):
        weights = basis.weights.clone()
        weights[basis.place(word)] *= factor
        top = basis.order()[:8]
        vector = basis.lengths["encoder 0"] * F.normalize(weights[top] @ basis.atoms["encoder 0"][top], dim=0)
        made = replace(basis, weights=weights, used=8)
        assert torch.allclose(made.sums()["encoder 0"], vector, atol=1e-5) == (factor > 0)
        assert not torch.equal(point.tensors["prompt_embeds"], plain.tensors["prompt_embeds"])


def test_a_small_weight_counts_when_it_is_named(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    least = basis.names[basis.order()[-1]]
    kept = with_words(basis, [least])
    assert kept.used == 9
    assert float(kept.weights[kept.place(least)]) == float(basis.weights[basis.place(least)])
    assert int((kept.weights > 0).sum()) == 9
    assert with_words(basis, [basis.top(1)[0][0]]).used == 8


def test_another_prompt_may_hold_the_concept(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    word, standin = basis.top(1)[0][0], basis.origin["place"]["standin"]
    (point,) = manipulate(tiny, basis, word, [2.0], prompt=f"a painting of a {standin}")
    assert point.origin["prompt"] == f"a painting of a {standin}"


def test_what_cannot_be_manipulated_is_refused(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    with pytest.raises(AstrogateError, match="'moon' is no part of 'dog'"):
        manipulate(tiny, basis, "moon", [1.0])
    with pytest.raises(AstrogateError, match="factors -1, 2: use 0 to 1000"):
        manipulate(tiny, basis, basis.names[0], [-1.0, 2.0])
    none = basis.scaled({basis.names[0]: 0.0})
    with pytest.raises(AstrogateError, match="has no weight in 'dog'"):
        manipulate(tiny, none, basis.names[0], [1.0])
