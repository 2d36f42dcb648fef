"""Laws of the adapter: without steers it is plain diffusers to the bit, and it leaves the model as it was."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.parts import Steer
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.segment import Segment
from astrogate.methods.edit.contrast import contrast
from astrogate.methods.edit.guidance import toward
from astrogate.methods.edit.style import style
from astrogate.models.loading.load import load
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from tests.checkpoints import edit_of

RECIPE = Recipe(num_inference_steps=4)


def hooks(model: Model) -> int:
    return sum(
        len(m._forward_pre_hooks) + len(m._forward_hooks)
        for site in ("unet", "text_encoder", "vae")
        for m in model.module(site).modules()
    )


def plain(folder: Path, prompts: list[str], seeds: list[int], **options: Any) -> list[np.ndarray]:
    """What diffusers itself draws, in one batch."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    generators = [torch.Generator("cpu").manual_seed(s) for s in seeds]
    images = pipe(
        prompts,
        num_inference_steps=4,
        guidance_scale=4.0,
        generator=generators,
        negative_prompt=[""] * len(prompts),
        **options,
    ).images
    return [np.asarray(image) for image in images]


def test_scale_zero_is_bit_identical_to_diffusers(tiny: Model, tiny_folder: Path) -> None:
    point = tiny.point("a painting of a dog", seed=5)
    direction = contrast(tiny, "fat", "thin", media=("painting",), subjects=("dog", "cat"))
    ours = list(render(tiny, [point.apply(direction.at(point), 0.0)], recipe=RECIPE))
    assert np.array_equal(np.asarray(ours[0].image), plain(tiny_folder, ["a painting of a dog"], [5])[0])


def test_checkpoints_in_the_layout_of_sd_2_are_bit_identical_too(tiny_folder: Path, tmp_path: Path) -> None:
    """v-prediction, and padding with another token than the end of text."""
    folder = tmp_path / "sd2"
    shutil.copytree(tiny_folder, folder)
    for path, change in {
        "scheduler/scheduler_config.json": {"prediction_type": "v_prediction"},
        "tokenizer/tokenizer_config.json": {"pad_token": "!"},
    }.items():
        (folder / path).write_text(json.dumps({**json.loads((folder / path).read_text()), **change}))
    model = load(str(folder), device="cpu")
    point = model.point("a painting of a dog", seed=5)
    steered = point.apply(contrast(model, "fat", "thin", media=("photo",), subjects=("dog",)).at(point))
    frames = list(render(model, [point], recipe=RECIPE))
    assert np.array_equal(np.asarray(frames[0].image), plain(folder, ["a painting of a dog"], [5])[0])
    assert not torch.equal(model.denoise([steered], RECIPE), model.denoise([point], RECIPE))
    encoded = model.encode(["a dog", "a painting of a fat dog"])
    assert encoded["end"].tolist() == [3, 7]


def test_a_batch_of_unsteered_points_is_bit_identical_to_diffusers(tiny: Model, tiny_folder: Path) -> None:
    prompts, seeds = ["a painting of a dog"] * 3, [1, 2, 3]
    frames = render(tiny, [tiny.point(p, seed=s) for p, s in zip(prompts, seeds, strict=True)], recipe=RECIPE)
    for frame, expected in zip(frames, plain(tiny_folder, prompts, seeds), strict=True):
        assert np.array_equal(np.asarray(frame.image), expected)


