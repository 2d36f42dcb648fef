"""Laws of every family's adapter: plain diffusers to the bit without steers; steers act where they say; no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from astrogate.core.direction import Direction, place
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Half, Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.loading.load import FAMILIES, load
from astrogate.rendering.render import render, to_tensor
from tests.checkpoints import PROMPT, SIZE, denoiser, made, steered

NEGATIVE = "a sad cat"
Folders = Callable[[str], Path]


def plain(folder: Path, family: str, n: int, dtype: torch.dtype = torch.float32, **options: Any) -> list[Any]:
    """What diffusers itself draws for seeds 5, 6, ..."""
    import diffusers

    kind = next(k for k in FAMILIES if k == diffusers.DiffusionPipeline.load_config(folder)["_class_name"])
    pipe = getattr(diffusers, kind).from_pretrained(folder, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    images = pipe(
        [PROMPT] * n,
        num_inference_steps=3,
        guidance_scale=4.0,
        height=SIZE[family],
        width=SIZE[family],
        generator=[torch.Generator("cpu").manual_seed(5 + i) for i in range(n)],
        **options,
    ).images
    return [np.asarray(image) for image in images]


def test_bit_identical_to_diffusers(tiny_folders: Folders, model: Model, family: str) -> None:
    """In a batch, without a negative prompt, and with a steer of scale 0."""
    points = [made(model, family, seed=5 + i) for i in range(2)]
    direction = Direction({"end": torch.ones(points[0].tensors["prompt_embeds"].shape[-1])}, model.fingerprint)
    points = [point.with_steers(place(direction, point, scale=0.0)) for point in points]
    for frame, expected in zip(
        render(model, points, recipe=Recipe(3)), plain(tiny_folders(family), family, 2), strict=True
    ):
        assert np.array_equal(np.asarray(frame.image), expected)


def test_bit_identical_with_a_negative_prompt(tiny_folders: Folders, model: Model, family: str) -> None:
    guided = {"true_cfg_scale": 2.0} if family == "flux" else {}
    expected = plain(tiny_folders(family), family, 1, negative_prompt=[NEGATIVE], **guided)
    ours, other = (
        np.asarray(next(render(model, made(model, family, negative=n), recipe=Recipe(3, **guided))).image)
        for n in (NEGATIVE, "")
    )
    assert np.array_equal(ours, expected[0])
    assert not np.array_equal(ours, other)


@pytest.mark.parametrize("family", ["sdxl", "sd3", "flux"])
def test_bit_identical_in_half_precision(tiny_folders: Folders, family: str) -> None:
    """SDXL's VAE overflows in float16 and is raised to float32, as diffusers does."""
    dtype = {"sdxl": "float16"}.get(family, "bfloat16")
    model = load(str(tiny_folders(family)), device="cpu", dtype=dtype)
    ours = next(render(model, made(model, family), recipe=Recipe(3)))
    expected = plain(tiny_folders(family), family, 1, getattr(torch, dtype))
    assert np.array_equal(np.asarray(ours.image), expected[0])


def test_points_hold_what_the_spaces_say(model: Model, family: str) -> None:
    point = made(model, family)
    assert set(point.tensors) == model.spaces
    encoded = model.encode([PROMPT, "a cat"])
    for space in model.spaces & set(encoded):
        assert torch.allclose(encoded[space][0], point.tensors[space], atol=1e-5)
    assert encoded["end"].tolist() == [point.segments[0].end, model.segments("a cat")[0].end]


def test_segments_cover_the_sequence(model: Model, family: str) -> None:
    point = made(model, family)
    stops = [0, *(segment.stop for segment in point.segments)]
    assert [segment.start for segment in point.segments] == stops[:-1]
    assert stops[-1] == len(point.tensors["prompt_embeds"])
    assert [segment.name for segment in point.segments] == ["", "t5"][: len(point.segments)]
    for segment in point.segments:
        low, high = segment.find("dog")
        assert segment.start < low < high == segment.end


