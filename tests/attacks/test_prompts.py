"""One way to read a prompt: spans, states and lengths are those of what the text encoder reads."""

from __future__ import annotations

import unicodedata
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import astrogate as ag
from astrogate.core.segment import words_of
from astrogate.models.loading.load import load, wrap
from astrogate.models.text.prompts import expanded


@pytest.fixture
def toys(tiny_folder: Path) -> Any:
    """A model with textual inversions of three vectors and of one."""
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    width = pipe.text_encoder.get_input_embeddings().weight.shape[1]
    pipe.load_textual_inversion({"<toy>": torch.randn(3, width)}, token="<toy>")
    pipe.load_textual_inversion({"<one>": torch.randn(width)}, token="<one>")
    pipe.load_textual_inversion({"<Big>": torch.randn(2, width)}, token="<Big>")
    return wrap(pipe)


@pytest.mark.parametrize(
    "prompt",
    [
        "a <toy>",
        "a <toy> dog",
        "<toy>",
        "a fat <toy> and a <toy> cat",
        "a <one> dog",
        "a <toy><one> dog",
        "a <toy>'s dog, <toy>!",
        "a dog",
        "a <TOY> dog",
        "a <Big> dog and a <big> cat",
        "a <toy>_1 dog",
        "a<toy>dog",
    ],
)
def test_states_and_spans_are_of_what_the_encoder_reads(toys: Any, prompt: str) -> None:
    point = toys.point(prompt)
    tokenizer = toys.pipe.tokenizer
    assert expanded(prompt, tokenizer)[0] == toys.pipe.maybe_convert_prompt(prompt, tokenizer)
    for padding in ("max_length", "longest"):
        states = toys.encode([prompt], padding=padding)
        length = states["prompt_embeds"].shape[1]
        near = torch.equal if padding == "max_length" else partial(torch.allclose, atol=1e-5)
        assert near(states["prompt_embeds"][0], point.tensors["prompt_embeds"][:length])
        assert int(states["end"][0]) == point.segments[0].end
    ids = tokenizer(toys.pipe.maybe_convert_prompt(prompt, tokenizer)).input_ids
    assert point.segments[0].end == len(ids) - 1


def test_a_word_of_several_vectors_is_all_of_them(toys: Any) -> None:
    segment = toys.point("a <toy> dog").segments[0]
    assert segment.find("<toy>") == (2, 5)
    assert segment.find("dog") == (5, 6)
    assert toys.point("a <one> dog").segments[0].find("dog") == (3, 4)
    twice = toys.point("a <toy> <toy> dog").segments[0]
    assert twice.find("<toy>") == (2, 5)
    assert twice.find("<toy>", last=True) == (5, 8)
    direction = ag.contrast(toys, "fat", "thin", media=("painting",), subjects=("dog",), roles=("subject", "end"))
    point = toys.point("a <toy> dog")
    (steer,) = direction.at(point, on="dog").above.steers
    moved = steer.vectors["prompt_embeds"].abs().sum(1)
    assert moved.nonzero().flatten().tolist() == [5]


def test_what_is_cut_off_is_counted_as_the_encoder_reads_it(toys: Any) -> None:
    limit = toys.pipe.tokenizer.model_max_length
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        toys.point(" ".join(["<toy>"] * (limit // 3 + 2)))
    assert any("tokens too long" in str(one.message) for one in told)


@pytest.mark.parametrize(
    "word", ["İstanbul", "Straße", "ÉCLAIR", "naïve", "ŁÓDŹ", "हिन्दी", "Ελλάς", "Ĳssel", "e\u0301te\u0301"]
)
@pytest.mark.filterwarnings("ignore")
def test_words_are_found_however_they_are_spelled(tiny: Any, word: str) -> None:
    for form in ("NFC", "NFD"):
        spelled = unicodedata.normalize(form, word)
        for said in {spelled, spelled.casefold(), unicodedata.normalize("NFC", spelled)}:
            segment = tiny.point(f"of {spelled}").segments[0]
            span = segment.find(said)
            assert span is not None, (form, said, segment.words)
            assert span[0] == segment.find("of")[1]  # type: ignore[index]


def test_words_of() -> None:
    assert words_of("A fat-dog's 2 हिन्दी") == ["a", "fat", "-", "dog", "'", "s", "2", "हिन्दी"]


def test_tokens_without_vectors_are_refused(
    tiny_folder: Path, stack: Any, clip: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    model = wrap(pipe)
    model.point("a dog")
    pipe.tokenizer.add_tokens(["<new>", "<newer>"])
    for read in (model.point, lambda prompt: model.encode([prompt])):
        with pytest.raises(ag.AstrogateError, match="differ in size"):
            read("a <new> dog")
    towers = replace(stack.stack.towers, tokenizer=pipe.tokenizer)
    monkeypatch.setattr(clip, "tokenizer", pipe.tokenizer)
    for read in (towers.texts, clip.texts):
        with pytest.raises(ag.AstrogateError, match="differ in size"):
            read(["a <new> dog"])
    pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer))
    assert model.point("a <newer> dog").segments[0].find("dog") is not None
