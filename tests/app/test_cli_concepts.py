"""`explain`, `explain-image`, `manipulate` and `bias` from end to end on a tiny checkpoint, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from astrogate.core.basis import Basis
from astrogate.measure.clip import Clip
from astrogate.rendering.record import read_record
from tests.app.test_cli import run
from tests.checkpoints import clip_model
from tests.methods.concept.test_bias import Nothing

QUICK = ("--fit-steps", "4", "--every", "2", "--train-pictures", "4", "--validation-pictures", "2", "--steps", "2")


@pytest.fixture(scope="module")
def loading(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("sees")
    clip_model(folder)
    assert Clip(folder)
    return ("--model", str(tiny_folder), "--device", "cpu", "--clip", str(folder))


@pytest.fixture(scope="module")
def explained(loading: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explained")
    code, out, err = run("explain", "a photo of a dog", "-o", str(folder), *QUICK, *loading)
    assert code == 0, err
    assert "words in effect" in out
    return folder


def test_explaining_writes_a_page_and_a_run(explained: Path, loading: tuple[str, ...]) -> None:
    text = (explained / "dog.html").read_text()
    assert "What “dog” is made of" in text
    assert text.count("data:image") == 2
    (folder,) = explained.glob("dog-*")
    assert {path.name for path in folder.iterdir()} == {
        "basis.safetensors", "coefficients.safetensors", "explanation.json", "pseudo-word.safetensors",
    }  # fmt: skip
    code, out, _ = run("explain", "a photo of a dog", "-o", str(explained), *QUICK, *loading)
    assert (code, "is finished" in out) == (0, True)


def test_one_picture_and_more_or_less_of_a_word(explained: Path, loading: tuple[str, ...], tmp_path: Path) -> None:
    (folder,) = explained.glob("dog-*")
    kept = tmp_path / "kept.safetensors"
    target = tmp_path / "image.png"
    code, out, err = run("explain-image", str(folder), "--seed", "2", "-o", str(target), "--save", str(kept), *loading)
    assert code == 0, err
    assert "words are left" in out
    left = Basis.load(kept)
    assert int((left.weights > 0).sum()) == left.used
    assert Image.open(target).width > 200
    word = Basis.load(folder / "basis.safetensors").top(1)[0][0]
    strip = ("--token", word, "-n", "3", "--steps", "2", "--window", "0.5:1", "--hold", "1", "-o", str(target))
    strip += ("--most", "3")
    strip += loading[:-2]
    code, _, err = run("manipulate", str(folder), *strip)
    assert code == 0, err
    kept = read_record(target)
    assert (kept["along"][0]["word"], kept["scales"]) == (word, [-1, 0, 1])
    assert kept["along"][0]["factors"] == [0, 1, 3, 3]
    code, _, err = run("manipulate", str(folder), "--token", "moon", *strip[2:])
    assert (code, "'moon' is no part of 'dog'" in err) == (2, True)
    code, _, err = run("manipulate", str(folder), *strip, "--range=-2:1")
    assert (code, "use scales from -1 to 1" in err) == (2, True)
    code, _, err = run("manipulate", str(tmp_path / "none"), *strip)
    assert (code, "name a file that `explain` or `Basis.save` wrote" in err) == (2, True)


def test_bias_counts_and_balances(loading: tuple[str, ...], tmp_path: Path) -> None:
    given = ("--groups", "dog,animals=cat+horse", "--fit-steps", "2", "--count", "4", "-o", str(tmp_path), *loading)
    code, out, err = run("bias", "a photo of a happy", "--concept", "happy", *given, "--balance", "--calibrate")
    assert code == 0, err
    assert "as such mixtures are drawn" in out
    assert "by the words' weights" in out
    assert "4 others, balanced" in out
    assert Basis.load(tmp_path / "happy-balanced.safetensors").name == "happy"
    assert "neither" in out
    for options, reason in (
        (("--target", "0.5,x"), "are no shares"),
        (("--target", "0.5"), "are no shares"),
        (("--target", "0.5,0.7"), "1 in all"),
        (("--count", "2"), "ask for 4 or more"),
        (("--concept", "fish"), "does not contain 'fish'"),
    ):
        code, _, err = run("bias", "a photo of a happy", *given, *options)
        assert (code, reason in err) == (2, True), err


def test_a_group_that_the_reader_does_not_know_is_refused_before_the_work(
    loading: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("astrogate.app.cli.bias._reader", lambda *args: Nothing())
    given = ("--groups", "dog,horse", "--fit-steps", "2", "--count", "4", "-o", str(tmp_path), *loading)
    code, out, err = run("bias", "a photo of a happy", *given)
    assert (code, out) == (2, "")
    assert "knows no horse: choose from dog, cat, house" in err
    assert not list(tmp_path.iterdir())


def test_where_words_can_not_be_saved_is_found_before_the_search(explained: Path, loading: tuple[str, ...]) -> None:
    (folder,) = explained.glob("dog-*")
    target = folder / "basis.safetensors" / "kept.safetensors"
    code, out, err = run("explain-image", str(folder), "--save", str(target), *loading)
    assert (code, out) == (2, "")
    assert f"cannot write {target}" in err


def test_what_cannot_be_explained_is_one_line(loading: tuple[str, ...], tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("zebra okapi")
    for options, reason in (
        (("--fit-steps", "0"), "fit_steps 0"),
        (("--words", str(tmp_path / "none.txt")), "there is no file"),
        (("--words", str(words)), "0 words are left"),
        (("--pattern", "["), "is no pattern"),
        (("--concept", "fish"), "does not contain"),
        (("--pictures", str(words)), "is no folder"),
        (("--offload",), "leave --offload out"),
    ):
        code, _, err = run("explain", "a photo of a dog", "-o", str(tmp_path / "out"), *QUICK, *loading, *options)
        assert (code, reason in err) == (2, True), (options, err)
