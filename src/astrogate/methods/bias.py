"""Bias: which of several groups a concept leans to, by its words and by its pictures; and how to even it out.

    share of group g  =  (sum of a_i over its words)^power / the same over all groups  (by words)
                      =  pictures that the reader takes for g / those for any group    (by pictures)

Chefer et al. (2024) describe both without releasing them. A concept is balanced by factors on the groups' weights,
which are bisected one group after the other until the pictures have the shares that are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model, Reader
from astrogate.core.recipe import Recipe
from astrogate.methods.concepts.point import basis_points
from astrogate.methods.manipulate import with_words
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.render import render, to_tensor

Groups = Mapping[str, Sequence[str]]
Shares = dict[str, float]
#: Factors are looked for between exp(-_REACH) and exp(_REACH).
_REACH = 5.0


@dataclass(frozen=True, slots=True)
class Balanced:
    """A basis whose groups are re-weighted, by which factors, and the shares in the pictures before and after."""

    basis: Basis
    factors: Shares
    before: Shares
    after: Shares


def word_shares(basis: Basis, groups: Groups, *, power: float = 1.0) -> Shares:
    """The share of each group's words among those of all groups; a `power` above 1 sharpens it.

    Raises AstrogateError for fewer than two groups, a word in two of them, and where the basis has none of the words.
    """
    check_groups(groups)
    weights = {name: float(w) for name, w in zip(basis.names, basis.weights, strict=True)}
    sums = {group: sum(weights.get(word, 0.0) for word in words) for group, words in groups.items()}
    if not any(sums.values()):
        words = ", ".join(word for words in groups.values() for word in words)
        raise AstrogateError(f"{basis.name!r} has none of {words}", "name other words, or enlarge the dictionary")
    return sharpened(_normal(sums), power)


def sharpened(shares: Shares, power: float) -> Shares:
    """Shares to a power, of sum 1 again."""
    return _normal({group: share**power for group, share in shares.items()})


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
    target = target_of(groups, target)
    word_shares(basis, groups)
    kept = with_words(basis, [word for words in groups.values() for word in words if word in basis.names])

    def changed(factors: Mapping[str, float]) -> Basis:
        return kept.scaled({word: f for group, f in factors.items() for word in groups[group] if word in kept.names})

    def shares(factors: Mapping[str, float]) -> Shares:
        frames = render(model, basis_points(model, changed(factors), seeds), recipe=recipe, cache=cache)
        found = picture_shares(labels_of(reader, to_tensor(frames), factor, groups), groups)
        tell(", ".join(f"{group} x {factors[group]:.3g}: {share:.0%}" for group, share in found.items()))
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
    return Balanced(changed(factors), factors, before, after)


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
