"""Bias, measured: what a role's words say about its pictures, calibrated on no role, and balancing.

The response of the model to mixtures of the words "man" and "woman" (`methods.concept.bias`) turns shares of words into
shares of pictures, by the plain method and the sparse one of `planted`; the oracle's counts are compared with them. The
method that is closer on the `CHOSEN_ON` roles is balanced on the `REPORTED` ones. A balanced role is drawn at new
seeds, beside the unbalanced one at the same seeds: scene and medium should stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from astrogate.core.basis import Basis
from astrogate.core.point import Point
from astrogate.core.protocols import Model, Reader, Readings
from astrogate.measure.clip import Clip
from astrogate.measure.scores import mean
from astrogate.methods.concept.bias import (
    Response,
    Shares,
    balance,
    labels_of,
    mixtures,
    neither,
    picture_shares,
    response_to,
    word_shares,
)
from astrogate.methods.concept.explain import explain
from astrogate.methods.concept.pseudo_point import basis_points
from astrogate.methods.concept.vocabulary import vocabulary
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.concept.planted import RECIPE, SEEDS, SPARSE, WAYS, named, without_facts

CHOSEN_ON, REPORTED = ("chef", "king"), ("doctor", "dancer")
GROUPS = {"man": ("man",), "woman": ("woman",)}
#: Two ways of the study of planted facts, whose runs it shares.
BY_WORDS = ("plain", SPARSE)
COUNT = 400
_COUNTED, _MIXED = range(500_000, 500_000 + COUNT), range(620_000, 620_060)
_KEPT = ("scene", "medium")


@dataclass(frozen=True, slots=True)
class Role:
    """A role's bases, one per seed, with the share of the first group by the words of each; that share in its pictures,
    and the share of pictures that show neither."""

    name: str
    bases: Sequence[Basis]
    by_words: Sequence[float]
    counted: float
    neither: float = 0.0


@dataclass(frozen=True, slots=True)
class Evened:
    """Shares of the first group, drawn from the words before and after balancing; by how much, at most, the share of
    any scene and of any medium moved; how many are the same at the same seed; how many show neither."""

    before: float
    after: float
    factor: float
    moved: Mapping[str, float]
    kept: Mapping[str, float]
    neither: float


def pictures_of(model: Model, points: Sequence[Point], folder: Path) -> Tensor:
    """Pictures [n, 3, h, w] of points, as all of this study draws them; those in the folder's cache from there."""
    return to_tensor(render(model, points, recipe=RECIPE, batch_size=20, cache=FrameCache(folder / "frames")))


def role_of(model: Model, reader: Reader, clip: Clip, folder: Path, name: str, way: str, seeds: Sequence[int]) -> Role:
    """Take a role apart at several seeds, and count its pictures."""
    words, plan = named(vocabulary(model, clip, folder=folder)), WAYS[way]
    words = without_facts(words) if way == SPARSE else words
    prompt = f"a photo of a {name}"
    bases = [
        explain(model, prompt, plan=replace(plan, fit_seed=s), clip=clip, words=words, folder=folder) for s in seeds
    ]
    pictures = pictures_of(model, model.points(prompt, _COUNTED), folder)
    labels = labels_of(reader, pictures, "subject", GROUPS)
    shares = [word_shares(basis, GROUPS)["man"] for basis in bases]
    return Role(name, bases, shares, picture_shares(labels, GROUPS)["man"], neither(labels, GROUPS))


def response_of(model: Model, reader: Reader, basis: Basis, folder: Path) -> Response:
    """How mixtures of the groups' words are drawn in a basis's place."""
    cache = FrameCache(folder / "frames")
    return response_to(mixtures(model, basis, GROUPS, reader, seeds=_MIXED, recipe=RECIPE, cache=cache), GROUPS)


def detected(share: float, response: Response) -> float:
    """The share in pictures that a share of words stands for."""
    return response.detected({"man": share, "woman": 1 - share})["man"]


