"""A denoiser's own training loss, with gradients to the text states (Ho et al. 2020; Salimans & Ho 2022).

loss = mean |f(x_t, t, states) - y|^2,   x_t = sqrt(a_t) x + sqrt(1 - a_t) n
y    = n, or v = sqrt(a_t) n - sqrt(1 - a_t) x for models that predict v
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.models.sampler.loop import precision

#: The side of latents up to which plain attention pays: 1,024 places.
_SMALL = 32


def timesteps(model: Model) -> int:
    """How many steps of noise there are.

    Raises AstrogateError for models that are no Stable Diffusion 1, 2 or XL, or predict neither noise nor v.
    """
    pipe: Any = getattr(model, "pipe", None)
    if getattr(pipe, "unet", None) is None or not hasattr(pipe.scheduler, "alphas_cumprod"):
        raise AstrogateError(f"{model.name} has no loss of this kind", "use Stable Diffusion 1, 2 or XL")
    _predicts_v(pipe)
    return len(pipe.scheduler.alphas_cumprod)


@torch.no_grad()
def moments(model: Model, pictures: Tensor, *, batch: int = 8) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the latents [n, c, h, w] of pictures [n, 3, H, W] in [0, 1], on the model's device."""
    pipe = _pipe(model)
    vae, device = pipe.vae, pipe._execution_device
    shift, factor = getattr(vae.config, "shift_factor", None) or 0.0, vae.config.scaling_factor
    found: list[tuple[Tensor, Tensor]] = []
    for part in pictures.split(batch):
        posterior = vae.encode((2 * part - 1).to(device, vae.dtype)).latent_dist
        found.append(((posterior.mean.float() - shift) * factor, posterior.std.float() * factor))
    means, deviations = zip(*found, strict=True)
    return torch.cat(means), torch.cat(deviations)


def denoising_loss(
    model: Model, states: Mapping[str, Tensor], latents: Tensor, noise: Tensor, t: Tensor, *, dtype: str | None = None
) -> Tensor:
    """The loss [n] of latents and noise [n, c, h, w] at timesteps [n], under one text's states or n of them."""
    pipe = _pipe(model)
    unet, device = pipe.unet, pipe._execution_device
    latents, noise, t = latents.to(device), noise.to(device), t.to(device)
    a = pipe.scheduler.alphas_cumprod.to(device)[t].float()[:, None, None, None]
    noisy = a.sqrt() * latents + (1 - a).sqrt() * noise
    wide = {space: value.to(device).expand(len(latents), *value.shape[1:]) for space, value in states.items()}
    added = _added(pipe, wide, latents) if "pooled_prompt_embeds" in wide else None
    with precision(dtype, unet.dtype, device.type):
        context = wide["prompt_embeds"].to(unet.dtype)
        out = unet(noisy.to(unet.dtype), t, encoder_hidden_states=context, added_cond_kwargs=added).sample.float()
    goal = a.sqrt() * noise - (1 - a).sqrt() * latents if _predicts_v(pipe) else noise
    return (out - goal).square().mean((1, 2, 3))


def loss_scale(model: Model) -> float:
    """What to multiply the loss by, so that its gradient is not lost in a denoiser of float16."""
    pipe = _pipe(model)
    return 4096.0 if pipe.unet.dtype == torch.float16 else 1.0


def _pipe(model: Any) -> Any:
    """The diffusers pipeline of an adapter that `timesteps` takes."""
    return model.pipe


def _predicts_v(pipe: Any) -> bool:
    kind = pipe.scheduler.config.prediction_type
    if kind not in ("epsilon", "v_prediction"):
        raise AstrogateError(f"a model that predicts {kind!r}", "use one that predicts epsilon or v")
    return kind == "v_prediction"


def _added(pipe: Any, states: Mapping[str, Tensor], latents: Tensor) -> dict[str, Tensor]:
    """What SDXL reads beside the text states: the pooled text, and sizes and crop."""
    height, width = (side * pipe.vae_scale_factor for side in latents.shape[-2:])
    pooled = states["pooled_prompt_embeds"].to(pipe.unet.dtype)
    ids = pooled.new_tensor([height, width, 0, 0, height, width])
    return {"text_embeds": pooled, "time_ids": ids.expand(len(latents), -1)}


@contextmanager
def still(model: Model) -> Generator[None]:
    """While open, no weight of the model takes a gradient; the model is left as it was.

    On processors the attention of small latents is plain, whose gradient is faster; that of large ones would not fit.
    """
    from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0

    pipe = _pipe(model)
    modules = [value for value in pipe.components.values() if isinstance(value, nn.Module)]
    moving = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    before = pipe.unet.attn_processors
    small = pipe._execution_device.type == "cpu" and int(pipe.unet.config.sample_size) <= _SMALL
    plain = small and all(type(p) is AttnProcessor2_0 for p in before.values())
    for parameter in moving:
        parameter.requires_grad_(False)
    if plain:
        pipe.unet.set_attn_processor(AttnProcessor())
    try:
        yield
    finally:
        for parameter in moving:
            parameter.requires_grad_(True)
        if plain:
            pipe.unet.set_attn_processor(dict(before))
