"""Frames -> larger frames, by a stack's own upsamplers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from astrogate.core.protocols import Model
from astrogate.core.recipe import Frame
from astrogate.models.registry import require
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.pixels import to_images, to_tensor


def upscale(model: Model, frames: Iterable[Frame], *, num_inference_steps: int | None = None) -> Iterator[Frame]:
    """The frames with larger pictures, one after the other; each draws its noise by its point's seed.

    `num_inference_steps` None is the upsampler's own number. Raises AbilityError for a model without upsampler.
    """
    require(model, "upscale")
    assert isinstance(model, UnCLIP)
    return (_larger(model, frame, num_inference_steps) for frame in frames)


def _larger(model: UnCLIP, frame: Frame, num_inference_steps: int | None) -> Frame:
    large = model.upscale(to_tensor([frame]), seeds=[frame.point.seed], num_inference_steps=num_inference_steps)
    return replace(frame, image=to_images(large)[0])
