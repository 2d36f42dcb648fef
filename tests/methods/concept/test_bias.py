"""Shares by words and by pictures, and balancing against a reader whose answer is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model, Readings
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.methods.concept import bias
from astrogate.methods.concept.bias import Response
from astrogate.methods.concept.cutoffs import Cutoffs
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from tests.methods.concept.test_explain_image import decomposed

GROUPS = {"canine": ("dog",), "feline": ("cat", "horse")}
THREE = {"a": ("dog",), "b": ("cat",), "c": ("horse",)}


class Planted:
    """Takes a picture for one group or the other by its brightness, which the fake renderer below sets."""

    def read(self, pictures: Tensor) -> Readings:
        share = pictures.mean((1, 2, 3))
        classes = {"subject": ("dog", "cat", "horse")}
        return Readings(classes, {"subject": torch.stack([share, 1 - share, 0 * share], 1)}, {}, share)


class Nothing:
    """Sees a house in every picture."""

    def read(self, pictures: Tensor) -> Readings:
        return Readings(
            {"subject": ("dog", "cat", "house")}, {"subject": torch.eye(3)[[2] * len(pictures)]}, {}, pictures
        )


class Three:
    """Takes a picture for the group whose colour it has."""

    def read(self, pictures: Tensor) -> Readings:
        return Readings({"subject": ("dog", "cat", "horse")}, {"subject": pictures.mean((2, 3))}, {}, pictures)


def _draws(monkeypatch: pytest.MonkeyPatch, response: Response) -> None:
    """Pictures of `THREE` groups in the shares that a response gives the words of a basis."""

    def frames(model: Model, drawn: Any, **options: Any) -> Tensor:
        shares, n = response.detected(drawn[0]), drawn[1]
        edges = torch.tensor([shares["a"], shares["a"] + shares["b"]])
        which = torch.bucketize((torch.arange(n) + 0.5) / n, edges)
        return torch.eye(3)[which][:, :, None, None].expand(-1, 3, 2, 2)

    monkeypatch.setattr(bias, "basis_points", lambda model, made, seeds: (bias.word_shares(made, THREE), len(seeds)))
    monkeypatch.setattr(bias, "render", frames)
    monkeypatch.setattr(bias, "to_tensor", lambda drawn: drawn)


def test_shares_of_words(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    dog, cat, horse = (float(basis.weights[basis.place(word)]) for word in ("dog", "cat", "horse"))
    shares = bias.word_shares(basis, {**GROUPS, "fishes": ("fish",)})
    assert shares["canine"] == pytest.approx(dog / (dog + cat + horse))
    assert shares["fishes"] == 0
    with pytest.raises(AstrogateError, match="has none of fish, bird"):
        bias.word_shares(basis, {"a": ("fish",), "b": ("bird",)})


def test_a_response_is_found_from_mixtures(tiny: Model, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model that draws horses rather than cats, and cats rather than dogs."""
    basis, groups = decomposed(tiny, clip, Cutoffs()), THREE
    planted = Response(3.0, {"a": 0.5, "b": 1.0, "c": 2.0})

    _draws(monkeypatch, planted)
    drawn = bias.mixtures(tiny, basis, groups, Three(), seeds=range(400))
    assert len(drawn) == 21
    assert drawn[0][0] == {"a": 0.2, "b": 0.8}
    found = bias.response_to(drawn, groups)
    assert found.power == pytest.approx(3, rel=0.03)
    assert found.gains == pytest.approx(planted.gains, rel=0.05)
    assert found.detected({"a": 0.5, "b": 0.5, "c": 0.0})["a"] == pytest.approx(1 / 3, abs=0.01)
    with pytest.raises(AstrogateError, match="2 mixtures show a group"):
        bias.response_to(drawn[:2], groups)


