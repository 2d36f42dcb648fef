"""From a folder of captioned pictures to a stack that draws, by the commands; and the package's own layout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.recipe import Recipe
from astrogate.models.loading import locate as loading
from astrogate.models.loading.load import load
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.models.unclip.load import own_part
from astrogate.train.kit.data import open_data
from astrogate.train.kit.loop import Schedule
from astrogate.train.kit.pictures import captioned, picture_data
from astrogate.train.stack import packing as unclip_packing
from astrogate.train.stack import presets as unclip_presets
from astrogate.train.stack.presets import UnclipPreset
from astrogate.train.stack.recipes import PARTS
from astrogate.train.stack.run import train_part
from astrogate.train.stack.source import Source, folder_source
from tests.app.test_cli import run
from tests.checkpoints import clip_model
from tests.checkpoints.parts import LENGTH, clip_tokenizer, vae

TINY = UnclipPreset(
    prior=(1, 2, 8),
    ar=(1, 2),
    buckets=32,
    levels=4,
    decoder=(16, 32),
    upsampler=(8, 8),
    large=(8, 8),
    crops=(4, 8),
    schedules={name: Schedule(steps=3, batch=4, lr=1e-3, warmup=1) for name in PARTS},
    device="cpu",
)


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Forty pictures: most with a caption beside them, some in a list, one bare, one cut off."""
    folder = tmp_path / "gallery"
    folder.mkdir()
    rng = np.random.default_rng(0)
    listed: list[dict[str, str]] = []
    for i in range(40):
        name = folder / f"{i:02}.png"
        Image.fromarray(rng.integers(0, 255, (256, 260, 3), np.uint8)).save(name)
        if i < 30:
            name.with_suffix(".txt").write_text("a dog\na fat dog\n" if i % 2 else "a cat\n")
        elif i < 38:
            listed.append({"file_name": name.name, "text": "a horse"})
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in listed))
    (folder / "39.png").write_bytes((folder / "39.png").read_bytes()[:300])
    (folder / "39.txt").write_text("a dog")
    return folder


@pytest.fixture
def frozen(tmp_path: Path) -> tuple[Path, Path]:
    """A CLIP as wide as its embedding, and a VAE."""
    clip_model(tmp_path / "clip", 16)
    vae().save_pretrained(tmp_path / "vae")
    return tmp_path / "clip", tmp_path / "vae"


