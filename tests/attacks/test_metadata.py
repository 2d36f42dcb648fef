"""What a file says of itself, and what an edit or a point is made of: of its type, within bounds, or one line."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import astrogate as ag
from astrogate.core import archive
from astrogate.methods.concept.pseudo_point import Place
from astrogate.models.loading.lora import check_lora
from astrogate.rendering.kept import packed, unpacked
from tests.app.test_cli import run

VECTOR = torch.linspace(-1, 1, 32)
FINE: dict[str, Any] = {"there": [0.5, 1.0], "back": [-1.0], "auc": 1.0, "standard_error": 0.1}
LAYER = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    "odd",
    [
        {"there": [1e308, -1e308]},
        {"there": [float("nan")]},
        {"back": [float("inf")]},
        {"there": [1e300, 1e300]},
        {"auc": 10**400},
        {"standard_error": float("nan")},
        {"back": [10**30]},
    ],
)
def test_landings_are_numbers_near_by(tmp_path: Path, odd: dict[str, Any]) -> None:
    ag.Direction({"end": VECTOR}, "0123", "x", {"quality": {"end": FINE}}).save(tmp_path / "d.safetensors")
    assert run("direction", "show", str(tmp_path / "d.safetensors"))[0] == 0
    ag.Direction({"end": VECTOR}, "0123", "x", {"quality": {"end": FINE | odd}}).save(tmp_path / "d.safetensors")
    code, _, err = run("direction", "show", str(tmp_path / "d.safetensors"))
    assert code == 2
    assert err.count("\n") == 1


def test_landings_are_of_the_directions_own_roles(tmp_path: Path) -> None:
    quality = {f"r{i}": FINE for i in range(300)}
    ag.Direction({"end": VECTOR}, "0123", "x", {"quality": quality}).save(tmp_path / "d.safetensors")
    code, _, err = run("direction", "show", str(tmp_path / "d.safetensors"), "-o", str(tmp_path / "x.svg"))
    assert code == 2
    assert "has no vector in 'r0'" in err


@pytest.mark.parametrize(("media", "subjects"), [(["a"] * 200, ["b"] * 200), (["a"], []), ([], ["a"])])
def test_grids_are_bounded_whoever_names_them(
    tiny: Any, tiny_folder: Path, tmp_path: Path, media: list[str], subjects: list[str]
) -> None:
    with pytest.raises(ag.AstrogateError, match="a grid of"):
        ag.contrast(tiny, "fat", "thin", media=media, subjects=subjects)
    found = ag.contrast(tiny, "fat", "thin")
    replace(found, origin={**found.origin, "media": media, "subjects": subjects}).save(tmp_path / "d.safetensors")
    for form in ("condelta", "textual-inversion"):
        given = ("--to", form, "--model", str(tiny_folder), "-o", str(tmp_path / "x.safetensors"))
        code, _, err = run("direction", "export", str(tmp_path / "d.safetensors"), *given)
        assert code == 2
        assert "a grid of" in err


# the settings of a LoRA


@pytest.mark.parametrize(
    "odd",
    [
        {"r": 0},
        {"r": "2"},
        {"r": 2.5},
        {"r": True},
        {"lora_alpha": float("nan")},
        {"lora_alpha": None},
        {"target_modules": "((a|.)*)* b"},
        {"target_modules": {"to_q": 1}},
        {"target_modules": ["to_q", "(.*)*b"]},
        {"exclude_modules": "(.*.*.*.*)*b$"},
        {"rank_pattern": {"(.*.*.*)*b": 2}},
        {"rank_pattern": {"(": 2}},
        {"alpha_pattern": {"to_q": "x"}},
        {"alpha_pattern": [1]},
        {"megatron_config": {"a": 1}},
        {"layer_replication": [[0, 10**6]]},
        {"use_dora": True},
        {"target_parameters": ["conv_in.weight"]},
        {"modules_to_save": ["conv_in"]},
        {"init_lora_weights": ["eva"]},
    ],
)
def test_a_lora_says_how_strong_it_is_and_where(tmp_path: Path, odd: dict[str, Any]) -> None:
    weights = {f"{LAYER}.lora_A.weight": torch.ones(2, 8), f"{LAYER}.lora_B.weight": torch.ones(8, 2)}
    plain: dict[str, Any] = {"r": 2, "lora_alpha": 4, "target_modules": ["to_q"], "use_dora": False, "bias": "none"}
    for settings, fine in ((plain, True), (plain | odd, False)):
        told = json.dumps({f"unet.{name}": value for name, value in settings.items()})
        save_file(weights, tmp_path / "l.safetensors", {"format": "pt", "lora_adapter_metadata": told})
        if fine:
            check_lora(tmp_path / "l.safetensors", weights)
        else:
            with pytest.raises(ag.AstrogateError, match=f"sets {next(iter(odd))} to"):
                check_lora(tmp_path / "l.safetensors", weights)


@pytest.mark.parametrize("text", ["null", "[1]", '"x"', "{", "[" * 100_000, "NaN", " " * 2_000_000])
def test_the_settings_of_a_lora_are_an_object(tmp_path: Path, text: str) -> None:
    save_file({"x": VECTOR}, tmp_path / "l.safetensors", {"lora_adapter_metadata": text})
    with pytest.raises(ag.AstrogateError, match=r"the settings in .* are damaged"):
        check_lora(tmp_path / "l.safetensors", {})


@pytest.mark.parametrize(
    "weights",
    [
        {f"{LAYER}.lora_A.weight": torch.ones(8), f"{LAYER}.lora_B.weight": torch.ones(8)},
        {f"{LAYER}.lora_A.weight": torch.ones(2, 8, dtype=torch.int64)},
        {f"{LAYER}.lora_A.weight": torch.ones(2, 8, dtype=torch.complex64)},
        {f"{LAYER}.lora_A.weight": torch.ones(0, 8), f"{LAYER}.lora_B.weight": torch.ones(8, 0)},
    ],
)
def test_layers_that_are_none_are_one_line(tiny_folder: Path, tmp_path: Path, weights: dict[str, Any]) -> None:
    save_file(weights, tmp_path / "l.safetensors")
    with pytest.raises(ag.AstrogateError) as told:
        ag.load(f"{tiny_folder}+{tmp_path / 'l.safetensors'}", device="cpu")
    assert "\n" not in str(told.value)


# points and parts


@pytest.mark.parametrize(
    "odd",
    [
        {"origin": None},
        {"origin": [1]},
        {"origin": "x"},
        {"prompt": 1},
        {"segments": {}},
        {"seed": True},
        {"draw": 1.5},
        {"hold": {"share": "x"}},
        {"recipe": []},
        {"tensors": {}},
        {"tensors": {"latents": 1}},
        {"extras": []},
        {"edits": [["x"]]},
    ],
)
def test_the_points_of_a_file_are_of_their_types(tiny: Any, tmp_path: Path, odd: dict[str, Any]) -> None:
    frame = next(ag.render(tiny, [tiny.point("a dog", seed=1)], recipe=ag.Recipe(1)))
    path = tmp_path / "points"
    path.write_bytes(packed([frame]))
    fields = {"points": list[dict[str, Any]], "recipes": list[dict[str, Any]]}
    tensors, told = archive.read(path, what="points", remedy="x", format="astrogate-points-1", fields=fields)
    told["points"][0] |= odd
    archive.write(path, tensors, told, format="astrogate-points-1")
    with pytest.raises(ag.AstrogateError, match="the points in x are damaged"):
        unpacked(path.read_bytes(), "x")


def _latents(tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"latents": tensor}


@pytest.mark.parametrize(
    "odd",
    [
        _latents(torch.tensor(0.5)),
        _latents(torch.zeros(4, 8, 8, dtype=torch.int64)),
        _latents(torch.zeros(4, 8, 8, dtype=torch.bool)),
        _latents(torch.zeros(4, 8, 8, dtype=torch.complex64)),
        _latents(torch.zeros(0, 8, 8)),
        _latents(torch.zeros(1, 4, 8, 8)),
        _latents(torch.zeros(3, 8, 8)),
        {"prompt_embeds": torch.zeros(16, 64)},
        {"prompt_embeds": torch.zeros(0, 32)},
        {"prompt_embeds": torch.tensor(0.5)},
        {"negative_prompt_embeds": torch.zeros(1, 16, 32)},
        {"negative_prompt_embeds": torch.zeros(8, 32)},
    ],
)
def test_a_point_is_what_a_denoiser_starts_from(tiny: Any, odd: dict[str, torch.Tensor]) -> None:
    point = tiny.point("a dog")
    point = replace(point, tensors={**point.tensors, **odd})
    with pytest.raises(ag.AstrogateError) as told:
        next(ag.render(tiny, [point], recipe=ag.Recipe(1)))
    assert "\n" not in str(told.value)
    with pytest.raises(ag.AstrogateError):
        tiny.denoise([point], ag.Recipe(1))


def test_a_point_without_its_text_is_told(tiny: Any) -> None:
    point = tiny.point("a dog")
    bare = replace(point, tensors={"latents": point.tensors["latents"]})
    with pytest.raises(ag.AstrogateError, match=r"the points' .*prompt_embeds are none"):
        tiny.denoise([bare], ag.Recipe(1))
    with pytest.raises(ag.AstrogateError, match="a point has no latents"):
        next(ag.render(tiny, [replace(point, tensors={})], recipe=ag.Recipe(1)))


def test_numbers_of_eight_bits_are_looked_at_as_numbers(tiny: Any) -> None:
    point = tiny.point("a dog")
    small = {space: tensor.to(torch.float8_e4m3fn).float() for space, tensor in point.tensors.items()}
    eight = {space: tensor.to(torch.float8_e4m3fn) for space, tensor in point.tensors.items()}
    one, two = (tiny.denoise([replace(point, tensors=tensors)], ag.Recipe(1)) for tensors in (small, eight))
    assert torch.equal(one, two)


@pytest.mark.parametrize("vectors", [[VECTOR], {"x": [1.0]}, {"x": np.ones(3)}, {"x": VECTOR.long()}, {"": VECTOR}, 7])
def test_a_part_is_of_tensors(vectors: Any) -> None:
    with pytest.raises(ag.AstrogateError, match="give tensors of floats by space"):
        ag.Steer(vectors)
    with pytest.raises(ag.AstrogateError, match="give tensors of floats by space"):
        ag.Guide(vectors)


@pytest.mark.parametrize(
    "options",
    [
        {"window": (0, 0.5, 1)},
        {"window": 1},
        {"window": "ab"},
        {"curve": (1,)},
        {"curve": ((0, 1, 2),)},
        {"curve": "ab"},
        {"rule": "turn", "spans": ((3, 1),)},
        {"rule": "turn", "spans": (3,)},
        {"spans": ((1, 3),)},
        {"rule": "knots", "knots": (1.0,), "vectors": {"x": torch.tensor(1.0)}},
        {"scale": True},
    ],
)
def test_the_options_of_a_part_are_pairs_and_numbers(options: dict[str, Any]) -> None:
    with pytest.raises(ag.AstrogateError):
        ag.Steer(**{"vectors": {"x": VECTOR.view(4, 8)}, **options})


def test_the_pairs_of_guides_and_edits() -> None:
    for wrong in ({"momentum": (0.1, 0.2, 0.3)}, {"momentum": 0.5}, {"added": "no"}):
        with pytest.raises(ag.AstrogateError):
            ag.Guide({"x": VECTOR}, **wrong)
    for wrong in ({"range": (0, 1, 2)}, {"limits": 3}, {"calibration": (1,)}):
        with pytest.raises(ag.AstrogateError):
            ag.Edit(ag.Parts(), **wrong)


def test_tokens_that_a_text_does_not_have_are_not_turned(tiny: Any) -> None:
    point = tiny.point("a dog")
    turn = ag.Steer({"prompt_embeds": torch.ones(16, 32)}, rule="turn", spans=((1, 99),))
    with pytest.raises(ag.AstrogateError, match="tokens up to 99, a text of 16"):
        tiny.denoise([point.apply(ag.Edit(ag.Parts((turn,))))], ag.Recipe(1))


@pytest.mark.parametrize("truth", [True, np.bool_(True), torch.tensor(True), np.array(False)])
def test_a_truth_value_is_no_number(tiny: Any, truth: Any) -> None:
    for use in (ag.Recipe, lambda value: tiny.point("a dog", seed=value), lambda value: ag.Recipe(2, value)):
        with pytest.raises(ag.AstrogateError):
            use(truth)


def test_a_checkpoint_names_its_pipeline_in_one_word(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "x")
    index = tmp_path / "x" / "model_index.json"
    for name in ("a\nb", "", "\u001b[2K", None, 5):
        index.write_text(json.dumps({**json.loads(index.read_text()), "_class_name": name}))
        with pytest.raises(ag.AstrogateError, match="names no pipeline"):
            ag.load(str(tmp_path / "x"), device="cpu")


def test_a_place_of_a_concept_is_text() -> None:
    with pytest.raises(ag.AstrogateError, match="no text"):
        Place("a fat ", "\ud800", "", "zebra")
