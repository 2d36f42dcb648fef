"""Held edits: what a hold of 1 and of 0 are, looking at the unedited picture, on every family, and no trace after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Parts, Steer
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.sampler.edits import companions, with_bases
from astrogate.models.sampler.hooks import looking
from astrogate.ops.ddim import step
from tests.checkpoints import guided, made

RECIPE = Recipe(4, 3.0)


def both_halves(family: str) -> Recipe:
    return replace(RECIPE, **guided(family, 2.0))  # type: ignore[arg-type]


def vector(point: Point) -> Tensor:
    return torch.randn(point.tensors["prompt_embeds"].shape, generator=torch.Generator().manual_seed(3))


def moved(point: Point, scale: float, window: tuple[float, float] = (0.0, 1.0)) -> Point:
    return point.apply(Edit(Parts((Steer({"prompt_embeds": vector(point)}, window=window),))), scale)


def hooks(model: Model) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.denoiser.modules())


def test_a_hold_acts_on_its_row_alone_and_leaves_no_trace(model: Model, family: str) -> None:
    start, other, recipe = made(model, family, seed=1), made(model, family, "a cat", seed=2), both_halves(family)
    steered = moved(start, 2.0, (0.0, 0.3))
    plain = model.denoise([start, steered, other], recipe)
    held = model.denoise([start, steered.held(1.0), other], recipe)
    assert held.shape == plain.shape
    assert torch.allclose(held[[0, 2]], plain[[0, 2]], atol=1e-5)
    assert not torch.allclose(held[1], plain[1], atol=1e-6)
    assert torch.allclose(model.denoise([start, steered.held(1e-9), other], recipe), plain, atol=1e-4)
    assert hooks(model) == 0


def test_without_an_edit_a_hold_is_nothing(model: Model, family: str) -> None:
    point, recipe = made(model, family, seed=1), both_halves(family)
    plain = model.denoise([point], recipe)
    assert torch.equal(model.denoise([point.held(1.0, 0.0)], recipe), plain)
    assert torch.equal(model.denoise([moved(point, 0.0).held(1.0, 0.0)], recipe), plain)


def test_looking_changes_the_picture_and_looking_at_itself_does_not(model: Model, family: str) -> None:
    """An edit that moves nothing looks at a picture that is its own."""
    point, recipe = made(model, family, seed=1), both_halves(family)
    edited = moved(point, 2.0)
    free = model.denoise([point, edited.held(0.5)], recipe)
    looking = model.denoise([point, edited.held(0.5, 0.5)], recipe)
    assert torch.allclose(looking[0], free[0], atol=1e-5)
    assert not torch.allclose(looking[1], free[1], atol=1e-4)
    nothing = Edit(Parts((Steer({"prompt_embeds": torch.zeros_like(vector(point))}),)))
    itself = model.denoise([point, point.apply(nothing).held(0.5, 0.0)], recipe)
    assert torch.allclose(itself, free[[0, 0]], atol=1e-5)
    assert hooks(model) == 0


def test_looking_needs_no_share(model: Model, family: str) -> None:
    point, recipe = made(model, family, seed=1), both_halves(family)
    edited = moved(point, 2.0)
    free, looking = (model.denoise([p], recipe) for p in (edited, edited.held(0.0, 0.5)))
    assert not torch.allclose(looking, free, atol=1e-4)
    assert torch.allclose(looking, model.denoise([edited.held(1e-9, 0.5)], recipe), atol=1e-4)
    assert torch.equal(model.denoise([edited.held(0.0)], recipe), free)


def test_looking_takes_the_pictures_keys_and_values_from_its_step_on(
    tiny: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first text there is nothing but the latents, which the shadow shares with the edited row."""
    point, seen = tiny.point("a dog", seed=1), []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        seen.append((query, key, value))
        return attend(query, key, value, **options)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    tiny.denoise([point, moved(point, 2.0).held(0.5, 0.5)], RECIPE)
    for call, (query, key, value) in enumerate(seen[:: len(seen) // 4]):
        own = 0 if call >= 2 else 2
        for states in (key, value):
            assert torch.equal(states[[1, 4]], states[[own, own + 3]])
        assert torch.equal(query[[1, 4]], query[[2, 5]])
        assert call == 0 or not torch.allclose(key[0], key[2], atol=1e-4)


@pytest.mark.parametrize("family", ["flux"])
def test_where_text_and_picture_are_one_sequence_the_text_keeps_its_own(model: Any, family: str) -> None:
    point, seen = made(model, family, seed=1), []
    layer = model.denoiser.single_transformer_blocks[0].attn
    handle = layer.norm_k.register_forward_pre_hook(lambda module, args: seen.append(args[0].clone()))
    try:
        model.denoise([point, moved(point, 2.0).held(0.5, 0.0)], Recipe(2))
    finally:
        handle.remove()
    text = len(point.tensors["prompt_embeds"])
    for keys in seen:
        assert torch.equal(keys[1, text:], keys[0, text:])
        assert not torch.allclose(keys[1, :text], keys[0, :text], atol=1e-3)
    assert not torch.allclose(seen[-1][2, text:], seen[-1][0, text:], atol=1e-5)


def test_the_layers_that_look_are_those_of_the_picture_alone(tiny: Model) -> None:
    """Of a U-Net those that see no text; of Stable Diffusion 3.5 both of a block."""
    from diffusers import SD3Transformer2DModel

    dual = SD3Transformer2DModel(
        num_layers=2, attention_head_dim=8, num_attention_heads=2, joint_attention_dim=16, caption_projection_dim=16,
        pooled_projection_dim=8, pos_embed_max_size=16, dual_attention_layers=(0,), qk_norm="rms_norm",
    )  # fmt: skip
    for denoiser, names in ((tiny.denoiser, {"attn1"}), (dual, {"attn", "attn2"})):
        with looking(denoiser, list):
            told = [name.split(".")[-2] for name, module in denoiser.named_modules() if module._forward_hooks]
        every = [name for name, _ in denoiser.named_modules() if name.split(".")[-1] in names]
        assert set(told) == names
        assert len(told) == 2 * len(every)


def test_at_full_hold_an_edit_of_one_step_is_its_own_term_carried_along(tiny: Any) -> None:
    """With DDIM a change d of the noise at the first step ends as a known multiple of d, if nothing answers it."""
    point, recipe = tiny.point("a dog", seed=1), Recipe(4, 3.0, scheduler="DDIM")
    edited = moved(point, 1.0, (0.0, 0.25))
    (t, a), (_, b), *_, (_, last) = tiny.levels(4)
    x = point.tensors["latents"][None]
    with torch.no_grad():
        after, before = (tiny.epsilon([p], x, t, guidance_scale=3.0) for p in (edited, point))
    factor = ((1 - b) ** 0.5 - (b * (1 - a) / a) ** 0.5) * (last / b) ** 0.5
    base = tiny.denoise([point], recipe)
    change = tiny.denoise([edited.held(1.0)], recipe) - base
    assert torch.allclose(change, factor * (after - before), atol=1e-4 * float(change.abs().max()))
    free = tiny.denoise([edited], recipe) - base
    assert not torch.allclose(free, factor * (after - before), atol=1e-3 * float(change.abs().max()))


@torch.no_grad()
def by_hand(model: Any, points: Sequence[Point], recipe: Recipe) -> Tensor:
    """DDIM by `epsilon`, with the unedited points that held ones need beside them."""
    every, levels = with_bases(points), model.levels(recipe.num_inference_steps)
    x = torch.stack([point.tensors["latents"] for point in every])
    for i, (t, a) in enumerate(levels[:-1]):
        eps = model.epsilon(every, x, t, guidance_scale=recipe.guidance_scale, u=i / recipe.num_inference_steps)
        x = step(x, eps, a, levels[i + 1][1])
    return x[: len(points)]


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_step_by_step_edits_act_as_in_the_pipeline(model: Any, family: str, guidance: float) -> None:
    start, other = (
        made(model, family, seed=1, negative="a cat" if guidance > 1 else ""),
        made(model, family, "a cat", seed=2),
    )
    guided = Edit(Parts(guides=(Guide({"prompt_embeds": vector(start)}, added=True, quantile=0.5),)))
    away = Edit(Parts(guides=(Guide({"prompt_embeds": vector(start)}, base="negative", window=(0.3, 1.0)),)))
    points = [
        moved(start, 1.0, (0.25, 0.75)).held(0.7),
        moved(start, 2.0).held(0.5, 0.5),
        start.apply(guided, 2.0).held(1.0),
        moved(other, -1.0).apply(guided),
        *([other.apply(away, 1.5)] if guidance > 1 else []),
    ]
    recipe = Recipe(4, guidance, scheduler="DDIM")
    assert torch.allclose(by_hand(model, points, recipe), model.denoise(points, recipe), atol=1e-4)
    with pytest.raises(AstrogateError, match="needs the unedited one beside it"):
        model.epsilon(points[:1], start.tensors["latents"][None], 1)


def test_companions_share_a_start_and_take_one_that_is_there(tiny: Model) -> None:
    a, b = tiny.point("a dog", seed=1), tiny.point("a dog", seed=2)
    sources, held = companions([moved(a, 1.0).held(0.5), moved(a, 2.0).held(0.5), b, moved(b, 1.0).held(1.0)])
    assert sources == [0, 0, 1, 3]
    assert [(h.row, h.shadow, h.base) for h in held] == [(0, 5, 4), (1, 6, 4), (3, 7, 2)]
    assert companions([moved(a, 1.0), a]) == ([], [])
    edited = moved(a, 1.0).held(0.5)
    assert [len(with_bases(points)) for points in ([edited, edited], [edited, a], [moved(a, 1.0)])] == [3, 2, 1]


def test_a_held_row_and_its_unedited_one_draw_the_same_noise(tiny: Model) -> None:
    """Points that share all but the seed of their sampler's noise have an unedited picture each."""
    first = tiny.point("a dog", seed=1)
    points = [moved(replace(first, seed=seed), 2.0).held(1.0) for seed in (1, 2)]
    recipe = Recipe(4, 3.0, scheduler="DDIM", eta=1.0)
    together = tiny.denoise(points, recipe)
    for latents, point in zip(together, points, strict=True):
        assert torch.allclose(latents, tiny.denoise([point], recipe)[0], atol=1e-4)
