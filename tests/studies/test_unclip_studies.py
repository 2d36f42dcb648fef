"""The measures of unCLIP: on a stack whose parts are known, and the pages on a tiny one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from astrogate.core.protocols import Model
from astrogate.menagerie.oracle import load_oracle
from astrogate.menagerie.world import visible
from astrogate.models.loading import locate
from astrogate.models.loading.load import load
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.studies.image import card as unclip_card
from astrogate.studies.image import manipulations as reproduce_unclip
from astrogate.studies.image import measures as measures
from astrogate.studies.image.enlarging import enlarged_by, ssim
from astrogate.studies.image.typography import attacks, painted
from astrogate.train.stack import packing as unclip_packing
from astrogate.train.stack import source as unclip
from astrogate.train.stack.run import train_part
from tests.app.test_cli import run
from tests.train.test_unclip_chain import TINY


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stack hardly trained, on the shipped CLIP and VAE."""
    run_folder, target = tmp_path_factory.mktemp("run"), tmp_path_factory.mktemp("package") / "unclip"
    preset = replace(TINY, prior=(1, 2, 16), ar=(1, 4), decoder=(16, 32, 32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(unclip.PRESETS, "cpu", replace(unclip.PRESETS["cpu"], pictures=160))
        patch.setitem(unclip.UNCLIP_PRESETS, "cpu", preset)
        source = unclip.menagerie_source("cpu")
        for name in ("prior", "ar_prior", "decoder", "upsampler"):
            train_part(name, source, preset, run_folder)
    unclip_packing.assemble_stack(run_folder, target)
    return target


@pytest.fixture
def stack(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> UnCLIP:
    monkeypatch.setattr(locate, "shipped_unclip", lambda: shipped)
    model = load("menagerie-unclip-64", device="cpu")
    assert isinstance(model, UnCLIP)
    return model


def test_twins_keep_what_the_caption_states() -> None:
    scenes, captions = measures.plain_scenes(150, seed=5)
    rng = np.random.default_rng(0)
    fresh = 0
    for scene, caption in zip(scenes, captions, strict=True):
        other = measures.twin(scene, caption, rng)
        for name in caption.mentions & visible(scene):
            value, new = getattr(scene, name), getattr(other, name)
            assert (value == new) if isinstance(value, str) else (value > 0) == (new > 0), (caption.text, name)
        assert caption.mentions - {"hat"} <= visible(other), caption.text
        fresh += other.colour != scene.colour
    assert fresh > 30


def test_agreement_counts_what_is_stated() -> None:
    scenes, captions = measures.plain_scenes(60, seed=6)
    oracle = load_oracle()
    from astrogate.studies.world.scenes import drawings

    readings = oracle.read(drawings(scenes, 64)[0])
    right = measures.agreeing(readings, scenes, captions)
    wrong = measures.agreeing(readings, scenes[1:] + scenes[:1], captions[1:] + captions[:1])
    assert np.nanmean(right) > 0.95
    assert np.nanmean(wrong) < 0.6


def test_enlarging_is_measured_against_the_classics(stack: UnCLIP) -> None:
    large = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(large[..., ::32, ::32], (256, 256), mode="bicubic").clamp(0, 1)
    found = enlarged_by(stack, smooth, steps=(2,))
    assert found["bicubic"].psnr.value > 25
    assert found["bicubic"].gain.value == 0
    assert found["Lanczos"].gain.value == pytest.approx(found["Lanczos"].psnr.value - found["bicubic"].psnr.value)
    assert found["Lanczos"].ssim.value > 0.9
    assert found["the stack, 2 steps"].psnr.value < found["bicubic"].psnr.value
    assert ssim(smooth, smooth) == pytest.approx([1.0])


def test_a_painted_word_is_black_on_white() -> None:
    picture = torch.full((3, 64, 64), 0.5)
    empty, word = painted(picture, "cat", shown=False), painted(picture, "cat")
    assert float(empty.max()) == 1
    assert float(empty.min()) == pytest.approx(0.5, abs=0.01)
    assert float(word.min()) < 0.1
    assert torch.equal(empty[:, :20], word[:, :20])


def test_attacks_count_labels(stack: UnCLIP) -> None:
    from astrogate.studies.world.scenes import drawings

    scenes = measures.scenes_of("dog", 12)
    found = attacks(stack, drawings(scenes, 64)[0], ["dog"] * 12, ["cat"] * 12)
    assert list(found) == ["as it is", "an empty label", "the word"]
    assert found["as it is"].right.value > 0.7


def test_the_card_and_the_page(
    stack: UnCLIP, menagerie: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = load_oracle()
    quick = {"steps": 2}
    for module in (measures, unclip_card, reproduce_unclip):
        made: Any = getattr(module, "Recipe", None)
        if made is not None:
            monkeypatch.setattr(module, "Recipe", lambda steps, guidance, made=made: made(quick["steps"], guidance))
    unguided = replace(measures.UNGUIDED, num_inference_steps=2)
    monkeypatch.setattr(measures, "UNGUIDED", unguided)
    short = lambda *args, **options: _encode(*args, **{**options, "recipe": unguided, "iterations": 1})  # noqa: E731
    for module in (measures, unclip_card, reproduce_unclip):
        monkeypatch.setattr(module, "encode", short)
    monkeypatch.setattr(unclip_card, "_GUIDANCES", (1.0, 2.0))
    monkeypatch.setattr(unclip_card, "_CORRUPTIONS", unclip_card._CORRUPTIONS[:1])  # a picture of 1024 px takes minutes
    monkeypatch.setattr(unclip_card, "_STEPS", ((2,),))
    for name, count in (("_reconstruction", 2), ("_diffs", 2), ("_survival", 2), ("_upsampling", 1)):
        own = getattr(unclip_card, name)
        monkeypatch.setattr(unclip_card, name, lambda *args, own=own, count=count: own(*args, count=count))
    spread = unclip_card._spread
    monkeypatch.setattr(unclip_card, "_spread", lambda *args: spread(*args, captions=2, each=2))
    told: list[str] = []
    output = tmp_path / "unclip.md"
    unclip_card.write_unclip_card(stack, menagerie, oracle, output, captions=6, tell=told.append)
    text = output.read_text()
    assert told == ["priors", "codes", "pictures", "spread", "reconstruction", "diffs", "survival", "upsampling"]
    for expected in (
        "| diffusion |",
        "| another drawing |",
        "| text U-Net |",
        "| bicubic | 64 to 256, clean |",
        "| another's |",
    ):
        assert expected in text
    assert "nan" not in text
    page = reproduce_unclip.unclip(stack, menagerie, oracle, count=4)
    for title in ("Variations", "Interpolations", "Text diff", "Probing", "Typographic", "Priors"):
        assert title in page
    assert page.count("data:image/png") == 8


_encode = measures.encode


def test_few_pictures_are_refused(tmp_path: Path) -> None:
    for args, reason in (
        (("bench", "unclip", "--captions", "3", "-o", str(tmp_path / "x.md")), "ask for 20"),
        (("reproduce", "unclip", "--count", "2", "-o", str(tmp_path)), "ask for 8"),
    ):
        code, _, err = run(*args)
        assert code == 2
        assert reason in err
