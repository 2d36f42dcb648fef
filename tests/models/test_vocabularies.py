"""Real prompts behind real vocabularies: words of several tokens, apostrophes, hyphens, accents, capitals, plurals."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from astrogate.core.segment import WORD, folded
from astrogate.models.loading.load import load
from tests import vocabularies
from tests.checkpoints import FAMILIES, SIZE, parts, row
from tests.models.test_families import read_by_the_encoders
from tests.vocabularies import PROMPTS, REAL


@pytest.fixture
def folder(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of a family with a vocabulary of real size or kind."""
    for build in FAMILIES.values():
        for name, real in REAL.items():
            if hasattr(sys.modules[build.__module__], name):
                monkeypatch.setattr(f"{build.__module__}.{name}", real)
    monkeypatch.setattr(parts, "LENGTH", 77)
    FAMILIES[family](tmp_path)
    return tmp_path


def prompts_for(family: str) -> list[str]:
    """All of them for one family of each kind of tokenizer."""
    return PROMPTS if family in ("stable_diffusion", "pixart_sigma", "z_image", "lumina2") else PROMPTS[::10]


def test_there_are_two_hundred_prompts() -> None:
    assert len(set(PROMPTS)) == 200
    text = "\n".join(PROMPTS)
    assert all(re.search(sign, text) for sign in ("'s", "s'", r"\w-\w", "[éüÅ]", "[A-Z]{4}", r"\d", "_", '"', r"\("))


def test_spans_of_real_prompts_are_their_words_and_states_those_of_their_points(family: str, folder: Path) -> None:
    """What the encoders read at a span spells the word; with a token less at either end it does not."""
    model = load(str(folder), device="cpu")
    missed: list[tuple[str, str, str]] = []
    for prompt in prompts_for(family):
        tokens = read_by_the_encoders(model, prompt)
        for text, segment in zip(row(family).texts, model.segments(prompt), strict=True):
            tokenizer, ids = text.reader(model.pipe), tokens[text.tokenizer]
            said = [folded(word) for word in WORD.findall(prompt)]
            assert [word for word, _, _ in segment.words] == said, prompt
            for word, low, high in segment.words:
                own = ids[low - segment.start : high - segment.start]
                while not _spelled(tokenizer.decode(own[:1])):  # a space that is a token is its word's
                    own = own[1:]
                spelled, *shorter = [_spelled(tokenizer.decode(part)) for part in (own, own[1:], own[:-1])]
                if word not in spelled or any(word in part for part in shorter):
                    missed.append((prompt, word, spelled))
    assert not missed, missed[:10]
    for prompt in prompts_for(family)[:: 1 if family == "stable_diffusion" else 5]:
        point, states = model.point(prompt, height=SIZE[family], width=SIZE[family]), model.encode([prompt])
        for space in set(states) & set(point.tensors):
            assert torch.equal(states[space][0], point.tensors[space]), prompt
        assert int(states["end"][0]) == point.segments[0].end


def _spelled(text: str) -> str:
    return folded(text).replace(" ", "")


def test_clips_vocabulary_is_whole() -> None:
    assert len(vocabularies.clip_tokenizer()) == 49_408