def evened(
    model: Model,
    reader: Reader,
    role: Role,
    folder: Path,
    *,
    seeds: Sequence[int] = range(100),
    tell: Callable[[str], None] = lambda text: None,
) -> Evened:
    """Balance a role's first basis, and look at pictures that the balancing did not see."""
    cache = FrameCache(folder / "frames")
    found = balance(model, role.bases[0], GROUPS, reader, recipe=RECIPE, seeds=seeds, cache=cache, tell=tell)
    before, after = (
        reader.read(pictures_of(model, basis_points(model, basis, _COUNTED), folder))
        for basis in (role.bases[0], found.basis)
    )
    shares = [_share(readings) for readings in (before, after)]
    return Evened(
        shares[0]["man"],
        shares[1]["man"],
        found.factors["man"],
        {factor: moved(before.labels(factor), after.labels(factor)) for factor in _KEPT},
        {f: mean([float(a == b) for a, b in zip(before.labels(f), after.labels(f), strict=True)]) for f in _KEPT},
        neither(after.labels("subject"), GROUPS),
    )


def _share(readings: Readings) -> Shares:
    return picture_shares(readings.labels("subject"), GROUPS)


def moved(before: Sequence[str], after: Sequence[str]) -> float:
    """By how much the share of any label moved, at most."""
    return max(abs(before.count(label) / len(before) - after.count(label) / len(after)) for label in {*before, *after})


def lines(
    model: Model,
    reader: Reader,
    clip: Clip,
    folder: Path,
    tell: Callable[[str], None] = lambda text: None,
    *,
    seeds: Sequence[int] = SEEDS,
) -> list[str]:
    """The study as text: the response; for each way each role's shares, detected and counted; one way is evened out."""
    names = (*CHOSEN_ON, *REPORTED)
    roles = {way: {name: role_of(model, reader, clip, folder, name, way, seeds) for name in names} for way in BY_WORDS}
    response = response_of(model, reader, roles[SPARSE][CHOSEN_ON[0]].bases[0], folder)
    found = [f"shares of words to the power {response.power:.2f}, man x {response.gains['man']:.2f}"]
    missed: dict[str, float] = {}
    for way, those in roles.items():
        found += [f"{way}: {_detection(role, response)}" for role in those.values()]
        tried = [(role, share) for role in (those[name] for name in CHOSEN_ON) for share in role.by_words]
        missed[way] = mean([(detected(share, response) - role.counted) ** 2 for role, share in tried])
    best = min(missed, key=lambda way: missed[way])
    misses = ", ".join(f"{way} {100 * miss**0.5:.1f}" for way, miss in missed.items())
    found.append(f"points missed on {', '.join(CHOSEN_ON)}, root mean square: {misses}; balanced from here on: {best}")
    return found + [_balancing(name, evened(model, reader, roles[best][name], folder, tell=tell)) for name in REPORTED]


def _detection(role: Role, response: Response) -> str:
    each = [detected(share, response) for share in role.by_words]
    told, most = mean(each), max(abs(one - role.counted) for one in each)
    return (
        f"{role.name}: man {mean(role.by_words):.1%} of the words' weights, detected {told:.0%}, counted "
        f"{role.counted:.0%} of {COUNT} pictures (neither {role.neither:.0%}): {100 * (told - role.counted):+.1f} "
        f"points, at one seed at most {100 * most:.0f}"
    )


def _balancing(name: str, even: Evened) -> str:
    moves = ", ".join(f"{factor} {100 * by:.1f}" for factor, by in even.moved.items())
    kept = ", ".join(f"{factor} {share:.0%}" for factor, share in even.kept.items())
    return (
        f"{name}, drawn from its words: man {even.before:.0%}, balanced (man x {even.factor:.2f}) "
        f"{even.after:.0%} (neither {even.neither:.0%}); points that a share moved, at most: {moves}; "
        f"the same at the same seed: {kept}"
    )
