"""Laws of guides, on every family: the term is what it says, where it says, when it says, and leaves no trace."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Parts
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.guidance import MOMENTUM, guide, toward
from astrogate.methods.edit.style import style
from tests.checkpoints import FAMILIES, guided, halved, in_turn, made, row, steered, unguided

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


def plain(family: str) -> Recipe:
    """A recipe that does not guide."""
    return replace(PLAIN, **unguided(family))  # type: ignore[arg-type]


def by_negative(family: str) -> Recipe:
    return replace(PLAIN, **guided(family, 3.0))  # type: ignore[arg-type]


def of_negative(point: Point) -> Point:
    """The point of a point's negative prompt, as that is encoded."""
    tensors = point.tensors
    return replace(point, tensors={name: tensors.get(f"negative_{name}", value) for name, value in tensors.items()})


def test_a_whole_guide_without_guidance_is_the_edit_itself(model: Model, family: str) -> None:
    """eps + 1 (eps(edit) - eps) = eps(edit), at every step."""
    point = made(model, family)
    edit, free = steered(model, point), plain(family)
    by_guide = model.denoise([point.apply(guide(point, edit, **WHOLE))], free)
    assert torch.allclose(by_guide, model.denoise([point.apply(edit)], free), atol=1e-4)
    assert not torch.allclose(by_guide, model.denoise([point], free), atol=1e-3)


@pytest.mark.parametrize("quantile", [0.0, 0.7])
def test_the_term_is_added_to_the_guided_prediction(model: Model, family: str, quantile: float) -> None:
    """In a batch of two with one guided; the other row stays as it is."""
    point, recipe = made(model, family), by_negative(family)
    edit = steered(model, point)
    base = predictions(model, [point, point], recipe)[0]
    how, negative = row(family).guidance, of_negative(point)
    own, edited, free = (predictions(model, [p], plain(family))[0][0] for p in (point, point.apply(edit), negative))
    term = edited - own
    size = term.abs().mean(1 if term.ndim == 2 else 0, keepdim=True)
    kept = size >= torch.quantile(size, quantile)
    assert abs(float(kept.float().mean()) - (1 - quantile)) < 0.05
    by = guide(point, edit, quantile=quantile, window=(0.0, 1.0))
    moved = predictions(model, [point, point.apply(by, 2.0)], recipe)[0]
    assert torch.allclose(moved[0], base[0], atol=1e-5)
    if how.rescaled:
        wanted, length = free + 3 * (own - free) + 2 * kept * term, own + 2 * kept * term
        wanted = wanted * length.norm(dim=-1, keepdim=True) / wanted.norm(dim=-1, keepdim=True)
        assert torch.allclose(moved[1], wanted, atol=1e-4)
        return
    assert torch.allclose(moved[1], base[1] + 2 * kept * term, atol=1e-4)


@pytest.mark.filterwarnings("ignore:the negative prompt:astrogate.core.errors.AstrogateWarning")
@pytest.mark.parametrize("family", [family for family in FAMILIES if halved(family) and not in_turn(family)])
def test_toward_measures_against_the_negative_half(model: Model, family: str) -> None:
    point, recipe = made(model, family, negative="a sad cat"), by_negative(family)
    base = predictions(model, [point], recipe)[0]
    points = [made(model, family, "a cat"), of_negative(point)]
    edit, away = (predictions(model, [p], plain(family))[0] for p in points)
    moved = predictions(model, [point.apply(toward(model, "a cat", **WHOLE), 1.5)], recipe)[0]
    assert torch.allclose(moved, base + 1.5 * (edit - away), atol=1e-4)
    with pytest.raises(AstrogateError, match="no negative half"):
        model.denoise([made(model, family).apply(toward(model, "a cat", **WHOLE))], plain(family))


@pytest.mark.parametrize("momentum", [(0.0, 0.0), MOMENTUM])
def test_segas_own_term_is_that_of_diffusers(tiny: Any, momentum: tuple[float, float]) -> None:
    from diffusers.pipelines.deprecated.semantic_stable_diffusion.pipeline_semantic_stable_diffusion import (
        SemanticStableDiffusionPipeline,
    )

    point, recipe = tiny.point("a painting of a dog", seed=3), Recipe(10)
    parts: Any = {
        name: tiny.pipe.components[name] for name in ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    }
    others: Any = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipe = SemanticStableDiffusionPipeline(**parts, **others)
    pipe.set_progress_bar_config(disable=True)
    theirs = pipe(
        "a painting of a dog",
        editing_prompt=["a cat"],
        num_inference_steps=10,
        guidance_scale=recipe.guidance_scale,
        latents=point.tensors["latents"][None].clone(),
        edit_guidance_scale=3.0,
        edit_warmup_steps=2,
        edit_threshold=0.9,
        edit_momentum_scale=momentum[0],
        edit_mom_beta=momentum[1],
        output_type="latent",
    ).images
    edit = toward(tiny, "a cat", mask="channels", momentum=momentum)
    ours = tiny.denoise([point, point.apply(edit, 3.0)], recipe)
    assert torch.allclose(ours[1], theirs[0], atol=1e-4)
    assert not torch.allclose(ours[0], theirs[0], atol=1e-2)
    assert torch.allclose(tiny.denoise([point.apply(edit, 3.0)], recipe), theirs, atol=1e-4)


