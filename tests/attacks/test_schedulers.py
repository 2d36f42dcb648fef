"""A scheduler of another class draws as the checkpoint's own settings say, and clips only where they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import astrogate as ag
from astrogate.core.errors import AstrogateError
from astrogate.models.loading.load import load

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
