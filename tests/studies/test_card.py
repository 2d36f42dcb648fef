"""The model card counts what it says, and marks what falls short."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from astrogate.core.protocols import Readings
from astrogate.measure.scores import Estimate
from astrogate.menagerie.captions import stated
from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS, PATTERNS
from astrogate.menagerie.world import Scene, held_out
from astrogate.studies.world.card import agreement, witness_agreement, write_card
from astrogate.studies.world.scenes import held_out_scenes, scenes_of_patterns, truth_scores


def readings(scenes: list[Scene], **instead: str) -> Readings:
    """What a perfect reader would say, but for the factors in `instead`, which it reads the same everywhere."""
    said = {n: [v.index(instead.get(n, getattr(s, n))) for s in scenes] for n, v in CATEGORICAL.items()}
    return Readings(
        classes=CATEGORICAL,
        probabilities={n: torch.eye(len(v))[said[n]] for n, v in CATEGORICAL.items()},
        values={n: torch.tensor([getattr(s, n) for s in scenes]) for n in CONTINUOUS},
        mask=torch.zeros(len(scenes), 4, 4),
    )


def test_captions_are_of_held_out_scenes() -> None:
    scenes, captions = held_out_scenes(50)
    assert all(map(held_out, scenes))
    assert len({c.text for c in captions}) > 45


def test_as_many_captions_state_each_pattern() -> None:
    scenes, captions = scenes_of_patterns(5)
    assert Counter(scene.pattern for scene in scenes) == dict.fromkeys(PATTERNS, 5)
    assert all(held_out(scene) for scene in scenes)
    assert all(stated(c.text)["pattern"] == s.pattern for s, c in zip(scenes, captions, strict=True))


def test_a_perfect_reader_scores_one() -> None:
    scenes, captions = held_out_scenes(200)
    perfect = readings(scenes)
    scores = {**truth_scores(perfect, scenes), **agreement(perfect, scenes, captions)}
    assert set(scores) == {*CATEGORICAL, *CONTINUOUS}
    assert all(score.value == pytest.approx(1) for score in scores.values())
    assert witness_agreement(perfect, perfect)["overall"].value == 1


def test_only_what_the_caption_states_counts() -> None:
    scenes, captions = held_out_scenes(200)
    score = agreement(readings(scenes, scene="night"), scenes, captions)["scene"]
    stated = [s for s, c in zip(scenes, captions, strict=True) if "scene" in c.mentions]
    assert score.n == len(stated) < 200
    assert score.value == pytest.approx(sum(s.scene == "night" for s in stated) / len(stated))


def test_what_a_picture_cannot_show_does_not_count() -> None:
    scenes = [Scene(medium="sketch", colour="red"), Scene(medium="photograph", colour="red")]
    blind = readings(scenes, colour="blue")
    assert truth_scores(blind, scenes)["colour"].n == 1
    assert witness_agreement(readings(scenes), blind)["colour"] == Estimate(0, 0, 0, 1)


def test_the_card_marks_what_it_missed(tmp_path: Path) -> None:
    scenes, captions = held_out_scenes(120)
    perfect, poor = readings(scenes), readings(scenes, scene="night", hat="red")

    def plain(scores: dict[str, Estimate]) -> dict[str, dict[str, float]]:
        return {name: asdict(score) for name, score in scores.items()}

    one = asdict(Estimate(1, 1, 1, 9))
    numbers = {
        "captions": 120,
        "size": 64,
        "recipe": {"num_inference_steps": 20, "guidance_scale": 4.0},
        "drawings": plain(truth_scores(perfect, scenes)),
        "rebuilt": plain(truth_scores(perfect, scenes)),
        "generated": plain(agreement(poor, scenes, captions)),
        "witness": plain(witness_agreement(perfect, poor)),
        "patterns": plain({"plain": Estimate(0.9, 0.8, 1, 100), "spotted": Estimate(0.7, 0.6, 0.8, 100)}),
        "strips": {"build": {**one, "value": 0.7, "curve": [-1, 1], "scales": [-2, 2]}},
        **dict.fromkeys(("mask_iou", "psnr", "retrieval"), one),
        "seconds": 0.1,
        "words": 112,
        "card": {"preset": "cpu", "parameters": 1_000_000, "draws": 256},
    }
    write_card(numbers, tmp_path / "card.md", ["a.png", "b.png"])
    missed = [
        line.split("|")[1].strip() for line in (tmp_path / "card.md").read_text().splitlines() if "missed" in line
    ]
    assert missed == ["hat", "scene", "spotted", "build", "overall"]
    assert "It draws 256 px. What follows is measured on `menagerie-64`" in (tmp_path / "card.md").read_text()
    assert "on 200 other captions" in (tmp_path / "card.md").read_text()
    assert (tmp_path / "card.json").stat().st_size > 1000
