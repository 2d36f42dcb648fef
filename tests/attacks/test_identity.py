"""A fingerprint names a checkpoint, however it is computed with; it changes with the weights, and with nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import astrogate as ag
from astrogate.models.identity import digest_of
from astrogate.models.loading.load import load, wrap

PROMPT, RECIPE = "a painting of a fat dog", ag.Recipe(2)


def offloaded(pipe: Any) -> None:
    import accelerate

    accelerate.cpu_offload(pipe.unet, execution_device=torch.device("cpu"))


def fused(pipe: Any) -> None:
    pipe.unet.fuse_qkv_projections()


def cast(pipe: Any) -> None:
    pipe.unet.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)


def grouped(pipe: Any) -> None:
    pipe.unet.enable_group_offload(torch.device("cpu"), offload_type="leaf_level")


def with_a_token(pipe: Any) -> None:
    width = pipe.text_encoder.get_input_embeddings().weight.shape[1]
    pipe.load_textual_inversion({"<new>": torch.ones(width)}, token="<new>")


def with_an_adapter(pipe: Any) -> None:
    from peft import LoraConfig

    pipe.unet.add_adapter(LoraConfig(target_modules=["to_q"]))


WAYS = (offloaded, fused, cast, grouped, with_a_token, with_an_adapter, lambda pipe: pipe.unet.half())


@pytest.mark.parametrize("change", WAYS, ids=[getattr(way, "__name__", "half") for way in WAYS])
def test_how_a_model_is_computed_with_does_not_change_it(tiny_folder: Path, change: Callable[[Any], None]) -> None:
    plain = load(str(tiny_folder), device="cpu")
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    change(pipe)
    model = wrap(pipe)
    assert model.fingerprint == plain.fingerprint
    direction = ag.contrast(plain, "fat", "thin", media=("painting",), subjects=("dog",))
    point = model.point(PROMPT)
    if model.dtype == "float32":
        assert next(ag.render(model, [point.apply(direction.at(point))], recipe=RECIPE)).image.size == (16, 16)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_dtype_is_no_other_model(tiny_folders: Callable[[str], Path], family: str, dtype: str) -> None:
    folder = str(tiny_folders(family))
    assert load(folder, device="cpu", dtype=dtype).fingerprint == load(folder, device="cpu").fingerprint


def test_stacks_keep_theirs(stack: Any, tmp_path: Path) -> None:
    from astrogate.models.unclip.load import save_unclip

    save_unclip(stack, tmp_path / "again")
    found = {load(str(tmp_path / "again"), device="cpu", dtype=dtype).fingerprint for dtype in ("float32", "bfloat16")}
    assert found == {stack.fingerprint}


def test_other_weights_are_another_model(tiny_folder: Path, tmp_path: Path) -> None:
    plain = load(str(tiny_folder), device="cpu")
    folder = shutil.copytree(tiny_folder, tmp_path / "other")
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_in.weight"] = tensors["conv_in.weight"] + 0.01
    save_file(tensors, path, {"format": "pt"})
    assert load(str(folder), device="cpu").fingerprint != plain.fingerprint

    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    with torch.no_grad():
        pipe.unet.conv_in.weight.add_(0.01)
    changed = wrap(pipe)
    assert changed.fingerprint != plain.fingerprint
    with pytest.raises(ag.AstrogateError, match="another model"):
        next(ag.render(changed, [plain.point(PROMPT)], recipe=RECIPE))


def test_a_part_that_is_exchanged_is_noticed(tiny_folder: Path) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    model = wrap(pipe)
    before, point = model.fingerprint, model.point(PROMPT)
    other: Any = load(str(tiny_folder), device="cpu").pipe.unet
    with torch.no_grad():
        other.conv_out.bias.add_(1)
    pipe.unet = other
    assert model.fingerprint != before
    with pytest.raises(ag.AstrogateError, match="another model"):
        next(ag.render(model, [point], recipe=RECIPE))


def test_a_part_that_was_made_in_memory_is_known_by_its_values() -> None:
    torch.manual_seed(0)
    a = torch.nn.Linear(3, 3)
    b = torch.nn.Linear(3, 3)
    assert digest_of(a) != digest_of(b)
    b.load_state_dict(a.state_dict())
    assert digest_of(torch.nn.Linear(3, 3)) != digest_of(a)


def sharpened(pipe: Any) -> None:
    """One value, which no sample of a few would see."""
    with torch.no_grad():
        pipe.unet.conv_in.weight.view(-1)[-2] += 1


def tiled(pipe: Any) -> None:
    pipe.vae.enable_tiling()


def looking_otherwise(pipe: Any) -> None:
    from diffusers.models.attention_processor import AttnProcessor

    pipe.unet.set_attn_processor(AttnProcessor())


def hooked(pipe: Any) -> None:
    pipe.unet.mid_block.register_forward_hook(lambda module, args, out: out * 5)


def eased(pipe: Any) -> None:
    pipe.unet.conv_norm_out.eps = 5.0


def learning(pipe: Any) -> None:
    pipe.unet.train()


@pytest.mark.parametrize("change", [sharpened, tiled, looking_otherwise, hooked, eased, learning])
def test_no_old_picture_of_a_model_that_was_changed(tiny_folder: Path, change: Callable[[Any], None]) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    before = wrap(pipe).weights
    assert wrap(pipe).weights == before
    change(pipe)
    assert wrap(pipe).weights != before


def test_one_value_is_another_model(tiny_folder: Path) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe
    sharpened(pipe)
    assert wrap(pipe).fingerprint != load(str(tiny_folder), device="cpu").fingerprint


def test_changes_behind_torchs_back_are_seen(tiny_folder: Path) -> None:
    """`data` has a version of its own; PEFT merges LoRAs through it."""
    model: Any = load(str(tiny_folder), device="cpu")
    before = model.weights
    model.pipe.unet.conv_in.weight.data *= 1.5
    assert model.weights != before


def test_a_relative_folder_is_the_same_model_from_elsewhere(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load(str(tiny_folder), device="cpu").fingerprint
    monkeypatch.chdir(tiny_folder.parent)
    half = load(tiny_folder.name, device="cpu", dtype="float16")
    monkeypatch.chdir(tmp_path)
    assert half.fingerprint == whole


def test_a_folder_that_is_gone_is_no_traceback(tiny_folder: Path, tmp_path: Path) -> None:
    whole = load(str(tiny_folder), device="cpu").fingerprint
    shutil.copytree(tiny_folder, tmp_path / "x")
    model = load(str(tmp_path / "x"), device="cpu")
    shutil.rmtree(tmp_path / "x")
    assert model.fingerprint == whole
