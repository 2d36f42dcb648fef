"""The page of the planted facts: every concept's words with their weights, and every way beside the plain one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astrogate.core.files import write_text
from astrogate.measure.scores import mean
from astrogate.studies.concept.planted import (
    ALONE,
    ENOUGH,
    EVERY,
    FEWER,
    NAMES,
    RANDOM,
    SPARSE,
    TOP,
    WAYS,
    Planted,
    recall,
    truth_of,
)
from astrogate.studies.kit.report import page

Table = tuple[Sequence[str], list[list[str]]]
#: By how much a way's pictures may be further from the word's than the plain one's, at worst.
MARGIN = 0.005


def write_planted(found: Planted, output: Path, *, model: str, threads: int) -> None:
    """Write the page, and all cells as JSON beside it."""
    ways = [way for way in (*WAYS, *ALONE) if found.seeds(way)]
    adopted = [way for way in ways if adopts(found, way)]
    passed = {way: sum(found.right(c, way) >= min(3, len(found.seeds(way))) for c in found.concepts) for way in ways}
    values: Any = {
        "facts": _facts(found, ways),
        "weights": {way: _weights(found, way) for way in ("plain", SPARSE) if found.seeds(way)},
        "ways": _ways(found, [way for way in ways if way not in ALONE]),
        "passed": passed,
        "missing": [way for way in (*WAYS, *ALONE) if way not in ways],
        "adopted": adopted,
        "count": len(found.concepts),
        "names": len(NAMES),
        "seeds": len(found.seeds("plain")),
        "fewer": min(FEWER, len(found.seeds("plain"))),
    }
    write_text(
        output, page("planted.md", model=model, threads=threads, enough=ENOUGH, top=TOP, margin=MARGIN, **values)
    )
    cells = [{"concept": c, "way": w, "seed": s, **result} for (c, w, s), result in sorted(found.cells.items())]
    write_text(output.with_suffix(".json"), json.dumps(cells))


def adopts(found: Planted, way: str) -> bool:
    """Whether a way may be a default: like the plain one as that is like itself, and drawing no worse.

    The latter is a test of non-inferiority: the interval of the gain lies above minus `MARGIN`.
    """
    if way in ("plain", EVERY, RANDOM, *ALONE) or not found.seeds(way):
        return False
    return found.like_plain(way).value >= found.stable("plain").value and found.gain(way).low >= -MARGIN


def _facts(found: Planted, ways: Sequence[str]) -> Table:
    """At how many seeds each way finds enough of each fact."""
    rows: list[list[str]] = []
    for concept in found.concepts:
        truth = ", ".join("/".join(sorted(group)) for group in truth_of(concept))
        rows.append([concept, truth, *(f"{found.right(concept, way)} of {len(found.seeds(way))}" for way in ways)])
    return ("Concept", "Stands for", *ways), rows


def _weights(found: Planted, way: str) -> Table:
    """A way's mean share of each word of the truth, its top ten and what of the truth is in it."""
    rows: list[list[str]] = []
    for concept in found.concepts:
        cells = [found.cells[concept, way, seed] for seed in found.seeds(way)]
        shares: dict[str, list[float]] = {}
        for cell in cells:
            for word, share in cell["top"]:
                shares.setdefault(word, []).append(share)
        means = {word: sum(values) / len(cells) for word, values in shares.items()}
        ranked = sorted(means, key=lambda word: -means[word])[:TOP]
        true = {word for group in truth_of(concept) for word in group}
        told = ", ".join(f"{'**' if w in true else ''}{w}{'**' if w in true else ''} {means[w]:.1%}" for w in ranked)
        share = mean([recall(found.top(concept, way, s), truth_of(concept)) for s in found.seeds(way)])
        rows.append([concept, told, f"{share:.0%}", f"{mean([cell['support'] for cell in cells]):.0f}"])
    return ("Concept", "Ten largest weights, mean share", "Truth in the top ten", "Words in effect"), rows


def _ways(found: Planted, ways: Sequence[str]) -> Table:
    rows: list[list[str]] = []
    for way in ways:
        cells = [cell for (_, other, _), cell in found.cells.items() if other == way]
        rows.append(
            [
                way,
                str(found.recalled(way)),
                str(found.stable(way)) if len(found.seeds(way)) > 1 else "",
                *(("", "") if way == "plain" else (str(found.like_plain(way, same=same)) for same in (False, True))),
                str(found.reconstruction(way)),
                "" if way == "plain" else str(found.gain(way)),
                f"{_median(cells, 'steps'):.0f}",
                f"{_median(cells, 'cpu'):.0f}",
            ]
        )
    head = ("Way", "Truth in the top ten", "Seed to seed", "Like the plain one", "At the same seed")
    return (*head, "Reconstruction", "Gain on the plain one", "Steps", "CPU seconds"), rows


def _median(cells: Sequence[Mapping[str, Any]], name: str) -> float:
    values = sorted(float(cell[name]) for cell in cells)
    return values[len(values) // 2]
