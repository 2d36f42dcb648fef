"""What is opened of a repository, and nothing else: listings as they lie on the hub, rebuilt with sparse files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from astrogate.core.errors import AstrogateError
from astrogate.models.loading.opened import chosen_weights, files_of, listed, part_files
from tests.models.listings import CLIP_ALONE, REPOSITORIES


def rebuilt(folder: Path, sizes: dict[str, float]) -> list[str]:
    """Sparse files of these sizes in MB, with the settings of their parts; their names as they are listed."""
    for name, size in sizes.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, int(size * 1e6))
        (path.parent / "config.json").touch()
    return listed(folder)


def weights(folder: Path, names: list[str]) -> float:
    """MB of the weights among files."""
    return sum((folder / name).stat().st_size for name in names if not name.endswith((".json", ".txt", ".model"))) / 1e6


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_repository_is_fetched_once(name: str, tmp_path: Path) -> None:
    index, sizes, needed = REPOSITORIES[name]
    names = rebuilt(tmp_path, sizes)
    opened = files_of(names, index, None, name)
    assert weights(tmp_path, opened) == pytest.approx(needed)
    assert len(opened) == len(set(opened))
    assert {path.split("/")[0] for path in opened} <= {*index, "model_index.json"}
    assert not [path for path in opened if path.endswith((".bin", ".ckpt", ".onnx", ".msgpack", ".onnx_data"))]
    shards = [path for path in opened if "-of-" in path]
    assert {path.split("/")[0] for path in shards} == {p.split("/")[0] for p in opened if ".index." in p}


def test_a_variant_is_fetched_alone(tmp_path: Path) -> None:
    index, sizes, _ = REPOSITORIES["Stable Diffusion 1.5"]
    names = rebuilt(tmp_path, sizes)
    assert weights(tmp_path, files_of(names, index, "fp16", "")) == pytest.approx((492 + 3438 + 335) / 2)
    assert weights(tmp_path, files_of(names, index, "non_ema", "")) == pytest.approx(492 + 3438 + 335)
    with pytest.raises(AstrogateError, match=r"no variant 'bf16': choose fp16, non_ema"):
        files_of(names, index, "bf16", "a/b")


def test_shards_of_a_variant_are_its_own(tmp_path: Path) -> None:
    index, sizes, needed = REPOSITORIES["Stable Diffusion 3"]
    opened = files_of(rebuilt(tmp_path, sizes), index, "fp16", "")
    assert weights(tmp_path, opened) == pytest.approx(needed)
    assert "text_encoder_3/model.safetensors.index.fp16.json" in opened
    assert "text_encoder_3/model.safetensors.index.json" not in opened


def test_a_part_alone_is_fetched_once(tmp_path: Path) -> None:
    sizes, needed = CLIP_ALONE
    assert weights(tmp_path, part_files(rebuilt(tmp_path, sizes))) == pytest.approx(needed)


def test_of_a_whole_file_and_shards_that_is_fetched_which_the_library_opens() -> None:
    both = "{0}.safetensors", "{0}-00001-of-00001.safetensors", "{0}.safetensors.index.json"
    for base, first in (("model", 0), ("diffusion_pytorch_model", 1)):
        files = [name.format(base) for name in both]
        assert chosen_weights(files) == (None, [files[first]])
        assert (files[2] in part_files(files)) == bool(first)


def test_pickled_weights_alone_are_named() -> None:
    index = REPOSITORIES["FLUX.1"][0]
    for weights in ("diffusion_pytorch_model.bin", "diffusion_pytorch_model-00001-of-00002.bin", "x.pt"):
        names = ["model_index.json", "transformer/config.json", f"transformer/{weights}"]
        with pytest.raises(AstrogateError, match=f"a/b has transformer/{weights}, and no safetensors of transformer"):
            files_of(names, index, None, "a/b")
