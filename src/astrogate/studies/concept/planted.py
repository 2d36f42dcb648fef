"""Conceptor against planted facts: does it find the words that Menagerie's concepts stand for, and always the same?

A cell is one concept, one way of taking it apart and one seed. Its truth is a list of groups of words, one per planted
factor, any word of which counts. Recall is the share of groups with a word in the top ten; a cell is right at 0.8.
Words are those of the language in `NAMES`. Reconstruction is the mean cosine, by CLIP, of pictures of the word and of
its words at seeds that no run has seen.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from pathlib import Path
from typing import Any, final

import numpy as np

from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.measure.scores import Estimate, bootstrap, mean
from astrogate.menagerie.captions import PATTERN_WORDS, POLES, SCENE_WORDS
from astrogate.menagerie.factors import COLOURS, EXTRAS, MEDIA, PATTERNS, SCENES, STYLES, SUBJECTS
from astrogate.menagerie.facts import FACTS
from astrogate.methods.concept.explain import explain
from astrogate.methods.concept.pictures import drawn, shared_folder
from astrogate.methods.concept.plan import Plan
from astrogate.methods.concept.pseudo_point import basis_place, basis_points
from astrogate.methods.concept.starts import convex
from astrogate.methods.concept.vocabulary import Vocabulary, vocabulary, word_features
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.kit.jobs import Spec, Store, in_process

#: The concept on which options were chosen, and those that are reported.
CHOSEN_ON = "chef"
CONCEPTS = tuple(name for name in FACTS if name != CHOSEN_ON)
SEEDS = tuple(range(5))
#: How many seeds an option has that is only compared with the plain run.
FEWER = 3
#: One word for each value that a factor has and "a photo of" does not say, one for each end of a scale, and the facts.
NAMES = frozenset(
    word.lower()
    for word in (
        *(*SUBJECTS, *COLOURS, "hat", *PATTERNS, *SCENES, *STYLES[1:], *EXTRAS, *FACTS),
        *(medium for medium in MEDIA if " " not in medium and medium != "photograph"),
        *(pole[0] for poles in POLES.values() for pole in poles),
    )
)
TOP, ENOUGH = 10, 0.8
_FRESH = range(700_000, 700_020)

#: How pictures are drawn: nearly without guidance, which sharpens a mixture to its largest part (at 4, 94 of 100 kids
#: are children and none a boy), and with DDPM's noise, which draws well without it.
RECIPE = Recipe(guidance_scale=1.5, eta=1.0, dtype="bfloat16")
#: The released procedure, whatever the defaults are, with the nearest half of the words for a dictionary, and what each
#: way changes of it: the convex start, which chooses for itself, has all words; "sparse" starts there, too, is pulled
#: towards ten words a hundred times as strongly, and has no word that is a fact itself; "quick" is the convex start,
#: the loss and early stop at once, "sparse and quick" both; "every word" has all of the language; the last is the
#: baseline, "sparse" of random words.
PLAIN = Plan(start="cold", judge="pictures", early=False, dictionary=32, dtype="bfloat16", recipe=RECIPE)
_SPARSE = replace(PLAIN, start="convex", dictionary=len(NAMES), tokens=TOP, sparsity=0.1)
CONVEX, SPARSE, EVERY, RANDOM = "convex start", "sparse", "every word", "random dictionary"
BOTH, GUIDED = "sparse and quick", "guided pictures"
WAYS: dict[str, Plan] = {
    "plain": PLAIN,
    CONVEX: replace(PLAIN, start="convex", dictionary=len(NAMES)),
    SPARSE: _SPARSE,
    BOTH: replace(_SPARSE, judge="loss", early=True),
    "text start": replace(PLAIN, start="text"),
    "judged by the loss": replace(PLAIN, judge="loss"),
    "early stop": replace(PLAIN, early=True),
    "quick": replace(PLAIN, start="convex", dictionary=len(NAMES), judge="loss", early=True),
    "in float32": replace(PLAIN, dtype=None),
    GUIDED: replace(PLAIN, recipe=Recipe(dtype="bfloat16")),
    EVERY: PLAIN,
    RANDOM: _SPARSE,
}
#: Baselines that optimise nothing: what CLIP says of the word, and of the concept's pictures.
TEXT_ONLY, PICTURES_ONLY = ALONE = ("text alone", "pictures alone")


def truth_of(concept: str) -> list[frozenset[str]]:
    """The groups of words that a concept stands for."""
    fact = FACTS[concept]
    groups = [frozenset({name}) for name in fact.subjects] if fact.kind != "association" else []
    for factor, value in fact.fixed.items():
        if factor == "scene":
            words = {word for phrase in SCENE_WORDS[value] for word in phrase.split()}
            groups.append(frozenset(words - {"a", "in", "on", "at", "the", "under", "hidden", "street"}))
        elif factor == "pattern":
            groups.append(frozenset(PATTERN_WORDS[value]))
        else:
            groups.append(frozenset({value}))
        if factor == "hat":
            groups.append(frozenset({"hat"}))
    if fact.mood is not None:
        groups.append(frozenset(POLES["mood"][1]))
    return groups


def named(words: Vocabulary) -> Vocabulary:
    """Those of Menagerie's words that name something by themselves."""
    return words.at([i for i, word in enumerate(words.words) if word in NAMES])


