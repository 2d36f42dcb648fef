"""Bias: which of several groups a concept leans to, by its words and by its pictures, and how to balance it.

    by words      s_g = sum of a_i over the words of group g / the same over all groups
    detected      gain_g s_g^power / sum over groups h of gain_h s_h^power
    by pictures   pictures that the reader takes for g / those for any group

Chefer et al. (2024) describe detection and balancing without releasing either. A model draws a mixture of two words
more sharply and less evenly than its weights say: power and gains are fitted by least squares to mixtures of the
groups' own words, without any concept. A concept is balanced by factors of geometric mean 1 on the groups' weights, so
that one grows as another shrinks. They are bisected, one group after the other, until the pictures have the wanted
shares.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import checked_all
from astrogate.methods.concept.manipulate import with_words
from astrogate.methods.concept.pseudo_point import basis_points
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

Groups = Mapping[str, Sequence[str]]
Shares = dict[str, float]
#: Factors are looked for between exp(-_REACH) and exp(_REACH), a response's power and gains within exp(+-_FIT).
_REACH, _FIT = 5.0, 6.0
#: The shares of a group in its mixtures with another.
_MIXED = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


@dataclass(frozen=True, slots=True)
class Balanced:
    """A basis whose groups are re-weighted, by which factors, and the shares in the pictures before and after."""

    basis: Basis
    factors: Shares
    before: Shares
    after: Shares


@dataclass(frozen=True, slots=True)
class Response:
    """How shares of words become shares of pictures: a power, and gains of geometric mean 1."""

    power: float
    gains: Mapping[str, float]

    def detected(self, shares: Mapping[str, float]) -> Shares:
        """The shares of pictures that shares of words stand for."""
        return _normal({group: self.gains[group] * share**self.power for group, share in shares.items()})


def word_shares(basis: Basis, groups: Groups) -> Shares:
    """The share of each group's words among those of all groups.

    Raises AstrogateError for fewer than two groups, a word in two of them, and where the basis has none of the words.
    """
    check_groups(groups)
    weights = {name: float(w) for name, w in zip(basis.names, basis.weights, strict=True)}
    sums = {group: sum(weights.get(word, 0.0) for word in words) for group, words in groups.items()}
    if not any(sums.values()):
        words = ", ".join(word for words in groups.values() for word in words)
        raise AstrogateError(f"{basis.name!r} has none of {words}", "name other words, or enlarge the dictionary")
    return _normal(sums)


def mixtures(
    model: Model,
    basis: Basis,
    groups: Groups,
    reader: Reader,
    *,
    factor: str = "subject",
    seeds: Sequence[int] = range(60),
    recipe: Recipe | None = None,
    cache: FrameCache | None = None,
) -> list[tuple[Shares, Shares]]:
    """Draw mixtures of two groups' words where the basis would stand: pairs (shares of words, shares of pictures).

    Mixtures that show no group are left out. Raises AstrogateError for words that the basis misses, and where
    `labels_of` does.
    """
    check_groups(groups)
    found: list[tuple[Shares, Shares]] = []
    for pair in combinations(groups, 2):
        names = [basis.place(word) for group in pair for word in groups[group]]
        for share in _MIXED:
            weights = basis.weights.new_zeros(len(basis.names))
            for group, part in zip(pair, (share, 1 - share), strict=True):
                weights[[basis.place(word) for word in groups[group]]] = part / len(groups[group])
            points = basis_points(model, replace(basis, weights=weights, used=len(names)), seeds)
            labels = labels_of(reader, to_tensor(render(model, points, recipe=recipe, cache=cache)), factor, groups)
            if neither(labels, groups) < 1:
                found.append((dict(zip(pair, (share, 1 - share), strict=True)), picture_shares(labels, groups)))
    return found


def response_to(drawn: Sequence[tuple[Shares, Shares]], groups: Groups) -> Response:
    """The response that brings what is detected closest to what was drawn, by pairs of shares as from `mixtures`.

    Raises AstrogateError where fewer pairs are left than there are groups.
    """
    import scipy.optimize

    optimize: Any = scipy.optimize
    if len(drawn) < len(groups):
        raise AstrogateError(f"{len(drawn)} mixtures show a group", "name groups that the model draws")

    def response(x: np.ndarray) -> Response:
        gains = np.exp(np.append(x[1:], -x[1:].sum()))
        return Response(float(np.exp(x[0])), dict(zip(groups, gains.tolist(), strict=True)))

    def misses(x: np.ndarray) -> list[float]:
        made = [response(x).detected(words) for words, _ in drawn]
        return [made[i][group] - seen[group] for i, (words, seen) in enumerate(drawn) for group in words]

    return response(optimize.least_squares(misses, np.zeros(len(groups)), bounds=(-_FIT, _FIT)).x)


def picture_shares(readings: Sequence[str], groups: Groups) -> Shares:
    """The share of each group among the pictures that a reader takes for any of them, by its label of each picture.

    Raises AstrogateError where there is no such picture.
    """
    check_groups(groups)
    counts = {group: float(sum(label in words for label in readings)) for group, words in groups.items()}
    if not any(counts.values()):
        raise AstrogateError("no picture shows any of the groups", f"see what it shows: {', '.join(set(readings))}")
    return _normal(counts)


def balance(
    model: Model,
    basis: Basis,
    groups: Groups,
    reader: Reader,
    *,
    factor: str = "subject",
    target: Mapping[str, float] | None = None,
    seeds: Sequence[int] = range(64),
    looks: int = 7,
    recipe: Recipe | None = None,
    cache: FrameCache | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Balanced:
    """Re-weight a basis until its pictures at `seeds` have the `target` shares (None: equal ones).

    The reader's labels of `factor` count as the words of `groups`. Each group but the last is bisected in `looks`
    steps; of more than two, in turn, until all shares are within two pictures of their targets, four times at most.
    Raises AstrogateError for targets that are no shares of these groups, and as `word_shares` and `labels_of` do.
    """
    target, seeds = target_of(groups, target), checked_all(seeds)
    kept = with_words(basis, [word for words in groups.values() for word in words if word in basis.names])

    word_shares(basis, groups)

    def level(factors: Mapping[str, float]) -> Shares:
        """The same factors with a geometric mean of 1."""
        return {group: f / statistics.geometric_mean(factors.values()) for group, f in factors.items()}

    def changed(factors: Mapping[str, float]) -> Basis:
        factors = level(factors)
        return kept.scaled({word: f for group, f in factors.items() for word in groups[group] if word in kept.names})

    def shares(factors: Mapping[str, float]) -> Shares:
        frames = render(model, basis_points(model, changed(factors), seeds), recipe=recipe, cache=cache)
        found = picture_shares(labels_of(reader, to_tensor(frames), factor, groups), groups)
        tell(", ".join(f"{group} x {level(factors)[group]:.3g}: {share:.0%}" for group, share in found.items()))
        return found

    def miss(found: Shares) -> float:
        return max(abs(found[group] - target[group]) for group in groups)

    factors = dict.fromkeys(groups, 1.0)
    before = after = shares(factors)
    for _ in range(1 if len(groups) == 2 else 4):
        for group in list(groups)[:-1]:
            middle = math.log(factors[group])
            low, high, found = middle - _REACH, middle + _REACH, after
            for look in range(looks):
                tried = {**factors, group: math.exp(middle)}
                found = shares(tried) if look else after
                if miss(found) < miss(after):
                    after, factors = found, tried
                low, high = (middle, high) if found[group] < target[group] else (low, middle)
                middle = (low + high) / 2
        if miss(after) <= 2 / len(seeds):
            break
    return Balanced(changed(factors), level(factors), before, after)


def target_of(groups: Groups, target: Mapping[str, float] | None) -> Shares:
    """The shares that groups should have: equal ones, unless named. Raises AstrogateError for what are none."""
    check_groups(groups)
    found = dict.fromkeys(groups, 1 / len(groups)) if target is None else dict(target)
    if (
        found.keys() != groups.keys()
        or not math.isclose(sum(found.values()), 1, abs_tol=1e-6)
        or min(found.values()) < 0
    ):
        raise AstrogateError(f"target {found}", f"give {', '.join(groups)} a share each, 1 in all")
    return found


def labels_of(reader: Reader, pictures: Tensor, factor: str, groups: Groups) -> list[str]:
    """A reader's label of each picture. Raises AstrogateError for a factor or a group's word that it does not read."""
    readings = reader.read(pictures)
    if factor not in readings.classes:
        raise AstrogateError(f"the reader knows no {factor!r}", f"choose one of {', '.join(readings.classes)}")
    known = readings.classes[factor]
    if lost := [word for words in groups.values() for word in words if word not in known]:
        raise AstrogateError(f"the reader knows no {', '.join(lost)}", f"choose from {', '.join(known)}")
    return readings.labels(factor)


def check_reader(reader: Reader, factor: str, groups: Groups, side: int) -> None:
    """Raise AstrogateError as `labels_of` does, by a blank picture of `side` pixels."""
    labels_of(reader, torch.zeros(1, 3, side, side), factor, groups)


def neither(labels: Sequence[str], groups: Groups) -> float:
    """The share of pictures, by their labels, that show none of the groups."""
    return sum(all(label not in words for words in groups.values()) for label in labels) / max(1, len(labels))


def check_groups(groups: Groups) -> None:
    """Raise AstrogateError for fewer than two groups, an empty one, and a word in two of them."""
    words = [word for words in groups.values() for word in words]
    if len(groups) < 2 or len(set(words)) < len(words) or not all(groups.values()):
        raise AstrogateError(f"groups {dict(groups)}", "name two or more, none empty, each word in one alone")


def _normal(values: Mapping[str, float]) -> Shares:
    total = sum(values.values())
    return {group: value / total for group, value in values.items()}
