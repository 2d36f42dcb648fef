"""Held edits: what a hold of 1 and of 0 are, on every family, and no trace afterwards."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Steer
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.loading.load import load
from astrogate.models.sampler.holding import companions
from astrogate.models.stable_diffusion import StableDiffusion

RECIPE = Recipe(4, 3.0, true_cfg_scale=2.0)


def moved(point: Point, scale: float, window: tuple[float, float] = (0.0, 1.0)) -> Point:
    states = point.tensors["prompt_embeds"]
    generator = torch.Generator().manual_seed(3)
    vector = torch.randn(states.shape, generator=generator)
    return point.with_steers(Steer({"prompt_embeds": vector}, scale, window))


@contextmanager
def tiny_spy(layer: torch.nn.Module, spy: Callable[..., None]) -> Generator[None]:
    """Hear the calls of a layer as they reach it, after every other hook."""
    own = layer.forward

    def forward(*args: torch.Tensor, **kwargs: torch.Tensor) -> torch.Tensor:
        spy(layer, args, kwargs)
        return own(*args, **kwargs)

    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward


def test_a_hold_keeps_the_picture_nearer_and_leaves_no_trace(tiny_folders: Callable[[str], Path], family: str) -> None:
    model = load(str(tiny_folders(family)), device="cpu")
    base, other = model.point("a dog", seed=1), model.point("a cat", seed=2)
    start, steered = base, moved(base, 2.0, (0.0, 0.3))
    plain = model.denoise([start, steered, other], RECIPE)
    held = model.denoise([start, steered.held(1.0), other], RECIPE)
    assert held.shape == plain.shape
    assert torch.allclose(held[[0, 2]], plain[[0, 2]], atol=1e-5)
    assert not torch.allclose(held[1], plain[1], atol=1e-6)
    assert torch.allclose(model.denoise([start, steered.held(1e-9), other], RECIPE), plain, atol=1e-4)
    name = "unet" if hasattr(model, "pipe") and hasattr(model.pipe, "unet") else "transformer"
    assert not model.module(name)._forward_hooks
    assert not model.module(name)._forward_pre_hooks


def test_without_an_edit_a_hold_is_nothing(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    assert torch.equal(tiny.denoise([point.held(1.0)], RECIPE), tiny.denoise([point], RECIPE))
    assert torch.equal(tiny.denoise([moved(point, 0.0).held(1.0)], RECIPE), tiny.denoise([point], RECIPE))


def test_at_full_hold_an_edit_of_one_step_is_its_own_term_carried_along(tiny: Model) -> None:
    """With DDIM a change d of the noise at the first step ends as a known multiple of d, if nothing answers it."""
    point, recipe = tiny.point("a dog", seed=1), Recipe(4, 3.0, scheduler="DDIM")
    edited = moved(point, 1.0, (0.0, 0.25))
    assert isinstance(tiny, StableDiffusion)
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


def test_attention_to_the_unedited_picture_replaces_the_edited_rows_own(tiny: Model) -> None:
    """Where every layer is told to look at the base alone, the edited row sees the base's states, from its step on."""
    point = tiny.point("a dog", seed=1)
    edited, seen = moved(point, 2.0), []
    layer = next(module for name, module in tiny.module("unet").named_modules() if name.endswith(".attn1"))

    def spy(module: torch.nn.Module, args: tuple[torch.Tensor, ...], kwargs: dict[str, torch.Tensor]) -> None:
        states = kwargs["encoder_hidden_states"]
        seen.append(None if states is None else (states, args[0] if args else kwargs["hidden_states"]))

    free = tiny.denoise([point, edited.held(0.5)], RECIPE)
    with tiny_spy(layer, spy):
        looking = tiny.denoise([point, edited.held(0.5, 0.5)], RECIPE)
    assert torch.allclose(looking[0], free[0], atol=1e-5)
    assert not torch.allclose(looking[1], free[1], atol=1e-5)
    early, late = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert all(item is None for item in early)
    for states, own in late:
        assert torch.equal(states[[1, 4]], own[[0, 3]])
        assert torch.equal(states[[0, 2, 3, 5]], own[[0, 2, 3, 5]])
    assert not layer._forward_pre_hooks


def test_companions_share_a_start_and_take_one_that_is_there(tiny: Model) -> None:
    a, b = tiny.point("a dog", seed=1), tiny.point("a dog", seed=2)
    sources, held = companions([moved(a, 1.0).held(0.5), moved(a, 2.0).held(0.5), b, moved(b, 1.0).held(1.0)])
    assert sources == [0, 0, 1, 3]
    assert [(h.row, h.shadow, h.base) for h in held] == [(0, 5, 4), (1, 6, 4), (3, 7, 2)]
    assert companions([moved(a, 1.0), a]) == ([], [])


def test_a_hold_is_a_share(tiny: Model) -> None:
    with pytest.raises(AstrogateError, match="0 to 1"):
        replace(tiny.point("a dog"), hold=1.5)
    with pytest.raises(AstrogateError, match="attend"):
        tiny.point("a dog").held(1.0, -0.1)


def test_step_by_step_a_held_point_is_refused(tiny: Model) -> None:
    assert isinstance(tiny, StableDiffusion)
    point = tiny.point("a dog")
    with pytest.raises(AstrogateError, match="step by step"):
        tiny.epsilon([point.held(0.5)], point.tensors["latents"][None], 1)