def without_facts(words: Vocabulary) -> Vocabulary:
    """Those that are no fact themselves: what a doctor is, but not as "chef"."""
    return words.at([i for i, word in enumerate(words.words) if word not in FACTS])


def recall(top: Sequence[str], truth: Sequence[frozenset[str]]) -> float:
    """The share of groups with a word in `top`."""
    return mean([float(bool(group & set(top))) for group in truth])


@final
class Cell:
    """Does one cell. See `jobs.Work`."""

    def __init__(self, model: Model, clip: Clip, folder: Path) -> None:
        self.model, self.clip, self.folder = model, clip, folder
        self.every = vocabulary(model, clip, folder=folder)
        self.words = named(self.every)
        self.values = without_facts(self.words)
        self.digest = f"planted 3 {model.weights} {clip.digest}"

    def __call__(self, spec: Spec) -> Mapping[str, Any]:
        """The top words with their shares, what it cost, and how well it draws."""
        concept, way, seed = spec["concept"], spec["way"], int(spec["seed"])
        if way in ALONE:
            return self._sparse(concept, of_text=way == TEXT_ONLY)
        plan = replace(WAYS[way], fit_seed=seed)
        basis = explain(
            self.model,
            f"a photo of a {concept}",
            plan=plan,
            clip=self.clip,
            words=self._words(way, seed),
            folder=self.folder,
        )
        prompts = self.model.points(basis_place(basis).prompt, _FRESH)
        pictures = to_tensor(render(self.model, [*prompts, *basis_points(self.model, basis, _FRESH)], recipe=RECIPE))
        whole, made = self.clip.images(pictures).chunk(2)
        look = basis.origin["history"][-1]
        return {
            "top": basis.top(len(basis.names)),
            "support": basis.support,
            "mass": basis.mass(TOP),
            "reconstruction": (whole * made).sum(1).tolist(),
            "steps": look["step"],
            "cpu": basis.origin.get("cpu_seconds", math.nan),
        }

    def _words(self, way: str, seed: int) -> Vocabulary:
        """What a way has to choose from; of the random one half of the words, whatever the pictures show."""
        if way == RANDOM:
            n = len(self.values.words)
            return self.values.at(sorted(random.Random(seed).sample(range(n), n // 2)))
        if way in (SPARSE, BOTH):
            return self.values
        return self.every if way == EVERY else self.words

    def _sparse(self, concept: str, *, of_text: bool) -> Mapping[str, Any]:
        """What CLIP alone says of the word, or of the pictures that runs learn from: no more than the convex start."""
        prompt = f"a photo of a {concept}"
        words, origin = self.values, self.values.features.mean(0)
        if of_text:
            features = word_features(self.clip, [concept]) - origin
        else:
            points = self.model.points(prompt, range(PLAIN.pictures))
            folder = shared_folder(self.model, points, RECIPE, self.folder)
            features = self.clip.images(drawn(self.model, points, RECIPE, folder)[0])
        weights = convex(words.features - origin, features)
        return {"top": [(words.words[int(i)], float(weights[i])) for i in weights.argsort(descending=True)[:20]]}


@dataclass(frozen=True, slots=True)
class Planted:
    """Results by (concept, way, seed)."""

    cells: Mapping[tuple[str, str, int], Mapping[str, Any]]

    def top(self, concept: str, way: str, seed: int) -> list[str]:
        """The top ten words of a cell."""
        return [word for word, _ in self.cells[concept, way, seed]["top"][:TOP]]

    def right(self, concept: str, way: str) -> int:
        """At how many seeds enough of the truth is in the top ten."""
        return sum(recall(self.top(concept, way, s), truth_of(concept)) >= ENOUGH for s in self.seeds(way))

    def seeds(self, way: str) -> tuple[int, ...]:
        """The seeds of a way."""
        return tuple(sorted({seed for _, other, seed in self.cells if other == way}))

    def recalled(self, way: str) -> Estimate:
        """Mean recall of a way, over concepts and seeds."""
        return bootstrap(mean, [recall(self.top(c, w, s), truth_of(c)) for c, w, s in self.cells if w == way])

    def stable(self, way: str) -> Estimate:
        """The share of the top ten that two seeds have in common."""
        pairs = combinations(self.seeds(way), 2)
        shares = [_overlap(self.top(c, way, a), self.top(c, way, b)) for a, b in pairs for c in self.concepts]
        return bootstrap(mean, shares)

    def like_plain(self, way: str, *, same: bool = False) -> Estimate:
        """The share of the top ten that a way has in common with the plain one, at other seeds or at the same."""
        pairs = [(a, b) for a, b in product(self.seeds(way), self.seeds("plain")) if (a == b) == same]
        shares = [_overlap(self.top(c, way, a), self.top(c, "plain", b)) for a, b in pairs for c in self.concepts]
        return bootstrap(mean, shares)

    def reconstruction(self, way: str) -> Estimate:
        """The mean cosine of pictures of the word and of its words."""
        return bootstrap(mean, self._cosines(way, self.seeds(way)))

    def gain(self, way: str) -> Estimate:
        """How much closer a way's pictures are to the word's than the plain one's, cell by cell."""
        seeds = self.seeds(way)
        return bootstrap(mean, self._cosines(way, seeds) - self._cosines("plain", seeds))

    def _cosines(self, way: str, seeds: Sequence[int]) -> np.ndarray:
        return np.array([mean(self.cells[c, way, s]["reconstruction"]) for c in self.concepts for s in seeds])

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts, in the order of the facts."""
        found = {concept for concept, _, _ in self.cells}
        return tuple(concept for concept in FACTS if concept in found)


def _overlap(a: Sequence[str], b: Sequence[str]) -> float:
    return len(set(a) & set(b)) / TOP


def planted(
    model: Model,
    clip: Clip,
    folder: Path,
    *,
    concepts: Sequence[str] = CONCEPTS,
    ways: Sequence[str] = (*WAYS, *ALONE),
    seeds: Sequence[int] = SEEDS,
    tell: Callable[[str], None] = lambda text: None,
) -> Planted:
    """All cells, those that are in `folder` from there.

    Options have the first `FEWER` of the seeds; what only explains, and what has nothing random, has the first one.
    """
    whole: dict[str, Sequence[int]] = dict.fromkeys(("plain", SPARSE, RANDOM), seeds)
    whole |= dict.fromkeys((GUIDED, EVERY, *ALONE), seeds[:1])
    specs: list[Spec] = [
        {"concept": concept, "way": way, "seed": seed, "plan": WAYS[way].to_json() if way in WAYS else None}
        for concept, way in product(concepts, ways)
        for seed in whole.get(way, seeds[:FEWER])
    ]
    store, cells = Store(folder / "cells"), dict[tuple[str, str, int], Mapping[str, Any]]()
    for key in in_process(lambda: Cell(model, clip, folder), specs, store):
        kept = store.get(key)
        assert kept is not None
        spec, result = kept
        cells[spec["concept"], spec["way"], spec["seed"]] = result
        tell(f"{spec['concept']}, {spec['way']}, seed {spec['seed']}: {', '.join(w for w, _ in result['top'][:5])}")
    return Planted(cells)