@pytest.fixture
def given(gallery: Path, frozen: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The options of a tiny training on the gallery."""
    monkeypatch.setitem(unclip_presets.UNCLIP_PRESETS, "cpu", TINY)
    return ("--data", str(gallery), "--clip", str(frozen[0]), "--vae", str(frozen[1]), "--size", "16")


def test_captions_are_found_and_what_is_left_out_is_told(gallery: Path, tmp_path: Path) -> None:
    found = captioned(gallery)
    assert len(found) == 39
    assert gallery / "38.png" not in found
    assert found[gallery / "01.png"] == ["a dog", "a fat dog"]
    assert found[gallery / "30.png"] == ["a horse"]
    Image.new("RGB", (12, 30)).save(gallery / "00.png")
    with pytest.warns(AstrogateWarning, match="3 left out: 00.png: 12 x 30, smaller than 16, 39.png: no whole picture"):
        data = picture_data(tmp_path / "data", gallery, clip_tokenizer(), size=16, captions=2)
    assert (tmp_path / "data" / "left-out.txt").read_text().splitlines()[2] == "38.png: no caption"
    assert data.arrays["images"].shape == (37, 16, 16, 3)
    assert data.arrays["tokens"].shape == (37, 2, LENGTH)
    one, two = data.arrays["tokens"][1]
    assert np.array_equal(one, two)
    before = (tmp_path / "data" / "images.npy").stat().st_mtime_ns
    with pytest.warns(AstrogateWarning, match="3 left out"):
        picture_data(tmp_path / "data", gallery, clip_tokenizer(), size=16, captions=2)
    assert (tmp_path / "data" / "images.npy").stat().st_mtime_ns == before
    with pytest.warns(AstrogateWarning, match="2 left out"):
        bare = picture_data(tmp_path / "bare", gallery, size=16)
    assert len(bare) == 38
    assert "tokens" not in bare.arrays


def test_nothing_to_train_on_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AstrogateError, match="holds no picture with a caption of 16 pixels"):
        picture_data(tmp_path / "data", tmp_path / "empty", clip_tokenizer(), size=16)
    with pytest.raises(AstrogateError, match="there is no folder"):
        captioned(tmp_path / "nowhere")
    (tmp_path / "empty" / "metadata.jsonl").write_text("not json")
    with pytest.raises(AstrogateError, match="can't be read"):
        captioned(tmp_path / "empty")


@pytest.mark.filterwarnings("ignore::astrogate.core.errors.AstrogateWarning")
def test_from_pictures_to_a_stack(given: tuple[str, ...], tmp_path: Path) -> None:
    given = (*given, "--run", str(tmp_path / "run"))
    for command in (("prior",), ("prior", "--kind", "ar"), ("decoder",), ("upsampler",), ("upsampler", "--second")):
        code, out, err = run("train", *command, *given)
        assert code == 0, err
        assert "is finished" in out
    assert (tmp_path / "run" / "prior" / "trained_on.json").exists()
    marks = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
    assert run("train", "prior", *given)[0] == 0
    assert marks == {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.safetensors")}
    code, out, err = run("train", "stack", *given, "-o", str(tmp_path / "stack"))
    assert code == 0, err
    model = load(str(tmp_path / "stack"), device="cpu")
    assert isinstance(model, UnCLIP)
    assert list(model.stack.priors) == ["diffusion", "ar"]
    assert len(model.stack.upsamplers) == 2
    points = [model.point("a dog", seed=1), model.point_at(model.imagine(["a cat"], seeds=[2], kind="ar")[0], "a cat")]
    pictures = model.decode(model.denoise(points, Recipe(3)))
    assert pictures.shape == (2, 3, 16, 16)
    assert model.upscale(pictures, seeds=[1, 2], num_inference_steps=2).shape == (2, 3, 256, 256)
    data = open_data(tmp_path / "run" / "data")
    z = model.embed((data.images(np.arange(5)) + 1) / 2)
    kept = np.load(next((tmp_path / "run" / "data").glob("embeddings-*.npy")))[:5]
    assert torch.allclose(z, torch.from_numpy(kept).float(), atol=0.02)


@pytest.mark.filterwarnings("ignore::astrogate.core.errors.AstrogateWarning")
def test_a_training_begins_with_a_stack_and_puts_its_part_into_it(
    given: tuple[str, ...], frozen: tuple[Path, Path], tmp_path: Path
) -> None:
    stack, first, second = (tmp_path / name for name in ("stack", "first", "second"))
    for command in ("prior", "decoder", "upsampler"):
        assert run("train", command, *given, "--run", str(first))[0] == 0
    code, out, err = run("train", "stack", *given, "--run", str(first), "-o", str(stack))
    assert code == 0, err
    assert "UNEXPECTED" not in out + err  # what a library says of a larger model's file
    before = {path.relative_to(stack): path.read_bytes() for path in stack.rglob("*") if path.is_file()}
    for command in ("prior", "decoder", "upsampler"):
        code, _, err = run("train", command, *given, "--run", str(second), "--init", str(stack), "--lr", "1e-30")
        assert code == 0, err
    code, _, err = run("train", "upsampler", *given, "--run", str(tmp_path / "no"), "--init", str(frozen[0]))
    assert (code, (tmp_path / "no").exists()) == (2, False)  # before any data are made
    assert "no weights of upsampler" in err
    for place in ("prior", "decoder", "upsampler", "decoder/text_proj"):
        name = next((second / place).glob("*.safetensors")).name
        begun, kept = load_file(second / place / name), load_file(stack / Path(place).name / name)
        for key, value in begun.items():
            assert torch.allclose(value, kept[key].float(), atol=1e-3), (place, key)
    assert run("train", "stack", *given, "--run", str(tmp_path / "none"), "-o", str(stack))[0] == 0
    assert before == {path.relative_to(stack): path.read_bytes() for path in stack.rglob("*") if path.is_file()}
    assert run("train", "prior", *given, "--run", str(tmp_path / "third"), "--kind", "ar")[0] == 0
    assert run("train", "stack", *given, "--run", str(tmp_path / "third"), "-o", str(stack))[0] == 0
    model: Any = load(str(stack), device="cpu")
    assert list(model.stack.priors) == ["diffusion", "ar"]
    assert len(model.stack.upsamplers) == 1
    weights = load_file(frozen[0] / "model.safetensors")
    weights["visual_projection.weight"] *= 1.1
    save_file(weights, frozen[0] / "model.safetensors", {"format": "pt"})
    code, _, err = run("train", "stack", *given, "--run", str(tmp_path / "none"), "-o", str(stack))
    assert (code, "was trained on another image_encoder" in err) == (2, True)


def test_a_tower_that_does_not_fit_its_config_is_one_line(frozen: tuple[Path, Path]) -> None:
    config = frozen[0] / "config.json"
    config.write_text(config.read_text().replace('"projection_dim": 16', '"projection_dim": 24'))
    with pytest.raises(AstrogateError, match=r"clip does not fit a CLIPTextModelWithProjection of its config"):
        own_part("text_encoder", frozen[0], torch.float16)


@pytest.mark.filterwarnings("ignore::astrogate.core.errors.AstrogateWarning")
def test_parts_of_another_clip_are_refused(
    gallery: Path, frozen: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(unclip_presets.UNCLIP_PRESETS, "cpu", TINY)
    given = ("--data", str(gallery), "--vae", str(frozen[1]), "--size", "16", "--run", str(tmp_path / "run"))
    assert run("train", "decoder", *given, "--clip", str(frozen[0]))[0] == 0
    clip_model(tmp_path / "other")
    code, _, err = run("train", "stack", *given, "--clip", str(tmp_path / "other"), "-o", str(tmp_path / "stack"))
    assert code == 2
    assert "trained on another clip" in err
    code, _, err = run("train", "prior", *given, "--clip", str(tmp_path / "other"))
    assert code == 2
    assert "text width 32, embedding 16" in err
    for args, reason in (
        (("train", "decoder", "--data", str(gallery)), "CLIPModel (clip)"),
        (("train", "prior", *given, "--clip", str(frozen[0]), "--steps", "0"), "'--steps': 0 is not in the range"),
        (("train", "stack", "--shipped", *given, "--clip", str(frozen[0])), "leave --shipped or --data out"),
    ):
        code, _, err = run(*args)
        assert code == 2
        assert reason in err


@pytest.mark.filterwarnings("ignore::astrogate.core.errors.AstrogateWarning")
def test_a_run_is_of_one_clip_and_one_seed(
    gallery: Path, frozen: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another CLIP of the same width has started or finished is neither resumed nor taken for done."""
    source = folder_source(gallery, *frozen, 16)
    other = tmp_path / "other"
    shutil.copytree(frozen[0], other)
    weights = load_file(other / "model.safetensors")
    weights["visual_projection.weight"] *= 1.1
    save_file(weights, other / "model.safetensors", {"format": "pt"})
    elsewhere = folder_source(gallery, other, frozen[1], 16)

    def cut_off(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("astrogate.train.stack.run.keep_stage", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train_part("prior", source, TINY, tmp_path / "run")
    assert (tmp_path / "run" / "prior-state.safetensors").exists()
    wider = replace(TINY, prior=(2, 2, 8))
    for given, seed in (((elsewhere, TINY), 0), ((source, wider), 0), ((source, TINY), 1)):
        with pytest.raises(AstrogateError, match="name another folder"):
            train_part("prior", *given, tmp_path / "run", seed=seed)
    assert train_part("prior", source, TINY, tmp_path / "run").is_dir()
    with pytest.raises(AstrogateError, match="was trained on another CLIP or VAE"):
        train_part("prior", elsewhere, TINY, tmp_path / "run")


@pytest.mark.filterwarnings("ignore::astrogate.core.errors.AstrogateWarning")
def test_what_cannot_be_trained_is_said_before_a_picture_is_read(frozen: tuple[Path, Path], tmp_path: Path) -> None:
    clip, vae_folder = frozen
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text('{"hidden_size": 3}')
    (tmp_path / "bare" / "vocab.json").write_text("{}")

    def unread(*args: Any) -> Any:
        raise AssertionError

    for part, given, reason in (
        ("decoder", (clip, vae_folder, 18), "a size that 4 divides"),
        ("upsampler", (None, None, 17), "a size that 2 divides"),
        ("prior", (tmp_path / "bare", None, 16), "is not a CLIPModel"),
        ("decoder", (clip, tmp_path / "bare", 16), "is not an AutoencoderKL"),
        ("decoder", (clip, clip / "none", 16), "has no readable config.json"),
        ("prior", (None, None, 16), r"a CLIPModel \(clip\)"),
        ("decoder", (clip, None, 16), r"an AutoencoderKL \(vae\)"),
    ):
        with pytest.raises(AstrogateError, match=reason):
            train_part(part, Source(unread, *given), TINY, tmp_path / "run")


def test_upsamplers_need_no_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(unclip_presets.UNCLIP_PRESETS, "cpu", TINY)
    (tmp_path / "own").mkdir()
    for i in range(8):
        Image.new("RGB", (70, 64), (i, 90, 30)).save(tmp_path / "own" / f"{i}.png")
    code, out, err = run("train", "upsampler", "--data", str(tmp_path / "own"), "--size", "16", "--run", str(tmp_path))
    assert (code, "is finished" in out) == (0, True), err
    code, _, err = run("train", "upsampler", "--data", str(tmp_path / "own"), "--run", str(tmp_path / "larger"))
    assert (code, "no picture of 256 pixels or more" in err) == (2, True)


_CREW = """
import sys
from pathlib import Path
from astrogate.train.stack.recipes import PARTS
from astrogate.train.stack.run import train_part
from astrogate.train.stack.source import folder_source
from tests.train.test_unclip_chain import TINY

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    source = folder_source(folder / "gallery", folder / "clip", folder / "vae", 16)
    for part in PARTS:
        train_part(part, source, TINY, folder / "run")
"""


def test_every_part_trains_in_two_processes(gallery: Path, frozen: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "crew.py").write_text(_CREW)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = Path(__file__).parents[2]
    crew = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}:{root}/src"}
    done = subprocess.run([*launch, str(tmp_path / "crew.py"), str(tmp_path)], capture_output=True, env=crew)
    assert done.returncode == 0, done.stderr.decode()
    for part in PARTS:
        assert (tmp_path / "run" / part / "trained_on.json").exists()
        assert json.loads((tmp_path / "run" / f"{part}-run.json").read_text())["processes"] == 2
        assert not (tmp_path / "run" / f"{part}-state.safetensors").exists()


def test_the_packages_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained on a little of the world with the shipped CLIP and VAE, packed, and loaded by its name."""
    from astrogate.train.stack import source as unclip

    small = replace(unclip.PRESETS["cpu"], pictures=160)
    monkeypatch.setitem(unclip.PRESETS, "cpu", small)
    source = unclip.menagerie_source("cpu")
    preset = replace(TINY, prior=(1, 2, 16), ar=(1, 4), decoder=(16, 32, 32))
    for name in ("prior", "ar_prior", "decoder"):
        train_part(name, source, preset, tmp_path / "run")
    target = tmp_path / "package"
    size = unclip_packing.assemble_stack(tmp_path / "run", target)
    assert size == sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    assert not (target / "vae").exists()
    monkeypatch.setattr(loading, "shipped_unclip", lambda: target)
    model: Any = load("menagerie-unclip", device="cpu")
    assert isinstance(model, UnCLIP)
    picture = model.decode(model.denoise([model.point("a painting of a dog", seed=1)], Recipe(2)))
    assert picture.shape == (1, 3, 256, 256)
    card = json.loads((target / "card.json").read_text())
    assert set(card["trained_on"]["decoder"]) == {"clip", "vae"}
    card["trained_on"]["prior"]["clip"] = "0" * 64
    (target / "card.json").write_text(json.dumps(card))
    with pytest.raises(AstrogateError, match="clip is not the one that prior was made for"):
        load("menagerie-unclip", device="cpu")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_tokenizer_that_cannot_be_read_is_named(
    gallery: Path, frozen: tuple[Path, Path], tmp_path: Path, content: bytes
) -> None:
    clip = shutil.copytree(frozen[0], tmp_path / "broken")
    (clip / "tokenizer.json").unlink(missing_ok=True)
    (clip / "vocab.json").write_bytes(content)
    with pytest.raises(AstrogateError, match="restore its tokenizer"):
        folder_source(gallery, clip, None, 16)