def test_momentum_needs_a_whole_sampling_and_two_shares(tiny: Any) -> None:
    point = tiny.point("a dog").apply(toward(tiny, "a cat", momentum=MOMENTUM))
    with pytest.raises(AstrogateError, match="needs a whole sampling"):
        tiny.epsilon([point], point.tensors["latents"][None], 500, guidance_scale=4.0, u=0.5)
    for bad in ((-0.1, 0.4), (0.1, 2.0), (float("nan"), 0.4)):
        with pytest.raises(AstrogateError, match="momentum"):
            toward(tiny, "a cat", momentum=bad)
    with pytest.raises(AstrogateError, match="mask 'rows' is unknown"):
        toward(tiny, "a cat", mask="rows")  # type: ignore[arg-type]


def test_a_half_that_is_not_there_is_refused_before_the_sampling(model: Model, family: str) -> None:
    point, called = made(model, family), []
    handle = model.denoiser.register_forward_pre_hook(lambda module, args: called.append(1))
    bad = point.apply(toward(model, "a cat", **WHOLE))
    try:
        for recipe in (plain(family), *([by_negative(family)] if in_turn(family) else [])):
            with pytest.raises(AstrogateError, match="no negative half to measure against"):
                model.denoise([bad], recipe)
    finally:
        handle.remove()
    assert not called


def test_a_guide_keeps_to_its_window_and_adds_one_row(model: Model, family: str) -> None:
    point, recipe = made(model, family), replace(by_negative(family), num_inference_steps=4)
    rows: list[int] = []
    handle = model.denoiser.register_forward_hook(lambda m, a, o: rows.append(len(o[0])))
    try:
        model.denoise([point.apply(guide(point, steered(model, point), window=(0.25, 0.75)))], recipe)
    finally:
        handle.remove()
    alone = [1, 2, 2, 1]
    assert rows == ([1, 1, 2, 1, 2, 1, 1, 1] if in_turn(family) else [n + halved(family) for n in alone])
    module = model.denoiser
    assert not module._forward_pre_hooks
    assert not module._forward_hooks


def test_a_guide_of_scale_zero_changes_nothing(model: Model, family: str) -> None:
    point = made(model, family)
    by = guide(point, steered(model, point), **WHOLE)
    nothing = Edit(Parts(guides=tuple(part.scaled(0.0) for part in by.above.guides)))
    plain = model.denoise([point], Recipe(3))
    for still in (point.apply(by, 0.0), point.apply(nothing)):
        assert torch.equal(model.denoise([still], Recipe(3)), plain)


def test_guides_go_with_steers(model: Model, family: str) -> None:
    """A guide's edit starts from the row that other steers have moved."""
    point = made(model, family)
    edit = steered(model, point)
    both = point.apply(edit).apply(guide(point, edit, **WHOLE))
    twice, free = point.apply(edit, 2.0), plain(family)
    assert torch.allclose(model.denoise([both], free), model.denoise([twice], free), atol=1e-3)


def test_a_guide_moves_by_all_of_the_other_edit_at_its_scale(tiny: Model) -> None:
    """Whatever the rule by which it moves, its half and its window."""
    point = tiny.point("a photo of a happy dog", seed=1)
    turned = style(tiny, point, "happy", half="negative", window=(0.5, 1.0))
    by = guide(point, turned, 0.4, **WHOLE)
    whole = point.apply(style(tiny, point, "happy"), 0.4)
    assert torch.allclose(tiny.denoise([point.apply(by)], PLAIN), tiny.denoise([whole], PLAIN), atol=1e-4)
    twice = steered(tiny, point)
    twice = replace(twice, above=Parts((*twice.above.steers, *twice.above.steers)))
    both = tiny.denoise([point.apply(guide(point, twice, -1.0, **WHOLE))], PLAIN)
    assert torch.allclose(both, tiny.denoise([point.apply(twice, -1.0)], PLAIN), atol=1e-4)
    assert (by.model, by.segments, by.range) == (point.model, point.segments, (0.0, 4.0))
    assert toward(tiny, "a cat").segments is None


def test_bad_guides_are_refused(tiny: Model) -> None:
    point = tiny.point("a dog")
    with pytest.raises(AstrogateError, match="moves nothing at 0"):
        guide(point, steered(tiny, point), 0.0)
    with pytest.raises(AstrogateError, match="moves nothing at 1"):
        guide(point, toward(tiny, "a cat"))
    with pytest.raises(AstrogateError, match="another prompt"):
        guide(point, steered(tiny, tiny.point("a fat dog")))
    with pytest.raises(AstrogateError, match="empty"):
        toward(tiny, " ")
    with pytest.raises(AstrogateError, match="quantile"):
        toward(tiny, "a cat", quantile=1.0)
    with pytest.raises(AstrogateError, match="no space"):
        tiny.denoise([point.apply(Edit(Parts(guides=(Guide({"image_embeds": torch.zeros(3)}),))))], PLAIN)