def test_zero_rows_of_a_steered_batch_stay_as_they_are(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    edit = contrast(tiny, "fat", "thin", media=("painting",), subjects=("dog",)).at(point)
    strip = [point.apply(edit, scale) for scale in (-3, 0, 3)]
    steered, unsteered = (tiny.denoise(batch, RECIPE) for batch in (strip, [point] * 3))
    assert torch.equal(steered[1], unsteered[1])
    assert not torch.equal(steered[0], unsteered[0])
    assert not torch.equal(steered[2], unsteered[2])


def test_hooks_leave_no_trace(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    point = tiny.point("a dog", seed=1)
    edit = contrast(tiny, "fat", "thin", media=("painting",), subjects=("dog",)).at(point)
    points = [point.apply(edit, scale) for scale in (-2, 0, 2)]
    assert hooks(tiny) == 0
    seen: list[int] = []
    unet = tiny.module("unet")
    forward = unet.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(hooks(tiny))
        return forward(*args, **kwargs)

    monkeypatch.setattr(unet, "forward", watched)
    scheduler = tiny.pipe.scheduler  # type: ignore[attr-defined]
    list(render(tiny, points, recipe=Recipe(num_inference_steps=3, scheduler="EulerDiscrete")))
    assert set(seen) == {2}  # what moves the text, and what looks at each call's result
    assert hooks(tiny) == 0
    assert tiny.pipe.scheduler is scheduler  # type: ignore[attr-defined]


def test_hooks_are_removed_after_an_error(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    point = tiny.point("a dog", seed=1)

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(tiny.module("unet"), "forward", broken)
        with pytest.raises(RuntimeError, match="broken"):
            tiny.denoise([point.apply(edit_of(Steer({"prompt_embeds": point.tensors["prompt_embeds"]})))], RECIPE)
    assert hooks(tiny) == 0


def test_batch_size_hardly_changes_a_picture(tiny: Model) -> None:
    points = [tiny.point("a cat", seed=s) for s in range(5)]
    together, singly, padded = (
        to_tensor(render(tiny, stream, recipe=RECIPE, batch_size=size))
        for stream, size in ((points, 5), (points, 1), (iter(points), 3))
    )
    assert (together - singly).abs().max() <= 1e-3 + 1 / 255
    assert (together - padded).abs().max() <= 1e-3 + 1 / 255
    latents = [tiny.denoise(points, RECIPE), torch.cat([tiny.denoise([p], RECIPE) for p in points])]
    pictures = [tiny.decode(x) for x in latents]
    assert (pictures[0] - pictures[1]).abs().max() <= 1e-3


def test_a_steer_acts_on_its_half_and_window_alone(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    vector = torch.ones_like(point.tensors["prompt_embeds"])
    seen: list[torch.Tensor] = []
    unet = tiny.module("unet")
    handle = unet.register_forward_hook(
        lambda m, a, k, o: seen.append(k["encoder_hidden_states"].clone()), with_kwargs=True
    )
    try:
        for half in ("positive", "negative", "both"):
            seen.clear()
            tiny.denoise([point.apply(edit_of(Steer({"prompt_embeds": vector}, 2.0, (0.25, 0.75), half)))], RECIPE)
            base = torch.stack([point.tensors["negative_prompt_embeds"], point.tensors["prompt_embeds"]])
            moved = [(states - base).abs().amax((1, 2)) for states in seen]
            on = torch.tensor([2.0 * (half != "positive"), 2.0 * (half != "negative")])
            assert torch.equal(moved[0], torch.zeros(2))
            assert torch.allclose(moved[1], on, atol=1e-5)
            assert torch.allclose(moved[2], on, atol=1e-5)
            assert torch.equal(moved[3], torch.zeros(2))
    finally:
        handle.remove()


def test_a_steer_equals_moved_embeddings(tiny: Model) -> None:
    from dataclasses import replace

    point = tiny.point("a dog", seed=1)
    vector = torch.randn(point.tensors["prompt_embeds"].shape, generator=torch.Generator().manual_seed(0))
    moved = {**point.tensors, "prompt_embeds": point.tensors["prompt_embeds"] + 0.7 * vector}
    by_hook = tiny.denoise([point.apply(edit_of(Steer({"prompt_embeds": vector})), 0.7)], RECIPE)
    assert torch.allclose(by_hook, tiny.denoise([replace(point, tensors=moved)], RECIPE), atol=1e-5)


def test_segments_name_each_word(tiny: Model) -> None:
    (segment,) = tiny.point("a painting of a fat dog, a 3d render").segments
    assert segment.find("painting") == (2, 3)
    assert segment.find("Fat DOG") == (5, 7)
    assert segment.find("a") == (1, 2)
    assert segment.find("3d") == (9, 11)
    assert segment.find("dog fat") is None
    assert segment.find(" ") is None
    assert (segment.start, segment.first, segment.end, segment.stop) == (0, 1, 12, 16)
    end = tiny.encode(["a painting of a fat dog"])["end"]
    assert int(end[0]) == 7


def test_encode_does_not_depend_on_padding(tiny: Model) -> None:
    prompts = ["a dog", "a painting of a fat cat"]
    long, short = (tiny.encode(prompts, padding=p) for p in ("max_length", "longest"))
    rows = range(2)
    assert torch.equal(long["end"], short["end"])
    a, b = long["prompt_embeds"][rows, long["end"]], short["prompt_embeds"][rows, short["end"]]
    assert torch.allclose(a, b, atol=1e-5)


def test_points_and_directions_of_another_model_are_refused(tiny: Model) -> None:
    from dataclasses import replace

    point = replace(tiny.point("a dog"), model="another")
    with pytest.raises(AstrogateError, match="another model"):
        tiny.denoise([point], RECIPE)
    direction = Direction({"end": torch.zeros(32)}, "another", "fat")
    with pytest.raises(AstrogateError, match="fit it again"):
        direction.at(tiny.point("a dog"))
    with pytest.raises(AstrogateError, match="no word 'zebra'"):
        replace(direction, model=tiny.fingerprint).at(tiny.point("a dog"), on="zebra")


def test_prompts_are_checked(tiny: Model) -> None:
    with pytest.raises(AstrogateError, match="empty"):
        tiny.point("  ")
    with pytest.warns(AstrogateWarning, match=r"too long: 'horse horse horse' was cut off"):
        tiny.point("dog " * 14 + "horse horse horse")


def test_words_that_become_no_token_are_refused(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a tokenizer that drops what it does not know."""
    point, whole = tiny.point("a dog"), type(tiny).segments
    monkeypatch.setattr(
        type(tiny), "segments", lambda self, text: (Segment(0, 1, 1, 16),) if text == "~" else whole(self, text)
    )
    for call in (
        lambda: contrast(tiny, "~", "fat"),
        lambda: contrast(tiny, "fat", "~"),
        lambda: style(tiny, point, "~"),
        lambda: toward(tiny, "~"),
    ):
        with pytest.raises(AstrogateError, match="'~' becomes no token"):
            call()


def test_unknown_models_are_refused() -> None:
    with pytest.raises(AstrogateError, match="unknown model 'nothing-here'"):
        load("nothing-here")
    with pytest.raises(AstrogateError, match="local cache"):
        load("nobody/nothing", offline=True)
    with pytest.raises(AstrogateError, match="dtype"):
        load("menagerie", dtype="int8")
    for name in ("x" * 300, "a\0b"):
        with pytest.raises(AstrogateError, match="unknown model"):
            load(name)


@pytest.mark.parametrize("name", ["None.py", "unet/diffusers.py", "text_encoder/transformers.py"])
def test_code_that_a_library_looks_for_is_refused(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / name).write_bytes(b"")
    with pytest.raises(AstrogateError, match="code in a model folder"):
        load(str(folder))


def test_broken_folders_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"cut off")
    with pytest.raises(AstrogateError, match="no safetensors file"):
        load(str(folder))
    shutil.rmtree(folder)
    shutil.copytree(tiny_folder, folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": "AudioLDMPipeline"}))
    with pytest.raises(AstrogateError, match="AudioLDMPipeline"):
        load(str(folder))
    (folder / "model_index.json").unlink()
    with pytest.raises(AstrogateError, match=r"no model_index\.json"):
        load(str(folder))


@pytest.mark.parametrize("words", ['["a", "do', '{"a": 1}', "[1, 2]"])
def test_a_broken_language_is_refused(tiny_folder: Path, tmp_path: Path, words: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    (folder / "language.json").write_text(words)
    with pytest.raises(AstrogateError, match=r"language\.json is .*: restore it"):
        load(str(folder))


def test_an_empty_tokenizer_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    """transformers builds a tokenizer of two tokens from nothing, without an error."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    with pytest.raises(AstrogateError):
        load(str(folder))


def test_module_by_path(tiny: Model) -> None:
    assert tiny.module("unet.mid_block") is tiny.module("unet").mid_block
    with pytest.raises(AstrogateError, match="no module"):
        tiny.module("unet.nothing")


def test_schedulers_by_name(tiny: Model) -> None:
    points = [tiny.point("a dog", seed=1)]
    for name in ("DPMSolverMultistep", "HeunDiscreteScheduler", "EulerDiscrete"):
        assert list(render(tiny, points, recipe=Recipe(num_inference_steps=3, scheduler=name)))
    with pytest.raises(AstrogateError, match="'Wishful' is not one that this model draws by"):
        list(render(tiny, points, recipe=Recipe(scheduler="Wishful")))


def test_stochastic_samplers_draw_a_points_own_noise(tiny: Model, tiny_folder: Path) -> None:
    """As plain diffusers does with that seed, whatever else is in the batch."""
    from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline

    recipe = Recipe(num_inference_steps=4, scheduler="EulerAncestralDiscrete")
    points = [tiny.point("a dog", seed=s) for s in (1, 2)]
    both = [np.asarray(frame.image, int) for frame in render(tiny, points, recipe=recipe)]
    alone = np.asarray(next(render(tiny, points[1], recipe=recipe)).image, int)
    assert np.abs(both[1] - alone).max() <= 1
    pipe = StableDiffusionPipeline.from_pretrained(tiny_folder, torch_dtype=torch.float32, safety_checker=None)
    pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
    generator = torch.Generator("cpu").manual_seed(2)
    theirs = pipe("a dog", num_inference_steps=4, guidance_scale=4.0, generator=generator).images[0]
    assert np.array_equal(alone, np.asarray(theirs))


def test_second_order_samplers_keep_to_the_window(tiny: Model) -> None:
    """Heun calls the denoiser twice a step; a window of the first half still ends half-way."""
    point = tiny.point("a dog", seed=1)
    vector = torch.ones_like(point.tensors["prompt_embeds"])
    moved: list[bool] = []
    handle = tiny.module("unet").register_forward_hook(
        lambda m, a, k, o: moved.append(bool((k["encoder_hidden_states"][1] != point.tensors["prompt_embeds"]).any())),
        with_kwargs=True,
    )
    try:
        recipe = Recipe(num_inference_steps=4, scheduler="HeunDiscrete")
        tiny.denoise([point.apply(edit_of(Steer({"prompt_embeds": vector}, 1.0, (0.0, 0.5))))], recipe)
    finally:
        handle.remove()
    assert moved == sorted(moved, reverse=True)
    assert moved[0]
    assert not moved[-1]


def test_reduced_precision_is_close(tiny: Model) -> None:
    points = [tiny.point("a dog", seed=1)]
    full, half = (to_tensor(render(tiny, points, recipe=Recipe(4, dtype=d))) for d in ("float32", "bfloat16"))
    assert 0 < (full - half).abs().mean() < 0.05


def test_no_warnings_for_a_good_prompt(tiny: Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstrogateWarning)
        tiny.point("a painting of a dog")
