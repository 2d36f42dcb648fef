"""What many paths say together: which scores rank the blurred path first, and which agree with the oracle.

A case is one prompt with one pair of seeds, drawn by every way. For a score, the share of cases in which `lerp` comes
first among the uniform ways; its agreement with the oracle is the share of pairs of ways that both order alike, half
for a tie. The oracle's own score of a path is the mean probability, over its inner frames, of what the prompt names.
Intervals are bootstrap over prompts, whose cases are resampled together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from astrogate.core.errors import AstrogateError
from astrogate.core.files import write_text
from astrogate.measure.paths import jump
from astrogate.measure.scores import Estimate, bootstrap, mean
from astrogate.studies.kit.jobs import Store
from astrogate.studies.kit.report import page

#: Every score with its better end: 1 for high, -1 for low.
BETTER = {
    "interp_score": 1,
    "istd": -1,
    "ppl": -1,
    "pdv": -1,
    "evenness": 1,
    "jump": -1,
    "ghosting": -1,
    "sharpness": 1,
    "norm": -1,
    "ks": -1,
}
_BLURRED = "lerp, uniform"
Way = str
Case = tuple[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Study:
    """Results by case and way."""

    results: Mapping[Case, Mapping[Way, Mapping[str, Any]]]

    @property
    def ways(self) -> list[Way]:
        """Every way that all cases have."""
        return sorted(set.intersection(*(set(ways) for ways in self.results.values())))

    @property
    def uniform(self) -> list[Way]:
        """The ways of uniform timing, which differ in their rule alone."""
        return [way for way in self.ways if way.endswith(", uniform")]

    def value(self, case: Case, way: Way, score: str) -> float:
        """A score of one path; of the noise, how far its norm is from 1; "oracle" is the reader's."""
        result = self.results[case][way]
        if score == "oracle":
            return oracle_score(result["read"])
        if score == "norm":
            return abs(result["noise"]["norm"] - 1)
        return float(result["noise"]["ks"] if score == "ks" else result["scores"][score])

    def mean(self, way: Way, score: str) -> Estimate:
        """The mean of a score over all paths of a way."""
        return self.over(lambda case: self.value(case, way, score))

    def over(self, measure: Callable[[Case], float]) -> Estimate:
        """The mean of a measure over cases, with an interval over prompts."""
        prompts = sorted({prompt for prompt, _ in self.results})
        each = [mean([measure(case) for case in self.results if case[0] == prompt]) for prompt in prompts]
        return bootstrap(lambda values: float(np.nanmean(values)), each)


def study_of(items: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Study:
    """Of pairs (spec, result)."""
    results: dict[Case, dict[Way, Mapping[str, Any]]] = {}
    for spec, result in items:
        case = (spec["prompt"], (spec["seeds"][0], spec["seeds"][1]))
        results.setdefault(case, {})[f"{spec['by']}, {spec['timing']}"] = result
    return Study(results)


def oracle_score(read: Mapping[str, Sequence[float]]) -> float:
    """The mean probability of what the prompt names, over the inner frames; NaN where nothing was read."""
    return mean([p for values in read.values() for p in values[1:-1]]) if read else math.nan


def blurred_first(study: Study, score: str) -> Estimate:
    """The share of cases in which the blurred path is the best by a score, ties shared."""
    sign = BETTER[score]
    if _BLURRED not in study.uniform:
        return study.over(lambda case: math.nan)

    def first(case: Case) -> float:
        values = {way: sign * study.value(case, way, score) for way in study.uniform}
        best = [way for way, value in values.items() if value == max(values.values())]
        return (_BLURRED in best) / len(best)

    return study.over(first)


def agreement(study: Study, score: str) -> Estimate:
    """How often a score orders two uniform ways of a case as the oracle does."""

    def agreed(case: Case) -> float:
        out: list[float] = []
        for a, b in combinations(study.uniform, 2):
            ours = BETTER[score] * (study.value(case, a, score) - study.value(case, b, score))
            theirs = study.value(case, a, "oracle") - study.value(case, b, "oracle")
            out.append(0.5 if ours * theirs == 0 else math.nan if math.isnan(theirs) else float(ours * theirs > 0))
        return mean(out)

    return study.over(agreed)


def unevenness(study: Study, way: Way) -> Estimate:
    """The median over paths of (largest step / median step - 1), steps across a flagged jump left out."""
    found: list[float] = []
    for ways in study.results.values():
        jumps = [pair for result in ways.values() for pair in result["jumps"]]
        times, distances = ways[way]["times"], ways[way]["distances"]
        kept = [
            d
            for (a, b), d in zip(pairwise(times), distances, strict=True)
            if not any(low < b and a < high for low, high in jumps)
        ]
        found.append(jump(kept) if kept else math.nan)
    return bootstrap(lambda values: float(np.nanmedian(values)), found)


def flagged(study: Study) -> float:
    """The share of cases in which some timing flagged a jump."""
    return mean([float(any(result["jumps"] for result in ways.values())) for ways in study.results.values()])


def summary(study: Study) -> dict[str, Any]:
    """All that the page says."""
    return {
        "cases": len(study.results),
        "prompts": len({prompt for prompt, _ in study.results}),
        "ways": study.ways,
        "means": {name: {way: study.mean(way, name) for way in study.ways} for name in (*BETTER, "oracle")},
        "first": {name: blurred_first(study, name) for name in BETTER},
        "agreement": {name: agreement(study, name) for name in BETTER},
        "unevenness": {way: unevenness(study, way) for way in study.ways},
        "flagged": flagged(study),
    }


def write_page(store: Store, keys: Sequence[str], source: Path, output: Path) -> None:
    """The page of a finished sweep, with all numbers as JSON beside it."""
    items = [item for key in keys if (item := store.get(key)) is not None]
    if len(items) < len(keys):
        raise AstrogateError(
            f"{len(keys) - len(items)} of {len(keys)} results are not in {store.folder}",
            "name a folder that all workers share",
        )
    found = summary(study_of(items))
    write_text(output, page("sweep.md", **found, better=BETTER, source=source.name))
    write_text(output.with_suffix(".json"), json.dumps(found, indent=1, default=asdict))
