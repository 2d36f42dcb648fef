"""A denoiser's own training loss, with gradients to the text states (Ho et al. 2020; Salimans & Ho 2022).

loss = mean |f(x_t, t, states) - y|^2,   x_t = sqrt(a_t) x + sqrt(1 - a_t) n
y    = n, or v = sqrt(a_t) n - sqrt(1 - a_t) x for models that predict v
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from astrogate.core.protocols import Model
from astrogate.core.state import usual
from astrogate.models import identity
from astrogate.models.adapter import PipelineModel
from astrogate.models.registry import require
from astrogate.models.sampler.loop import precision
from astrogate.models.sampler.windows import own_side

#: The side of latents up to which plain attention pays: 1,024 places.
_SMALL = 32


def with_loss(model: Model) -> PipelineModel:
    """The model, which must have such a loss.

    Raises AstrogateError for models that are no Stable Diffusion 1, 2 or XL, or predict neither noise nor v.
    """
    require(model, "loss")
    assert isinstance(model, PipelineModel)
    _ = model.predicts_v
    return model


def timesteps(model: Model) -> int:
    """How many steps of noise there are. Raises AstrogateError as `with_loss` does."""
    trained = with_loss(model)
    with trained.lock:
        return len(trained.pipe.scheduler.alphas_cumprod)


@usual()
@torch.no_grad()
def moments(model: Model, pictures: Tensor, *, batch_size: int = 8) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the latents [n, c, h, w] of pictures [n, 3, H, W] in [0, 1], on the model's device."""
    trained = with_loss(model)
    coder: Any = trained.codec  # of those with a loss, an AutoencoderKL's
    found = [coder.moments(part.to(trained.device)) for part in pictures.split(batch_size)]
    means, deviations = zip(*found, strict=True)
    return torch.cat(means), torch.cat(deviations)


def denoising_loss(
    model: Model, states: Mapping[str, Tensor], latents: Tensor, noise: Tensor, t: Tensor, *, dtype: str | None = None
) -> Tensor:
    """The loss [n] of latents and noise [n, c, h, w] at timesteps [n], under one text's states or n of them."""
    trained = with_loss(model)
    unet = trained.denoiser
    latents, noise, t = (tensor.to(trained.device) for tensor in (latents, noise, t))
    with trained.lock:
        alphas, predicts_v = trained.pipe.scheduler.alphas_cumprod, trained.predicts_v
    a = alphas.to(trained.device)[t].float()[:, None, None, None]
    noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
    wide = {space: value.to(trained.device).expand(len(latents), *value.shape[1:]) for space, value in states.items()}
    with precision(dtype, unet.dtype, trained.device.type):
        out = unet(noisy.to(unet.dtype), t, **trained.conditions(wide, latents)).sample.float()
    goal = a.sqrt() * noise - (1 - a).sqrt() * latents if predicts_v else noise
    return (out - goal).square().mean((1, 2, 3))


def loss_scale(model: Model) -> float:
    """What to multiply the loss by, so that its gradient is not lost in a denoiser of float16."""
    return 4096.0 if with_loss(model).denoiser.dtype == torch.float16 else 1.0


@contextmanager
def still(model: Model) -> Generator[None]:
    """While open, no weight of the model takes a gradient, and no other thread works with it; it is left as it was.

    On processors the attention of small latents is plain, whose gradient is faster; that of large ones would not fit.
    """
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    trained = with_loss(model)
    unet = trained.denoiser
    with trained.lock:
        parts = identity.modules(trained.pipe).values()
        moving = [parameter for module in parts for parameter in module.parameters() if parameter.requires_grad]
        before = unet.attn_processors
        small = trained.device.type == "cpu" and 0 < own_side(unet) <= _SMALL
        plain = small and all(type(processor) is AttnProcessor2_0 for processor in before.values())
        for parameter in moving:
            parameter.requires_grad_(False)
        if plain:
            unet.set_attn_processor(AttnProcessor())
        try:
            yield
        finally:
            for parameter in moving:
                parameter.requires_grad_(True)
            if plain:
                unet.set_attn_processor(dict(before))
