"""The vocabulary: whole words, their features, the cache, and what is said of words that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.protocols import Model
from astrogate.measure.clip import Clip
from astrogate.methods.concept.vocabulary import TEMPLATES, english, vocabulary, word_features
from astrogate.models.loading.load import load
from tests.checkpoints import WORDS
from tests.vocabularies import clip_tokenizer


def test_words_are_the_models_whole_ones(tiny: Model, clip: Clip) -> None:
    found = vocabulary(tiny, clip)
    assert {word for word in WORDS if len(word) > 1} <= set(found.words)
    assert "a" not in found.words
    pipe = tiny.pipe  # type: ignore[attr-defined]
    table, place = pipe.text_encoder.get_input_embeddings().weight, pipe.tokenizer("dog").input_ids[1]
    assert torch.equal(found.embeddings[0][found.words.index("dog")], table[place])
    rows = [table[pipe.tokenizer(word).input_ids[1]].norm().item() for word in found.words]
    assert found.lengths == (pytest.approx(sum(rows) / len(rows)),)
    some = found.at([2, 0])
    assert some.words == (found.words[2], found.words[0])
    assert torch.equal(some.features, found.features[[2, 0]])


def test_of_clips_own_tokens_those_are_words_that_a_list_has() -> None:
    """Endings of words that are tokens of their own are not; nor is what few write."""
    tokens = [token.removesuffix("</w>") for token in clip_tokenizer().get_vocab() if token.endswith("</w>")]
    words = set(english(tokens))
    assert len(words) > 20_000
    assert {"dog", "dogs", "ox", "painting", "spotted", "iphone", "anime", "paris"} <= words
    assert {"ophobia", "tion", "ation", "ts", "ght", "ould", "travelblogger"} <= {*tokens} - words


def test_a_pattern_takes_tokens_as_they_are(tiny: Model, clip: Clip) -> None:
    assert "a" in vocabulary(tiny, clip, pattern="[a-z]+").words


def test_without_the_list_the_remedy_is_said(tiny: Model, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astrogate.core.packages.find_spec", lambda name: None)
    with pytest.raises(AstrogateError, match=r"spellchecker is not installed: pip install .astrogate\[words\]"):
        vocabulary(tiny, clip)


@pytest.mark.filterwarnings("ignore:the prompt is:astrogate.core.errors.AstrogateWarning")
def test_features_are_those_of_one_word_after_the_other(clip: Clip) -> None:
    words = ["dog", "cat", "happy", "zebra horse"]
    expected = [F.normalize(clip.texts([t.format(word) for t in TEMPLATES]).mean(0), dim=0) for word in words]
    assert torch.allclose(word_features(clip, words), torch.stack(expected), atol=1e-5)
    assert len(set(TEMPLATES)) == 27


def test_two_encoders_give_two_embeddings(tiny_folders: object, clip: Clip) -> None:
    model = load(str(tiny_folders("stable_diffusion_xl")), device="cpu")  # type: ignore[operator]
    found = vocabulary(model, clip, words=["dog", "cat"])
    assert [e.shape for e in found.embeddings] == [(2, 32), (2, 48)]


def test_a_closed_language_is_the_vocabulary(menagerie: Model, clip: Clip) -> None:
    found = vocabulary(menagerie, clip, templates=["a {}"])
    assert len(found.words) == 107
    assert {"dog", "happiness", "winding"} <= set(found.words)


def test_features_are_kept(tiny: Model, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = vocabulary(tiny, clip, folder=str(tmp_path))
    assert len(list(tmp_path.glob("vocabulary-*.safetensors"))) == 1
    vocabulary(tiny, clip, folder=tmp_path, words=["dog", "cat"])
    assert len(list(tmp_path.glob("vocabulary-*.safetensors"))) == 2

    def again(*args: object, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr("astrogate.methods.concept.vocabulary.word_features", again)
    assert torch.equal(vocabulary(tiny, clip, folder=str(tmp_path)).features, first.features)


def test_words_that_do_not_fit_are_told(tiny: Model, clip: Clip) -> None:
    with pytest.warns(AstrogateWarning, match="1 words are no single token of .*: zebra"):
        found = vocabulary(tiny, clip, words=["Dog", "dog", " cat", "zebra"])
    assert found.words == ("dog", "cat")
    with (
        pytest.warns(AstrogateWarning, match="2 words"),
        pytest.raises(AstrogateError, match="1 words are left: name words"),
    ):
        vocabulary(tiny, clip, words=["dog", "zebra", "okapi"])
    with pytest.raises(AstrogateError, match="is no pattern"):
        vocabulary(tiny, clip, pattern="(")
    with pytest.raises(AstrogateError, match="one place"):
        vocabulary(tiny, clip, templates=["a dog"])


@pytest.mark.parametrize("batch", [1, 3, 32])
@pytest.mark.parametrize(
    "template", ["a photo of a {}", "{} dog", "a {}, happy 3 d render", "{}", "of a  {} ", "a happy{}."]
)
def test_texts_that_share_a_beginning_are_as_by_themselves(clip: Clip, batch: int, template: str) -> None:
    words = ["dog", "cat", "happy horse", "zebra", "fat", "dog dog dog", "render"]
    expected = clip.texts([template.format(word) for word in words])
    both = clip.filled([template, "a {}"], words, batch_size=batch)
    assert torch.allclose(both[0], expected, atol=1e-5)
    assert torch.allclose(both[1], clip.texts([f"a {word}" for word in words]), atol=1e-5)
    assert torch.allclose(clip.filled([template], words[:1])[0], expected[:1], atol=1e-5)


@pytest.mark.filterwarnings("ignore:the prompt is:astrogate.core.errors.AstrogateWarning")
def test_texts_that_are_cut_off_are_as_by_themselves(clip: Clip) -> None:
    words = ["dog", "cat " * 40, "fat"]
    assert torch.allclose(clip.filled(["a {}"], words)[0], clip.texts([f"a {word}" for word in words]), atol=1e-5)
