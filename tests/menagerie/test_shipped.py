"""The shipped model: stock classes load it, its parts match, its ruler reads, its sliders slide."""

from __future__ import annotations

import json
import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from astrogate.app.cli.main import main
from astrogate.core.errors import AstrogateWarning
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.edit.contrast import contrast
from astrogate.models.loading.load import load
from astrogate.models.loading.locate import shipped_folder
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.rendering.strip import spaced
from astrogate.studies.world import demo
from astrogate.studies.world.card import agreement
from astrogate.studies.world.scenes import drawings, held_out_scenes, reconstruct, truth_scores
from astrogate.studies.world.strips import score_strips
from tests.menagerie.test_world import PROMPTS

CONTINUOUS = {"build", "height", "mood", "strength"}


def test_stock_classes_load_it_and_draw_the_same() -> None:
    from diffusers import StableDiffusionPipeline

    menagerie = load("menagerie", device="cpu")
    pipe = StableDiffusionPipeline.from_pretrained(shipped_folder(), torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    prompt = "a painting of a fat dog"
    theirs = pipe(
        prompt, num_inference_steps=5, guidance_scale=4.0, generator=torch.Generator("cpu").manual_seed(3)
    ).images[0]
    ours = next(render(menagerie, menagerie.point(prompt, seed=3), recipe=Recipe(num_inference_steps=5)))
    assert np.array_equal(ours.image, theirs)
    assert theirs.size == (256, 256)


def test_the_two_decoders_draw_the_same_picture(menagerie: Model) -> None:
    """By means over areas, what people see is what is measured."""
    large, points = load("menagerie", device="cpu"), [menagerie.point(p, seed=3) for p in PROMPTS[::200]]
    latents = menagerie.denoise(points, Recipe(num_inference_steps=10))
    assert torch.equal(large.denoise(points, Recipe(num_inference_steps=10)), latents)
    apart = torch.nn.functional.avg_pool2d(large.decode(latents), 4) - menagerie.decode(latents)
    assert apart.abs().mean() < 0.03


def test_sizes() -> None:
    files = [path for path in shipped_folder().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 40 * 2**20
    assert max(path.stat().st_size for path in files) <= 16 * 2**20
    assert not [path for path in files if path.suffix in (".bin", ".pt", ".py", ".ckpt")]


def test_the_student_draws_in_four_steps_as_plain_diffusers_does_with_its_lora() -> None:
    from diffusers import LCMScheduler, StableDiffusionPipeline

    student = load("menagerie", device="cpu", student=True)
    assert student.recipe == Recipe(num_inference_steps=4, guidance_scale=1.0)
    pipe = StableDiffusionPipeline.from_pretrained(shipped_folder(), torch_dtype=torch.float32, safety_checker=None)
    pipe.load_lora_weights(shipped_folder() / "student")
    pipe.fuse_lora()
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    prompt, generator = "a painting of a fat dog", torch.Generator("cpu").manual_seed(3)
    theirs = pipe(prompt, num_inference_steps=4, guidance_scale=1.0, generator=generator).images[0]
    ours = next(render(student, student.point(prompt, seed=3), recipe=student.recipe))
    assert np.array_equal(ours.image, theirs)
    assert (shipped_folder() / "student" / "pytorch_lora_weights.safetensors").stat().st_size <= 3_000_000


def test_the_student_draws_what_captions_say() -> None:
    scenes, captions = held_out_scenes(60)
    student = load("menagerie-64", device="cpu", student=True)
    points = [student.point(caption.text, seed=i) for i, caption in enumerate(captions)]
    read = load_oracle().read(to_tensor(render(student, points, recipe=student.recipe, batch_size=20)))
    found = agreement(read, scenes, captions)
    assert min(found[name].value for name in ("subject", "colour", "scene", "medium")) >= 0.9


@pytest.mark.parametrize("name", ["menagerie", "menagerie-64", "menagerie-unclip", "menagerie-unclip-64"])
def test_what_ships_is_loaded_without_a_warning(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstrogateWarning)
        load(name, device="cpu")


def test_text_encoder_is_written_as_both_transformers_read_it() -> None:
    from safetensors import safe_open

    with safe_open(shipped_folder() / "text_encoder" / "model.safetensors", "pt") as file:
        assert all(key.startswith("text_model.") for key in file.keys())  # noqa: SIM118
        assert file.metadata() == {"format": "pt"}
    index = json.loads((shipped_folder() / "model_index.json").read_text())
    assert index["feature_extractor"] == [None, None]


def test_every_promised_prompt_is_understood(menagerie: Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstrogateWarning)
        for prompt in PROMPTS[:: len(PROMPTS) // 60]:
            menagerie.point(prompt)


def test_an_unknown_word_is_named_with_its_neighbours(menagerie: Model) -> None:
    with pytest.warns(AstrogateWarning, match=r"'ladybird'; near it: .*ladybug"):
        menagerie.point("a photo of a ladybird")


@pytest.mark.slow
def test_the_oracle_reads_held_out_drawings(menagerie: Model) -> None:
    scenes, _ = held_out_scenes(400)
    pictures, masks = drawings(scenes, menagerie.size)
    readings = load_oracle().read(pictures)
    for name, score in truth_scores(readings, scenes).items():
        assert score.value >= (0.9 if name in CONTINUOUS else 0.95), name
    overlap = ((readings.mask > 0.5) & (masks > 0.5)).sum() / ((readings.mask > 0.5) | (masks > 0.5)).sum()
    assert overlap > 0.9


@pytest.mark.slow
def test_factors_survive_the_vae(menagerie: Model) -> None:
    scenes, _ = held_out_scenes(200)
    rebuilt = reconstruct(menagerie, drawings(scenes, menagerie.size)[0])
    scores = truth_scores(load_oracle().read(rebuilt), scenes)
    assert min(v.value for k, v in scores.items() if k not in CONTINUOUS) >= 0.85
    assert min(v.value for k, v in scores.items() if k in CONTINUOUS) >= 0.8


def test_clip_knows_its_captions(menagerie: Model) -> None:
    scenes, captions = held_out_scenes(100)
    clip = Clip(shipped_folder() / "clip")
    similarity = clip.images(drawings(scenes, menagerie.size)[0]) @ clip.texts([c.text for c in captions]).T
    assert (similarity.argmax(1) == torch.arange(100)).float().mean() > 0.5


@pytest.mark.slow
def test_sliders_slide(menagerie: Model) -> None:
    for score in score_strips(menagerie, load_oracle(), subjects=("dog", "woman"), seeds=(200,)):
        assert score.estimate.value >= 0.6, score.factor


@pytest.mark.slow
def test_demo_writes_its_page_and_sheets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "load", partial(load, "menagerie-64"))  # `make demo` draws large pictures, in all steps
    monkeypatch.setattr(demo, "Recipe", partial(Recipe, 6))
    result = CliRunner().invoke(main, ["demo", "-o", str(tmp_path / "demo"), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "demo" / "index.html").read_text()
    for name in re.findall(r'src="([^"]+)"', page):
        assert (tmp_path / "demo" / name).stat().st_size > 10_000
    assert page.count("<img") == 5


def test_models_names_the_shipped_one() -> None:
    result = CliRunner().invoke(main, ["models"])
    assert result.exit_code == 0
    assert "menagerie: shipped, 256 px" in result.output
    assert "menagerie-64, menagerie-unclip-64: the same at 64 px" in result.output


def test_a_strip_in_one_batch_is_the_one_drawn_singly(menagerie: Model) -> None:
    point = menagerie.point("a painting of a dog", seed=3)
    fat = contrast(menagerie, "fat", "thin").at(point)
    points = [point.apply(fat, scale) for scale in spaced(-2, 2, 5)]
    together = menagerie.decode(menagerie.denoise(points, Recipe()))
    singly = torch.cat([menagerie.decode(menagerie.denoise([p], Recipe())) for p in points])
    apart = float((together - singly).abs().max())
    assert apart < 1e-3, apart


def test_readings_of_a_strip_have_the_frames_order(menagerie: Model) -> None:
    points = [menagerie.point(f"a painting of a {s}", seed=1) for s in ("castle", "woman", "castle")]
    labels = load_oracle().read(to_tensor(render(menagerie, points))).labels("subject")
    assert labels[0] == labels[2] == "castle"
    assert labels[1] in {"woman", "girl", "person", "child", "man"}