def watched(model: Model, family: str, points: list[Point], recipe: Recipe) -> list[dict[str, torch.Tensor]]:
    """What the denoiser receives, call by call."""
    seen: list[dict[str, torch.Tensor]] = []

    def watch(module: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        added = kwargs.get("added_cond_kwargs") or {}
        pooled = added.get("text_embeds", kwargs.get("pooled_projections"))
        seen.append({"prompt_embeds": kwargs["encoder_hidden_states"].clone()})
        if pooled is not None:
            seen[-1]["pooled_prompt_embeds"] = pooled.clone()

    handle = denoiser(model, family).register_forward_hook(watch, with_kwargs=True)
    try:
        model.denoise(points, recipe)
    finally:
        handle.remove()
    return seen


@pytest.mark.parametrize("half", ["positive", "negative", "both"])
def test_a_steer_acts_on_its_half_row_and_window(model: Model, family: str, half: Half) -> None:
    """Two rows, the second steered, in the first half of four steps; text states and pooled text alike."""
    point = made(model, family)
    guided = {"true_cfg_scale": 2.0} if family == "flux" else {}
    batch = [point, point.with_steers(steered(model, point, family, half, window=(0.0, 0.5)))]
    seen = watched(model, family, batch, Recipe(4, **guided))
    if family == "flux":
        assert len(seen) == 8
        seen = [{s: torch.cat([seen[i + 1][s], seen[i][s]]) for s in seen[i]} for i in range(0, 8, 2)]
    assert len(seen) == 4
    moves = torch.tensor([0, 2.0 * (half != "positive"), 0, 2.0 * (half != "negative")])
    for step, states in enumerate(seen):
        for space, now in states.items():
            base = torch.stack([point.tensors[f"negative_{space}"]] * 2 + [point.tensors[space]] * 2)
            moved = (now - base).flatten(1).abs().amax(1)
            assert torch.allclose(moved, moves * (step < 2), atol=1e-4), (step, space)


def test_without_guidance_the_negative_half_is_absent(model: Model, family: str) -> None:
    point = made(model, family)
    recipe = Recipe(3, guidance_scale=1.0)
    base = model.denoise([point], recipe)
    moved = [model.denoise([point.with_steers(steered(model, point, family, h))], recipe) for h in ("negative", "both")]
    assert torch.equal(moved[0], base)
    assert not torch.equal(moved[1], base)


def test_hooks_leave_no_trace(model: Model, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = denoiser(model, family)
    point = made(model, family)
    point = point.with_steers(steered(model, point, family))
    before, forward = module.state_dict(), module.forward
    counts: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        counts.append(len(module._forward_pre_hooks))
        return forward(*args, **kwargs)

    monkeypatch.setattr(module, "forward", counted)
    model.denoise([point], Recipe(3))
    assert set(counts) == {1}
    assert not module._forward_pre_hooks
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_batch_size_hardly_changes_a_picture(model: Model, family: str) -> None:
    points = [made(model, family, seed=s) for s in range(3)]
    points[1] = points[1].with_steers(steered(model, points[1], family))
    pictures = [model.decode(torch.cat([model.denoise(b, Recipe(3)) for b in bs])) for bs in
                ([points], [[p] for p in points])]  # fmt: skip
    assert (pictures[0] - pictures[1]).abs().max() <= 1e-3


def test_a_direction_moves_each_role_of_each_segment(model: Model, family: str) -> None:
    point = made(model, family)
    width = point.tensors["prompt_embeds"].shape[-1]
    vectors = {"subject": torch.full((width,), 1.0), "end": torch.full((width,), 2.0)}
    if family == "sd3":
        vectors["t5.subject"] = torch.full((width,), 3.0)
    if "pooled_prompt_embeds" in model.spaces:
        vectors["pooled"] = torch.ones_like(point.tensors["pooled_prompt_embeds"])
    direction = Direction(vectors, model.fingerprint)
    moved = place(direction, point).vectors
    states, clip = moved["prompt_embeds"][:, 0], point.segments[0]
    assert states[: clip.first].eq(0).all()
    assert states[clip.first : clip.end].eq(1).all()
    assert states[clip.end : clip.stop].eq(2).all()
    if family == "sd3":
        t5 = point.segments[1]
        assert states[t5.first : t5.end].eq(3).all()
        assert states[t5.end : t5.stop].eq(0).all()
    assert ("pooled_prompt_embeds" in moved) == ("pooled" in vectors)
    word = place(direction, point, on="dog").vectors
    assert list(word) == ["prompt_embeds"]
    low, high = clip.find("dog")
    assert word["prompt_embeds"][: clip.stop, 0].nonzero().flatten().tolist() == list(range(low, high))
    assert not torch.equal(
        to_tensor(render(model, point.with_steers(place(direction, point)), recipe=Recipe(3))),
        to_tensor(render(model, point, recipe=Recipe(3))),
    )


def test_sizes_that_a_family_cannot_draw_are_refused(model: Model, family: str) -> None:
    with pytest.raises(AstrogateError, match="multiples of"):
        model.point(PROMPT, height=17, width=16)
    small, large = (made(model, family), model.point(PROMPT, height=2 * SIZE[family], width=SIZE[family]))
    with pytest.raises(AstrogateError, match="different sizes"):
        model.denoise([small, large], Recipe(2))


def test_long_prompts_are_cut_and_said_so(model: Model, family: str) -> None:
    prompt = "dog " * 600
    with pytest.warns(UserWarning, match="too long"):
        point = made(model, family, prompt)
    assert point.segments[0].end < point.segments[0].stop


def test_offloaded_models_draw_the_same(tiny_folders: Folders, model: Model, family: str) -> None:
    """On the CPU the hooks of offloading move nothing, but run."""
    offloaded = load(str(tiny_folders(family)), device="cpu", offload=True)
    point = made(offloaded, family)
    steer = steered(offloaded, point, family)
    for p in (point, point.with_steers(steer)):
        ours, theirs = (m.decode(m.denoise([p], Recipe(3))) for m in (offloaded, model))
        assert torch.allclose(ours, theirs, atol=1e-5)
    encoded = offloaded.encode([PROMPT])["prompt_embeds"]
    assert torch.allclose(encoded, model.encode([PROMPT])["prompt_embeds"], atol=1e-5)
