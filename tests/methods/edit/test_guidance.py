"""Laws of guides, on every family: the term is what it says, where it says, when it says, and leaves no trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Guide, Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.guidance import guide, toward
from tests.checkpoints import denoiser, made, steered

WHOLE: dict[str, Any] = {"quantile": 0.0, "window": (0.0, 1.0)}
PLAIN = Recipe(3, guidance_scale=1.0)


def predictions(model: Model, points: list[Point], recipe: Recipe) -> list[Tensor]:
    """What the scheduler receives, step by step: the guided prediction [n, ...]."""
    scheduler = model.pipe.scheduler  # type: ignore[attr-defined]
    step, seen = scheduler.step, []

    def watched(predicted: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(predicted.clone())
        return step(predicted, *args, **kwargs)

    scheduler.step = watched
    try:
        model.denoise(points, recipe)
    finally:
        del scheduler.step
    return seen


def guided(family: str) -> Recipe:
    return replace(PLAIN, true_cfg_scale=3.0) if family == "flux" else replace(PLAIN, guidance_scale=3.0)


def test_a_whole_guide_without_guidance_is_the_edit_itself(model: Model, family: str) -> None:
    """eps + 1 (eps(edit) - eps) = eps(edit), at every step."""
    point = made(model, family)
    steer = steered(model, point, family)
    by_guide = model.denoise([point.with_guides(guide(steer, **WHOLE))], PLAIN)
    assert torch.allclose(by_guide, model.denoise([point.with_steers(steer)], PLAIN), atol=1e-4)
    assert not torch.allclose(by_guide, model.denoise([point], PLAIN), atol=1e-3)


@pytest.mark.parametrize("quantile", [0.0, 0.7])
def test_the_term_is_added_to_the_guided_prediction(model: Model, family: str, quantile: float) -> None:
    """In a batch of two with one guided; the other row stays as it is."""
    point, recipe = made(model, family), guided(family)
    steer = steered(model, point, family)
    base = predictions(model, [point, point], recipe)[0]
    own, edit = (predictions(model, [p], PLAIN)[0][0] for p in (point, point.with_steers(steer)))
    term = edit - own
    size = term.abs().mean(1 if family == "flux" else 0, keepdim=True)
    kept = size >= torch.quantile(size, quantile)
    assert abs(float(kept.float().mean()) - (1 - quantile)) < 0.05
    moved = predictions(
        model, [point, point.with_guides(guide(steer, 2.0, quantile=quantile, window=(0.0, 1.0)))], recipe
    )[0]
    assert torch.allclose(moved[0], base[0], atol=1e-5)
    assert torch.allclose(moved[1], base[1] + 2 * kept * term, atol=1e-4)


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3"])
def test_toward_measures_against_the_negative_half(model: Model, family: str) -> None:
    point, recipe = made(model, family, negative="a sad cat"), guided(family)
    base = predictions(model, [point], recipe)[0]
    edit, unguided = (predictions(model, [made(model, family, prompt)], PLAIN)[0] for prompt in ("a cat", "a sad cat"))
    moved = predictions(model, [point.with_guides(toward(model, "a cat", 1.5, **WHOLE))], recipe)[0]
    assert torch.allclose(moved, base + 1.5 * (edit - unguided), atol=1e-4)
    with pytest.raises(AstrogateError, match="no negative half"):
        model.denoise([point.with_guides(toward(model, "a cat", **WHOLE))], PLAIN)


def test_a_guide_keeps_to_its_window_and_adds_one_row(model: Model, family: str) -> None:
    point, recipe = made(model, family), replace(guided(family), num_inference_steps=4)
    rows: list[int] = []
    handle = denoiser(model, family).register_forward_hook(lambda m, a, o: rows.append(o[0].shape[0]))
    try:
        model.denoise([point.with_guides(guide(steered(model, point, family), window=(0.25, 0.75)))], recipe)
    finally:
        handle.remove()
    assert rows == ([1, 1, 2, 1, 2, 1, 1, 1] if family == "flux" else [2, 3, 3, 2])
    module = denoiser(model, family)
    assert not module._forward_pre_hooks
    assert not module._forward_hooks


def test_a_guide_of_scale_zero_changes_nothing(model: Model, family: str) -> None:
    point = made(model, family)
    nothing = guide(steered(model, point, family), 0.0, **WHOLE)
    assert torch.equal(model.denoise([point.with_guides(nothing)], Recipe(3)), model.denoise([point], Recipe(3)))


def test_guides_go_with_steers(model: Model, family: str) -> None:
    """A guide's edit starts from the row that other steers have moved."""
    point = made(model, family)
    steer = steered(model, point, family)
    both = point.with_steers(steer).with_guides(guide(steer, **WHOLE))
    twice = point.with_steers(steer.scaled(2.0))
    assert torch.allclose(model.denoise([both], PLAIN), model.denoise([twice], PLAIN), atol=1e-3)


def test_bad_guides_are_refused(tiny: Model) -> None:
    point = tiny.point("a dog")
    with pytest.raises(AstrogateError, match="scale 0"):
        guide(steered(tiny, point, "sd").scaled(0.0))
    with pytest.raises(AstrogateError, match="empty"):
        toward(tiny, " ")
    with pytest.raises(AstrogateError, match="quantile"):
        Guide({}, 1.0, quantile=1.0)
    with pytest.raises(AstrogateError, match="no space"):
        tiny.denoise([point.with_guides(Guide({"image_embeds": torch.zeros(3)}))], PLAIN)
