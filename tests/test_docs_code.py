"""The code in README and docs runs: every page by itself, block after block, in a folder with the files that it names.

Python is run, and so are the commands that draw; a command that measures or trains is parsed. Pictures are small and
take two steps, paths few frames, and optimisations a step or two.
"""

from __future__ import annotations

import inspect
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from PIL import Image

import astrogate
from astrogate.app.cli.main import main
from astrogate.app.cli.reference import below
from astrogate.core.path import Path as Way
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.methods.concept import bias
from astrogate.methods.concept.plan import Plan
from astrogate.methods.edit import textual_inversion
from astrogate.methods.image import encode
from astrogate.methods.path import pace
from astrogate.models.adapter import PipelineModel
from astrogate.models.loading import load as loading
from astrogate.models.loading.locate import SHIPPED, SMALL, UNCLIP_SHIPPED, UNCLIP_SMALL, shipped_folder
from astrogate.models.text.pseudo_word import save_pseudo_word
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.models.unclip.upsampling import Upsampler
from astrogate.rendering.invert import invert
from tests.app.test_cli import run
from tests.models.test_extras import ip_adapter

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
Folders = Callable[[str], Path]
#: Commands that are run, where they name no model; of the others every option is checked.
QUICK = ("again", "blend", "diff", "direction", "imagine", "insert", "probe", "slide", "vary")
#: Steps of a picture, where two show nothing.
_STEPS = {"bias": 8}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What ships, at 64 px: it is quicker.
_SMALL = {SHIPPED: SMALL, UNCLIP_SHIPPED: UNCLIP_SMALL}
_loaded = cache(loading.load)


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    """The language, code and first line of every block."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        yield found[1], found[2], text.count("\n", 0, found.start(2))


@pytest.fixture
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures of two steps, six frames a path, little that is fitted; models are loaded once."""
    below(main)  # commands take their defaults when they are imported
    steps = _STEPS.get(request.node.callspec.params["page"].stem, 2)

    def short(recipe: Recipe) -> Recipe:
        return replace(recipe, num_inference_steps=min(steps, recipe.num_inference_steps))

    def few(adapter: type[Any]) -> None:
        denoise = adapter.denoise
        monkeypatch.setattr(adapter, "denoise", lambda self, points, recipe: denoise(self, points, short(recipe)))

    def inverted(*args: Any, recipe: Recipe, **options: Any) -> list[Point]:
        points = invert(*args, recipe=short(recipe), **options)
        return [replace(point, recipe=replace(recipe, scheduler="DDIM")) for point in points]

    def default(function: Any, **values: Any) -> None:
        function = inspect.unwrap(function)
        assert values.keys() <= function.__kwdefaults__.keys()
        monkeypatch.setattr(function, "__kwdefaults__", {**function.__kwdefaults__, **values})

    few(PipelineModel)
    few(UnCLIP)
    times, plan = Way.times, {"fit_steps": 2, "pictures": 4, "validation": 2, "every": 1}
    assert plan.keys() <= {field.name for field in fields(Plan)}
    monkeypatch.setattr(Way, "times", lambda self, n, *timing: times(self, min(n, 6), *timing))
    monkeypatch.setattr(Plan.__init__, "__defaults__", tuple(
        plan.get(field.name, value) for field, value in zip(fields(Plan), Plan.__init__.__defaults__, strict=True)
    ))  # fmt: skip
    monkeypatch.setattr(loading, "load", lambda name=SHIPPED, **options: _loaded(_SMALL.get(name, name), **options))
    monkeypatch.setattr(encode, "invert", inverted)
    default(UnCLIP.imagine, num_inference_steps=2)
    enlarge, timed = Upsampler.__call__, pace.pace
    corner = {"num_inference_steps": 2}  # a corner of each picture is enlarged
    monkeypatch.setattr(
        Upsampler, "__call__", lambda self, x, **options: enlarge(self, x[..., :64, :64], **{**options, **corner})
    )
    monkeypatch.setattr(
        pace, "pace", lambda model, path, n, *rest, **options: timed(model, path, min(n, 6), *rest, **options)
    )
    default(bias.mixtures, seeds=range(4))
    default(bias.balance, seeds=range(4), looks=1)
    default(textual_inversion.textual_inversion, fit_steps=2)


@pytest.fixture
def folder(tmp_path: Path, tiny_folders: Folders) -> Path:
    """A folder with the pictures and models that pages name."""
    random = np.random.default_rng(0)
    for name, side in (("dog", 64), ("cat", 64), ("edges", 64)):
        Image.fromarray(random.integers(0, 256, (side, side, 3), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "my-xl-model").symlink_to(tiny_folders("stable_diffusion_xl"))
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("small")
def test_a_page_runs(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    if page.name in _PREPARED:
        _PREPARED[page.name]()
    names: dict[str, Any] = {"__name__": page.stem}
    for language, code, line in blocks(page):
        assert language in ("python", "sh", "toml", "text"), f"line {line} of {page.name} says no language"
        if language == "python":
            if module := re.match(r"# (\w+\.py)\b", code):
                Path(module[1]).write_text(code)
            exec(compile("\n" * line + code, str(page), "exec"), names)
        elif language == "toml":
            tomllib.loads(code)
        elif language == "sh":
            for command in code.splitlines():
                _shell(shlex.split(command, comments=True))


def _shell(words: list[str]) -> None:
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return
    assert words[0] == "astrogate"
    if words[1] in QUICK and "--model" not in words:
        code, _, err = run(*words[1:])
        assert code == 0, err
        return
    command: click.Command = main
    words.pop(0)
    while isinstance(command, click.Group):
        command = below(command)[words.pop(0)]
    command.make_context(command.name, words, click.Context(main, **main.context_settings))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_what_is_public(page: Path) -> None:
    assert {*re.findall(r"\bag\.(\w+)", page.read_text())} <= {*astrogate.__all__}


def _my_model() -> None:
    """The shipped model in single precision."""
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline.from_pretrained(shipped_folder(), torch_dtype=torch.float32).save_pretrained("my-model")


def _conceptor() -> None:
    """A pseudo-word of both encoders of XL."""
    _my_model()
    Path("xl").mkdir()
    save_pseudo_word([torch.randn(1, 32), torch.randn(1, 48)], Path("xl/pseudo-word.safetensors"))


def _models() -> None:
    """A random ControlNet, LoRA and IP-Adapter of the shipped model, as their trainers write them."""
    from diffusers import ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    _my_model()
    unet = UNet2DConditionModel.from_pretrained("my-model", subfolder="unet")
    ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 32, 64, 96)).save_pretrained(
        "my-controlnet"
    )
    parts = ip_adapter(unet, 24, 4)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, patch_size=32,
        projection_dim=24,
    )  # fmt: skip
    CLIPVisionModelWithProjection(vision).save_pretrained("my-ip-adapter/models/image_encoder")
    weights = {f"{part}.{key}": value for part, tensors in parts.items() for key, value in tensors.items()}
    save_file(weights, "my-ip-adapter/models/ip-adapter_sd15.safetensors")
    unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_k", "to_v"]))
    StableDiffusionPipeline.save_lora_weights(
        ".", unet_lora_layers=get_peft_model_state_dict(unet), weight_name="my-lora.safetensors"
    )


#: What a page needs beside pictures and models.
_PREPARED = {"add_a_family.md": _my_model, "conceptor.md": _conceptor, "models.md": _models}
