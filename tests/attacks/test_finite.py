"""What is no finite number is told with its place: a part's weights, a step, a setting; and no cache keeps it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import astrogate as ag
from astrogate.core.errors import AstrogateError
from astrogate.models.codec import Autoencoder
from astrogate.models.finite import in_float32
from astrogate.models.loading.load import load, wrap
from astrogate.models.loading.locate import SHIPPED
from tests.checkpoints import SIZE

PROMPT, RECIPE = "a painting of a fat dog", ag.Recipe(4)
Folders = Callable[[str], Path]


def drawn(model: Any, cache: Path, **size: int) -> None:
    list(ag.render(model, model.point(PROMPT, **size), recipe=RECIPE, cache=ag.FrameCache(cache)))


@pytest.mark.parametrize("part", ["denoiser", "text", "vae"])
def test_weights_that_are_no_numbers_are_named(tiny_folders: Folders, family: str, part: str, tmp_path: Path) -> None:
    value = {"denoiser": float("nan"), "text": float("inf"), "vae": -float("inf")}[part]
    model: Any = load(str(tiny_folders(family)), device="cpu")
    name = {"denoiser": model.family.denoiser, "text": model.family.encoders[0], "vae": "vae"}[part]
    module = getattr(model.pipe, name)
    used = {"text": "layers.0.|block.0.", "vae": "decoder."}.get(part, "")
    found = [(k, v) for k, v in module.named_parameters() if v.ndim > 1 and any(mark in k for mark in used.split("|"))]
    where, tensor = found[-1]
    with torch.no_grad():
        tensor.view(-1)[0] = value
    told = "the autoencoder" if part == "vae" else name
    with pytest.raises(AstrogateError) as raised:
        drawn(model, tmp_path / "cache", height=SIZE[family], width=SIZE[family])
    assert f"{told} holds weights that are no finite numbers: {where}" in str(raised.value)
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("step", [1, 3, 4])
def test_the_step_is_named(tiny_folder: Path, tmp_path: Path, step: int) -> None:
    model: Any = load(str(tiny_folder), device="cpu")
    calls = [0]

    def broken(module: Any, given: Any, out: Any) -> Any:
        calls[0] = calls[0] % RECIPE.num_inference_steps + 1
        return (out[0] * float("nan"),) if calls[0] == step else None

    model.denoiser.register_forward_hook(broken)
    told = pytest.raises(AstrogateError, match=f"from step {step} of 4 on, in float32")
    with pytest.warns(ag.AstrogateWarning, match="are not kept"), told:
        drawn(model, tmp_path / "cache")
    assert not list(tmp_path.rglob("*.png"))


def test_a_point_is_numbers(tiny: Any, tmp_path: Path) -> None:
    point = tiny.point(PROMPT)
    for space, tensor in point.tensors.items():
        bad = replace(point, tensors={**point.tensors, space: tensor / 0})
        with pytest.raises(AstrogateError, match=f"the {space} of a point are not finite"):
            list(ag.render(tiny, [point, bad], recipe=RECIPE, cache=ag.FrameCache(tmp_path)))


def test_a_decoder_that_overflows_in_half_precision_decodes_in_float32(tiny_folder: Path) -> None:
    vae: Any = load(str(tiny_folder), device="cpu").pipe.vae.half()
    coder = Autoencoder(vae)
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    small, huge = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).half()
    huge = huge * 1e4
    with torch.no_grad():
        assert not vae.decode(huge / vae.config.scaling_factor).sample.isfinite().all()
        both = coder.picture(torch.cat([small, huge]))
        plain = vae.decode(torch.cat([small, huge]) / vae.config.scaling_factor).sample
    assert both.isfinite().all()
    assert torch.equal(both[0], (plain[0] / 2 + 0.5).clamp(0, 1).float())
    assert all(torch.equal(tensor, before[name]) for name, tensor in vae.state_dict().items())
    assert vae.dtype == torch.float16
    with in_float32(vae), torch.no_grad():
        assert torch.equal(both[1:], coder.picture(huge.float()))


@pytest.mark.parametrize(
    ("file", "changes", "match"),
    [
        ("vae/config.json", {"scaling_factor": 0}, "sets scaling_factor to 0"),
        ("vae/config.json", {"scaling_factor": float("nan")}, "sets scaling_factor to nan"),
        ("vae/config.json", {"scaling_factor": float("inf")}, "sets scaling_factor to inf"),
        ("vae/config.json", {"scaling_factor": "0.18"}, "sets scaling_factor to 0.18"),
        ("vae/config.json", {"shift_factor": float("nan")}, "sets shift_factor"),
        ("vae/config.json", {"latents_mean": [0, 0, float("nan"), 0], "latents_std": [1] * 4}, "sets latents_mean"),
        ("vae/config.json", {"latents_mean": [0] * 4, "latents_std": [1, 0, 1, 1]}, "sets latents_std"),
        ("scheduler/scheduler_config.json", {"beta_start": float("nan")}, "makes betas that are no finite numbers"),
        ("scheduler/scheduler_config.json", {"beta_end": float("inf")}, "makes betas that are no finite numbers"),
    ],
)
def test_settings_that_enter_the_arithmetic_are_numbers(
    tiny_folder: Path, tmp_path: Path, file: str, changes: dict[str, Any], match: str
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    path = folder / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(AstrogateError, match=match):
        load(str(folder), device="cpu")


def test_a_wrapped_pipeline_is_looked_at_too(tiny_folder: Path) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    pipe.vae.register_to_config(scaling_factor=float("nan"))
    with pytest.raises(AstrogateError, match="sets scaling_factor to nan"):
        wrap(pipe, SHIPPED)
