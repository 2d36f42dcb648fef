"""Laws of upscaling: each frame by its own seed; a model without upsampler is refused at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.registry import AbilityError
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.render import render
from astrogate.rendering.upscale import upscale


def test_frames_are_enlarged_by_their_seeds(stack: UnCLIP) -> None:
    z = torch.nn.functional.normalize(torch.ones(stack.stack.missing.shape), dim=-1)
    frames = list(render(stack, [stack.point_at(z, seed=seed) for seed in (1, 2)], recipe=Recipe(2, 1.0)))
    large = list(upscale(stack, frames, num_inference_steps=2))
    assert [frame.point for frame in large] == [frame.point for frame in frames]
    assert large[0].image.width > frames[0].image.width
    alone = next(upscale(stack, frames[1:], num_inference_steps=2))
    assert np.array_equal(np.asarray(alone.image), np.asarray(large[1].image))


def test_a_model_without_upsampler_is_refused_at_once(tiny: Model) -> None:
    with pytest.raises(AbilityError, match="can't enlarge pictures"):
        upscale(tiny, [])
