"""Model folders that are wrong, cut off or hostile: refused in one line, before a library opens what it should not."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save, save_file

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.models.loading.load import load
from astrogate.models.loading.trust import plain_name
from tests.app.test_cli import run

UNET, TEXT = "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_folder, tmp_path / "model")


def settings(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def drop(path: Path, *marks: str) -> str:
    """Leave the first tensor with each mark in its name out of a file; the last one's name."""
    tensors, name = load_file(path), ""
    for mark in marks:
        name = next(name for name in tensors if mark in name)
        del tensors[name]
    save_file(tensors, path, {"format": "pt"})
    return name


class Payload:
    """What leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def pickled(path: Path, mark: Path) -> None:
    torch.save({"x": Payload(mark)}, path)


def refused(folder: Path, match: str, **options: Any) -> None:
    """Loading is refused in one short line, soon."""
    started = time.monotonic()
    with pytest.raises(AstrogateError, match=match) as found:
        load(str(folder), device="cpu", **options)
    text = str(found.value)
    assert "\n" not in text
    assert len(text) < 600
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("file", "mark"),
    [
        (TEXT, "layers.0.self_attn.q_proj.weight"),
        (TEXT, "final_layer_norm"),
        (UNET, "conv_in.weight"),
        (UNET, "mid_block"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.conv_out.bias"),
    ],
)
def test_a_tensor_that_is_missing_is_named(folder: Path, file: str, mark: str) -> None:
    name = drop(folder / file, mark)
    refused(folder, name.split(".", 1)[1].replace(".", r"\."))


def test_a_file_without_a_model_is_no_model(folder: Path) -> None:
    (folder / TEXT).write_bytes(save({"x": torch.zeros(1)}, {"format": "pt"}))
    refused(folder, "text_encoder")


def test_a_tensor_of_another_shape_is_refused(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    tensors["conv_in.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / UNET, {"format": "pt"})
    refused(folder, "conv_in|shape")
    tensors = load_file(folder / TEXT)
    name = next(name for name in tensors if "q_proj.weight" in name)
    save_file({**tensors, name: torch.zeros(3, 3)}, folder / TEXT, {"format": "pt"})
    refused(folder, "lacks|shape|size")


def test_a_tensor_that_nothing_reads_is_told(folder: Path) -> None:
    for file in (UNET, TEXT):
        save_file({**load_file(folder / file), "left.over": torch.zeros(2)}, folder / file, {"format": "pt"})
    with pytest.warns(AstrogateWarning, match=r"left\.over, which nothing reads") as told:
        load(str(folder), device="cpu")
    assert len(told) == 2


@pytest.mark.parametrize("target", ["payload.dat", "../../outside.safetensors", "/etc/hostname", "a/b.safetensors", 7])
def test_an_index_leads_to_safetensors_beside_it_alone(folder: Path, tmp_path: Path, target: Any) -> None:
    mark = tmp_path / "mark"
    names = list(load_file(folder / TEXT))
    (folder / TEXT).rename(tmp_path / "outside.safetensors")
    if target == "payload.dat":
        pickled(folder / "text_encoder" / target, mark)
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, target)}
    (folder / "text_encoder" / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "index.json names|may be pickled")
    assert not mark.exists()


def _pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(mark)))


@pytest.mark.parametrize("file", [UNET, TEXT, "vae/config.json", "tokenizer/vocab.json", "scheduler/more.json"])
@pytest.mark.parametrize("write", [pickled, _pickle])
def test_pickles_are_known_by_their_content(
    folder: Path, tmp_path: Path, file: str, write: Callable[[Path, Path], object]
) -> None:
    write(folder / file, tmp_path / "mark")
    refused(folder, "may be pickled")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("write", [pickled, _pickle])
def test_what_nothing_opens_is_no_reason_to_refuse(
    folder: Path, tmp_path: Path, write: Callable[[Path, Path], object]
) -> None:
    """A repository of the hub holds its weights for other libraries, too, scripts and pictures."""
    known = load(str(folder), device="cpu").fingerprint
    beside = ("pytorch_model.bin", "diffusion_pytorch_model.bin", "model.ckpt", "model.onnx", "flax_model.msgpack")
    for part in ("unet", "text_encoder", "vae", "scheduler", "tokenizer", "safety_checker", "openvino", "."):
        (folder / part).mkdir(exist_ok=True)
        for name in (*beside, "openvino_model.bin", "weights.dat", "model.safetensors.bak", "README.md", "handler.py"):
            write(folder / part / name, tmp_path / "mark")
    os.mkfifo(folder / "unet" / "pipe")
    (folder / "unet" / "elsewhere").symlink_to("/etc/hostname")
    (folder / "text_encoder" / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "pytorch_model.bin"}}')
    assert load(str(folder), device="cpu").fingerprint == known
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "model.ckpt", "diffusion_pytorch_model.fp16.bin"])
def test_a_part_with_pickled_weights_alone_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    (folder / UNET).unlink()
    pickled(folder / "unet" / name, tmp_path / "mark")
    refused(folder, f"has unet/{name}, and no safetensors of unet")
    assert not (tmp_path / "mark").exists()


def test_adapters_and_pointers_are_refused(folder: Path) -> None:
    (folder / "unet" / "adapter_config.json").write_text("{}")
    refused(folder, "adapter")
    (folder / "unet" / "adapter_config.json").unlink()
    (folder / UNET).write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused(folder, "no safetensors")


def test_links_and_pipes_out_of_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(folder / "unet", elsewhere)
    (folder / "unet").symlink_to(elsewhere)
    refused(folder, "leads out")
    (folder / "unet").unlink()
    shutil.move(elsewhere, folder / "unet")
    (folder / "vae" / "more.json").symlink_to("/etc/hostname")
    refused(folder, "leads out")
    (folder / "vae" / "more.json").unlink()
    os.mkfifo(folder / "vae" / "pipe.json")
    refused(folder, "no file")
    (folder / "vae" / "pipe.json").unlink()
    (folder / "vae" / "again.json").symlink_to("config.json")
    load(str(folder), device="cpu")


def test_links_of_the_hubs_cache_lead_to_its_blobs(tiny_folder: Path, tmp_path: Path) -> None:
    repo = tmp_path / "models--a--b"
    snapshot = repo / "snapshots" / "1234"
    (repo / "blobs").mkdir(parents=True)
    for i, path in enumerate(sorted(p for p in tiny_folder.rglob("*") if p.is_file())):
        shutil.copy(path, repo / "blobs" / str(i))
        link = snapshot / path.relative_to(tiny_folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(repo / "blobs" / str(i), link.parent))
    load(str(snapshot), device="cpu")


@pytest.mark.parametrize(
    "card",
    [
        {"astrogate": 1, "parts": {"/proc": "x"}, "trained_on": {}},
        {"astrogate": 1, "parts": {"../x": "x"}, "trained_on": {}},
        {"astrogate": 1, "parts": {"unet": 7}, "trained_on": {}},
        {"astrogate": 1, "parts": [], "trained_on": {}},
        {"astrogate": 1, "parts": {}},
        {"astrogate": 1, "parts": {}, "trained_on": {"unet": ["vae"]}},
    ],
)
def test_a_card_names_parts_of_the_folder_alone(folder: Path, card: dict[str, Any]) -> None:
    (folder / "card.json").write_text(json.dumps(card))
    refused(folder, "damaged")


def test_plain_names() -> None:
    assert plain_name("unet")
    assert not any(map(plain_name, ("", ".", "..", "a/b", "/a", "a\\b", "a\0", 7, None)))


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("unet/config.json", {"norm_num_groups": 0}),
        ("unet/config.json", {"block_out_channels": "many"}),
        ("unet/config.json", {"layers_per_block": 10**6}),
        ("unet/config.json", {"cross_attention_dim": -1}),
        ("vae/config.json", {"latent_channels": None}),
        ("text_encoder/config.json", {"num_hidden_layers": 10**6}),
        ("text_encoder/config.json", {"hidden_size": "wide"}),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "many"}),
        ("model_index.json", {"_class_name": ["a", "b"]}),
        ("model_index.json", {"unet": ["os", "system"]}),
        ("model_index.json", {"unet": ["antigravity", "UNet2DConditionModel"]}),
        ("model_index.json", {"unet": ["diffusers", "no_such_class"]}),
        ("model_index.json", {"unet": "diffusers"}),
        ("text_encoder/config.json", {"attn_implementation": "kernels-community/flash-attn"}),
        ("text_encoder/config.json", {"use_kernels": True}),
    ],
)
def test_settings_that_no_model_has_are_refused_in_one_line(folder: Path, file: str, changes: dict[str, Any]) -> None:
    settings(folder / file, **changes)
    refused(folder, ":")


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", "[" * 100_000, "\x00\x01", '{"_class_name": 3}'])
@pytest.mark.parametrize("name", ["model_index.json", "unet/config.json", "scheduler/scheduler_config.json"])
def test_settings_that_are_damaged_are_refused_in_one_line(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content)
    refused(folder, ":")


@pytest.mark.parametrize("name", [UNET, TEXT, "tokenizer", "scheduler", "vae", "unet/config.json"])
def test_what_is_missing_is_told_in_one_line(folder: Path, name: str) -> None:
    path = folder / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(folder, ":")


def test_weights_that_are_no_floats_are_refused(folder: Path) -> None:
    tensors = load_file(folder / UNET)
    name = next(name for name in tensors if name.endswith(".weight"))
    for kind in (torch.int8, torch.complex64, torch.int64):
        save_file({**tensors, name: tensors[name].to(kind)}, folder / UNET, {"format": "pt"})
        refused(folder, f"holds {name} as")


def test_a_folder_of_half_precision_alone_is_read(folder: Path) -> None:
    whole = load(str(folder), device="cpu").fingerprint
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        path = folder / part / f"{name}.safetensors"
        path.rename(path.with_name(f"{name}.fp16.safetensors"))
    assert load(str(folder), device="cpu").fingerprint == whole


def test_a_variant_is_read_where_it_is_asked_for(folder: Path) -> None:
    plain = load(str(folder), device="cpu")
    half = {name: tensor.half() for name, tensor in load_file(folder / UNET).items()}
    save_file(half, folder / UNET.replace(".safe", ".fp16.safe"), {"format": "pt"})
    assert load(str(folder), device="cpu").weights == plain.weights
    model = load(str(folder), device="cpu", variant="fp16")
    assert all(torch.equal(tensor, half[name].float()) for name, tensor in model.denoiser.state_dict().items())
    assert model.weights != plain.weights
    refused(folder, "no variant 'bf16': choose fp16", variant="bf16")
    code, _, err = run("slide", "a dog", "--direction", "fat:thin", "--model", str(folder), "--variant", "int4")
    assert (code, err.count("\n")) == (2, 1)
    assert "no variant 'int4'" in err


@pytest.mark.parametrize("kind", ["FlowMatchEulerDiscreteScheduler", "RePaintScheduler", "VQDiffusionScheduler"])
def test_a_scheduler_that_the_pipeline_does_not_draw_with_is_refused(folder: Path, kind: str) -> None:
    settings(folder / "model_index.json", scheduler=["diffusers", kind])
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": kind, "num_vec_classes": 2}))
    with pytest.raises(AstrogateError):
        load(str(folder), device="cpu")


def test_a_scheduler_of_noise_may_go_by_flows(folder: Path) -> None:
    settings(folder / "model_index.json", scheduler=["diffusers", "UniPCMultistepScheduler"])
    flows = {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(flows))
    assert load(str(folder), device="cpu").scheduler == "UniPCMultistepScheduler"


def test_a_class_that_an_index_leaves_open_is_refused(folder: Path) -> None:
    settings(folder / "model_index.json", text_encoder=["transformers", "AutoModel"])
    refused(folder, "leaves the class of text_encoder to AutoModel")


def test_a_tokenizer_asks_to_run_no_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> str:
        raise AssertionError("it asks")

    monkeypatch.setattr("builtins.input", asked)
    settings(folder / "model_index.json", tokenizer=["transformers", "AutoTokenizer"])
    settings(folder / "tokenizer" / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tok.Tok", None]})
    with suppress(AstrogateError):
        load(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("scheduler/scheduler_config.json", "prediction_type", "foo"),
        ("scheduler/scheduler_config.json", "trained_betas", [0.1] * 5),
        ("scheduler/scheduler_config.json", "beta_schedule", "foo"),
        ("vae/config.json", "scaling_factor", None),
        ("unet/config.json", "sample_size", "x"),
        ("unet/config.json", "sample_size", []),
        ("unet/config.json", "sample_size", -4),
    ],
)
def test_settings_that_nothing_draws_by_are_one_line(
    tiny_folder: Path, tmp_path: Path, file: str, key: str, value: Any
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    settings = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**settings, key: value}))
    code, _, err = run(
        *("slide", "a fat dog", "--direction", "fat:thin", "--steps", "2", "-n", "2", "--device", "cpu"),
        *("--model", str(folder), "-o", str(tmp_path / "x.png")),
    )
    assert (code, len(err.splitlines())) == (2, 1), err
