"""Single-file checkpoints, in the layout that Stable Diffusion 1's own code writes, load as their folder does."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.loading.load import load
from tests.app.test_cli import run

_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip


def unet_name(key: str) -> str:
    """A U-Net's key in the original layout, for two levels of one layer each."""
    if found := re.fullmatch(r"(down|up)_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.+)", key):
        side, level, kind, layer, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        block = f"input_blocks.{1 + 2 * level + layer}" if side == "down" else f"output_blocks.{2 * level + layer}"
        part, _, tail = rest.partition(".")
        return f"{block}.0.{_RESNET[part]}.{tail}" if kind == "resnets" else f"{block}.1.{rest}"
    if found := re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d)\.(.+)", key):
        kind, layer, rest = found[1], int(found[2]), found[3]
        part, _, tail = rest.partition(".")
        return f"middle_block.{2 * layer}.{_RESNET[part]}.{tail}" if kind == "resnets" else f"middle_block.1.{rest}"
    for pattern, name in (
        (r"down_blocks\.0\.downsamplers\.0\.conv\.", "input_blocks.2.0.op."),
        (r"up_blocks\.0\.upsamplers\.0\.conv\.", "output_blocks.1.1.conv."),
        (r"time_embedding\.linear_1\.", "time_embed.0."), (r"time_embedding\.linear_2\.", "time_embed.2."),
        (r"conv_in\.", "input_blocks.0.0."), (r"conv_norm_out\.", "out.0."), (r"conv_out\.", "out.2."),
    ):  # fmt: skip
        if re.match(pattern, key):
            return re.sub(pattern, name, key)
    raise AssertionError(key)


def vae_name(key: str) -> str:
    """An autoencoder's key in the original layout, for two levels."""
    key = re.sub(r"decoder\.up_blocks\.(\d)\.", lambda m: f"decoder.up.{1 - int(m[1])}.", key)
    for pattern, name in (
        (r"encoder\.down_blocks\.(\d)\.", r"encoder.down.\1."), (r"mid_block\.resnets\.0", "mid.block_1"),
        (r"mid_block\.resnets\.1", "mid.block_2"), (r"mid_block\.attentions\.0", "mid.attn_1"),
        (r"\.resnets\.", ".block."), (r"downsamplers\.0", "downsample"), (r"upsamplers\.0", "upsample"),
        (r"conv_shortcut", "nin_shortcut"), (r"conv_norm_out", "norm_out"), (r"group_norm", "norm"),
        (r"\.to_q\.", ".q."), (r"\.to_k\.", ".k."), (r"\.to_v\.", ".v."), (r"\.to_out\.0\.", ".proj_out."),
    ):  # fmt: skip
        key = re.sub(pattern, name, key)
    return key


@pytest.fixture(scope="module")
def single(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint as one file."""

    def part(name: str) -> dict[str, Tensor]:
        return load_file(next((tiny_folder / name).glob("*.safetensors")))

    state = {f"model.diffusion_model.{unet_name(k)}": v for k, v in part("unet").items()}
    for key, value in part("vae").items():
        name = vae_name(key)
        square = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", name)
        state[f"first_stage_model.{name}"] = value[:, :, None, None] if square else value
    for key, value in part("text_encoder").items():
        state[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    path = tmp_path_factory.mktemp("single") / "tiny.safetensors"
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    return path


def test_a_single_file_is_its_folder(single: Path, tiny: Model, tiny_folder: Path) -> None:
    model = load(str(single), device="cpu", config=str(tiny_folder), offline=True)
    point = model.point("a painting of a dog", seed=3)
    assert model.fingerprint == tiny.fingerprint
    assert torch.equal(model.denoise([point], Recipe(3)), tiny.denoise([point], Recipe(3)))


def test_bad_single_files_are_refused(single: Path, tiny_folder: Path, tmp_path: Path) -> None:
    pickled = tmp_path / "model.ckpt"
    pickled.write_bytes(b"")
    with pytest.raises(AstrogateError, match="pickled"):
        load(str(pickled), config=str(tiny_folder))
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(single.read_bytes()[:1000])
    with pytest.raises(AstrogateError, match=r"could not be (loaded|read)"):
        load(str(cut), config=str(tiny_folder), offline=True)
    shutil.copytree(tiny_folder, tmp_path / "code")
    (tmp_path / "code" / "unet" / "diffusers.py").write_text("")
    with pytest.raises(AstrogateError, match="code in a model folder"):
        load(str(single), config=str(tmp_path / "code"), offline=True)


def test_the_command_line_takes_one(single: Path, tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.png"
    code, _, err = run(
        "slide", "a dog", "--toward", "fat", "--away", "thin", "-n", "1", "--steps", "2", "--model", str(single),
        "--config", str(tiny_folder), "--offline", "--device", "cpu", "-o", str(target)
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert target.exists()
