"""Frames -> larger frames, by a stack's own upsamplers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from astrogate.core.recipe import Frame
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.pixels import to_images, to_tensor


def upscale(model: UnCLIP, frames: Iterable[Frame], *, num_inference_steps: int | None = None) -> Iterator[Frame]:
    """The frames with larger pictures, one after the other; each draws its noise by its point's seed.

    `num_inference_steps` None is the upsampler's own number. Raises AstrogateError for a model without upsampler.
    """
    for frame in frames:
        large = model.upscale(to_tensor([frame]), seeds=[frame.point.seed], num_inference_steps=num_inference_steps)
        yield replace(frame, image=to_images(large)[0])
