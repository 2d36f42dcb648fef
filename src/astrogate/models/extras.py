"""Conditions beside the prompt: a ControlNet's picture, an IP-Adapter's (Zhang et al. 2023; Ye et al. 2023)."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.state import usual
from astrogate.models.registry import require
from astrogate.models.sampler.loop import adapted
from astrogate.ops.pixels import rgb, to_pictures


def with_control(model: Model, point: Point, image: Image.Image) -> Point:
    """This point with a control image (edges, pose, depth ...), resized to the picture's own size.

    Raises AstrogateError for a ControlNet whose images are of another size beside the latents.
    """
    require(model, "control")
    _check_strides(model)
    height, width = (side * model.factor for side in point.tensors["latents"].shape[-2:])
    fitted = rgb(image).resize((width, height), Image.Resampling.LANCZOS)
    return replace(point, extras={**point.extras, "image": to_pictures(fitted)})


def _check_strides(model: Model) -> None:
    """Raise AstrogateError where a ControlNet makes features of another size than the latents."""
    net: Any = getattr(model.pipe, "controlnet", None)  # type: ignore[attr-defined]
    entry: Any = getattr(net, "controlnet_cond_embedding", None)
    if entry is None:
        return
    factor = math.prod(layer.stride[0] for layer in entry.modules() if isinstance(layer, nn.Conv2d))
    if factor != model.factor:
        raise AstrogateError(
            f"a ControlNet for {factor} pixels a side of each latent, and {model.name} has {model.factor}",
            "use one that was trained for this model",
        )


@usual()
@torch.no_grad()
def with_image(model: Model, point: Point, image: Image.Image) -> Point:
    """This point with a picture for the model's IP-Adapter.

    Raises AstrogateError for a model without an IP-Adapter or its image encoder.
    """
    require(model, "ip_adapter")
    pipe: Any = model.pipe  # type: ignore[attr-defined]
    if getattr(pipe, "image_encoder", None) is None or not adapted(pipe):
        raise AstrogateError(f"{model.name} has no IP-Adapter", "load one with pipe.load_ip_adapter before `wrap`")
    halves = _halves(pipe, rgb(image), in_turn=model.family.guidance.layout == "in turn")  # type: ignore[attr-defined]
    return replace(point, extras={**point.extras, "ip_adapter_image_embeds": halves.cpu()})


def _halves(pipe: Any, image: Image.Image, *, in_turn: bool) -> Tensor:
    """What an IP-Adapter reads [2, ...]: of no picture, and of one. For halves in turn, no picture is a black one."""
    prepare = partial(pipe.prepare_ip_adapter_image_embeds, ip_adapter_image_embeds=None)
    options: dict[str, Any] = {"device": pipe._execution_device, "num_images_per_prompt": 1}
    if in_turn:
        black = Image.new("RGB", image.size)
        return torch.cat([prepare(picture, **options)[0] for picture in (black, image)])
    found = prepare(image, do_classifier_free_guidance=True, **options)
    return found if isinstance(found, Tensor) else found[0]