def test_mixtures_are_of_the_groups_words_alone(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    drawn = bias.mixtures(tiny, basis, GROUPS, Planted(), seeds=range(2), recipe=Recipe(2))
    assert [words["canine"] for words, _ in drawn] == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert all(sum(seen.values()) == pytest.approx(1) for _, seen in drawn)
    assert bias.mixtures(tiny, basis, {"a": ("dog",), "b": ("cat",)}, Nothing(), seeds=range(2), recipe=Recipe(2)) == []


def test_shares_of_pictures() -> None:
    assert bias.picture_shares(["dog", "cat", "dog", "fish"], GROUPS) == {"canine": 2 / 3, "feline": 1 / 3}
    assert bias.neither(["dog", "fish", "cat", "bird"], GROUPS) == 0.5
    with pytest.raises(AstrogateError, match="no picture shows any of the groups"):
        bias.picture_shares(["fish"], GROUPS)


@pytest.mark.parametrize("target", [None, {"canine": 0.2, "feline": 0.8}])
def test_balancing_reaches_its_target(
    tiny: Model, clip: Clip, monkeypatch: pytest.MonkeyPatch, target: dict[str, float] | None
) -> None:
    """Pictures turn from cats to dogs as the words' shares do, seed by seed at thresholds of its own."""
    basis = decomposed(tiny, clip, Cutoffs())
    seen: list[Any] = []

    def points(model: Model, made: Any, seeds: Any) -> Any:
        seen.append(made)
        return [(bias.word_shares(made, GROUPS)["canine"], seed) for seed in seeds]

    def frames(model: Model, drawn: Any, **options: Any) -> Tensor:
        bright = [float(share > (seed + 0.5) / 40) for share, seed in drawn]
        return torch.tensor(bright)[:, None, None, None].expand(-1, 3, 2, 2)

    monkeypatch.setattr(bias, "basis_points", points)
    monkeypatch.setattr(bias, "render", frames)
    monkeypatch.setattr(bias, "to_tensor", lambda drawn: drawn)
    told: list[str] = []
    found = bias.balance(tiny, basis, GROUPS, Planted(), target=target, seeds=range(40), looks=12, tell=told.append)
    wanted = 0.5 if target is None else 0.2
    assert found.after["canine"] == pytest.approx(wanted, abs=0.03)
    assert abs(found.before["canine"] - wanted) > 0.03
    assert bias.word_shares(found.basis, GROUPS)["canine"] == pytest.approx(wanted, abs=0.03)
    assert found.factors["canine"] * found.factors["feline"] == pytest.approx(1)
    weight = float(found.basis.weights[basis.place("dog")])
    assert weight == pytest.approx(found.factors["canine"] * float(basis.weights[basis.place("dog")]))
    assert len(seen) == 12
    assert len(told) == 12


def test_balancing_draws_pictures(tiny: Model, clip: Clip, tmp_path: Path) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    given: Any = {"seeds": range(4), "looks": 2, "recipe": Recipe(2), "cache": FrameCache(tmp_path)}
    found = bias.balance(tiny, basis, GROUPS, Planted(), **given)
    points = bias.basis_points(tiny, found.basis, range(4))
    labels = Planted().read(to_tensor(render(tiny, points, recipe=Recipe(2)))).labels("subject")
    assert found.after == bias.picture_shares(labels, GROUPS)
    assert list(tmp_path.rglob("*.png"))


def test_three_groups_reach_their_targets(tiny: Model, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures have the shares that the words have, so that every factor moves all of them."""
    basis, groups = decomposed(tiny, clip, Cutoffs()), THREE
    start = {"dog": 6.0, "cat": 3.0, "horse": 1.0}
    basis = basis.scaled({word: wanted / float(basis.weights[basis.place(word)]) for word, wanted in start.items()})

    _draws(monkeypatch, Response(1.0, dict.fromkeys(THREE, 1.0)))
    found = bias.balance(tiny, basis, groups, Three(), seeds=range(100), looks=10)
    assert all(share == pytest.approx(1 / 3, abs=0.021) for share in found.after.values())
    assert found.before["a"] == pytest.approx(0.6, abs=0.02)


def test_what_cannot_be_balanced_is_refused(tiny: Model, clip: Clip) -> None:
    basis = decomposed(tiny, clip, Cutoffs())
    for groups, target, reason in (
        ({"a": ("dog",)}, None, "two or more"),
        ({"a": ("dog",), "b": ("dog",)}, None, "each word in one alone"),
        ({"a": ("dog",), "b": ()}, None, "none empty"),
        (GROUPS, {"canine": 0.5}, "a share each, 1 in all"),
        (GROUPS, {"canine": 0.5, "feline": 0.7}, "a share each, 1 in all"),
    ):
        with pytest.raises(AstrogateError, match=reason):
            bias.balance(tiny, basis, groups, Planted(), target=target)
    with pytest.raises(AstrogateError, match="knows no 'colour': choose one of subject"):
        bias.labels_of(Planted(), torch.rand(2, 3, 4, 4), "colour", GROUPS)
    with pytest.raises(AstrogateError, match="knows no fish, bird: choose from dog"):
        bias.labels_of(Planted(), torch.rand(2, 3, 4, 4), "subject", {"a": ("fish", "dog"), "b": ("bird",)})
    with pytest.raises(AstrogateError, match="knows no fish: choose from dog"):
        bias.check_reader(Planted(), "subject", {"a": ("dog",), "b": ("fish",)}, 4)
    bias.check_reader(Planted(), "subject", GROUPS, 4)
