"""A scheduler of another class draws as the checkpoint's own settings say, and clips only where they do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import astrogate as ag
from astrogate.core.errors import AstrogateError
from astrogate.models.loading.load import load
from tests.checkpoints import made

SETTINGS: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "timestep_spacing": "leading",
    "steps_offset": 1,
}


def wrapped(folder: Path, kind: str, **more: Any) -> Any:
    import diffusers

    pipe: Any = load(str(folder), device="cpu").pipe  # type: ignore[attr-defined]
    pipe.scheduler = getattr(diffusers, kind)(**SETTINGS, **more)
    return ag.wrap(pipe)


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "DPMSolverMultistepScheduler", "PNDMScheduler"])
def test_ddim_of_a_checkpoint_that_never_clipped_does_not_clip(tiny_folder: Path, kind: str) -> None:
    from diffusers import DDIMScheduler

    model = wrapped(tiny_folder, kind)
    point, recipe = model.point("a dog", seed=1), ag.Recipe(10, scheduler="DDIM")
    drawn = model.denoise([point], recipe)
    pipe = model.pipe
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    plain = pipe(
        "a dog",
        num_inference_steps=10,
        guidance_scale=recipe.guidance_scale,
        output_type="latent",
        latents=point.tensors["latents"][None].clone(),
    ).images
    assert torch.equal(drawn, plain)


def test_noise_is_found_under_a_scheduler_that_never_clipped(tiny_folder: Path) -> None:
    model = wrapped(tiny_folder, "EulerDiscreteScheduler")
    levels = model.levels(10)
    assert len(levels) == 11
    assert levels == wrapped(tiny_folder, "DDIMScheduler", clip_sample=False).levels(10)


def test_a_checkpoint_that_clips_is_refused_where_noise_is_found(tiny_folder: Path) -> None:
    with pytest.raises(AstrogateError, match="clips its samples"):
        wrapped(tiny_folder, "DDIMScheduler", clip_sample=True).levels(10)


def said(act: Callable[[], object]) -> list[str]:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        act()
    return [str(warning.message) for warning in seen if issubclass(warning.category, ag.AstrogateWarning)]


@pytest.mark.parametrize("family", ["stable_diffusion", "sana", "pixart_sigma", "stable_diffusion_3"])
def test_every_scheduler_draws_or_is_refused(tiny_folders: Callable[[str], Path], family: str) -> None:
    model: Any = load(str(tiny_folders(family)), device="cpu")
    point, drawn = made(model, family), 0
    for kind in (kind.__name__ for kind in model.pipe.scheduler.compatibles):
        with suppress(AstrogateError):
            assert model.denoise([point], ag.Recipe(3, scheduler=kind)).isfinite().all()
            drawn += 1
    assert drawn
    with pytest.raises(AstrogateError, match="is not one that this model draws by"):
        model.denoise([point], ag.Recipe(3, scheduler="EDMEuler"))


@pytest.mark.parametrize(
    ("scheduler", "eta", "noisy"),
    [
        ("DDIM", 0.0, False),
        (None, 0.0, False),
        ("DPMSolverMultistep", 0.0, False),
        ("DDIM", 0.5, True),
        ("EulerAncestralDiscrete", 0.0, True),
        ("DDPM", 0.0, True),
    ],
)
def test_a_walk_whose_sampler_draws_noise_is_told_to_jump(
    tiny: Any, scheduler: str | None, eta: float, noisy: bool
) -> None:
    recipe, ends = ag.Recipe(2, scheduler=scheduler, eta=eta), [tiny.point("a cat", seed=seed) for seed in (1, 2)]
    state = torch.get_rng_state()
    between = list(ag.walk(*ends).sample(3))
    told = said(lambda: list(ag.render(tiny, between, recipe=recipe)))
    assert [("the picture jumps" in line) for line in told] == [True] * noisy
    assert torch.equal(torch.get_rng_state(), state)
    words = ag.walk(tiny.point("a cat", seed=1), tiny.point("a dog", seed=1)).sample(3)
    assert not said(lambda: list(ag.render(tiny, words, recipe=recipe)))
    assert not said(lambda: list(ag.render(tiny, ends, recipe=recipe)))
    elsewhere = between[1].with_noise(9)  # no longer on the way
    assert not said(lambda: list(ag.render(tiny, [elsewhere], recipe=recipe)))


def test_a_size_that_the_pipeline_does_not_take_is_refused(tiny_folders: Callable[[str], Path]) -> None:
    for family, side, unit in (("stable_diffusion", 12, 8), ("sana", 48, 32), ("pixart_sigma", 20, 8)):
        model: Any = load(str(tiny_folders(family)), device="cpu")
        with pytest.raises(AstrogateError, match=f"choose multiples of {unit}"):
            model.point("a dog", height=side, width=side)


def test_a_step_of_the_users_own_is_left_to_the_user(tiny_folder: Path) -> None:
    pipe: Any = load(str(tiny_folder), device="cpu").pipe  # type: ignore[attr-defined]
    own = pipe.scheduler.step
    pipe.scheduler.step = lambda out, *args, **more: own(out, *args, **more)
    model = ag.wrap(pipe)
    way = ag.walk(*(model.point("a cat", seed=seed) for seed in (1, 2))).sample(3)
    assert len(list(ag.render(model, way, recipe=ag.Recipe(2)))) == 3
