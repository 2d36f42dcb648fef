"""What the adapters share: one batch of points through a diffusers pipeline's own sampler, and back to pictures.

The pipeline draws, so a picture without steers is bit-identical to its own; steers act through `hooks.steering`, and
the pipeline is left as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import generator, noise
from astrogate.models.sampler.guiding import guiding
from astrogate.models.sampler.holding import companions, holding, unedited
from astrogate.models.sampler.hooks import Sites, nearest_step, replacing, steering
from astrogate.models.sampler.windows import windows

#: What a LoRA or an IP-Adapter adds to a checkpoint's own weights.
_ADDED = ("lora_", "_ip.", "encoder_hid_proj.")
#: What changes a layer's work and is no weight: of a LoRA, and of FreeU.
_SETTINGS = ("scaling", "active_adapters", "disable_adapters", "s1", "s2", "b1", "b2")
_EMBEDS = "ip_adapter_image_embeds"


def fingerprint(pipe: Any, parts: Sequence[str]) -> str:
    """Sixteen hexadecimal digits of the names, shapes and a sample of the weights of parts, adapters left out."""
    digest = hashlib.sha256()
    for part in parts:
        module = getattr(pipe, part)
        state = {} if module is None else {k.replace(".base_layer", ""): v for k, v in module.state_dict().items()}
        _digest(digest, part, {k: v for k, v in state.items() if not any(mark in k for mark in _ADDED)})
    return digest.hexdigest()[:16]


def weights(pipe: Any) -> str:
    """Sixteen hexadecimal digits of all parts with their adapters, the adapters' strengths and the scheduler."""
    digest = hashlib.sha256(pipe.scheduler.to_json_string().encode())
    for part in _modules(pipe):
        module = getattr(pipe, part)
        _digest(digest, part, module.state_dict())
        for name, layer in module.named_modules():
            found = [getattr(layer, setting, None) for setting in _SETTINGS]
            found.append(getattr(getattr(layer, "processor", None), "scale", None))
            found = [None if callable(value) else value for value in found]
            if any(value is not None for value in found):
                digest.update(f"{part}.{name} {found}".encode())
    return digest.hexdigest()[:16]


def digest_of(module: nn.Module) -> str:
    """Sixteen hexadecimal digits of a module's weights."""
    digest = hashlib.sha256()
    _digest(digest, "", module.state_dict())
    return digest.hexdigest()[:16]


def _digest(digest: Any, part: str, state: Mapping[str, Tensor]) -> None:
    """Add the names, shapes and a sample of a part's weights."""
    for name, tensor in sorted(state.items()):
        flat = tensor.flatten()
        sample = flat[:: max(1, flat.numel() // 64)].float().cpu().numpy().tobytes()
        digest.update(f"{part}.{name}{tuple(tensor.shape)}".encode() + sample)


def made(
    model: Model,
    prompt: str,
    negative: str,
    seed: int,
    shape: tuple[int, int, int],
    text: Mapping[str, Tensor],
    unguided: Mapping[str, Tensor],
) -> Point:
    """A point of a model: noise [c, h, w], and the text and negative text by space, each as a batch of one."""
    tensors = {
        "latents": noise(shape, seed),
        **{space: states[0].cpu() for space, states in text.items()},
        **{f"negative_{space}": states[0].cpu() for space, states in unguided.items()},
    }
    origin = {"model": model.name, "prompt": prompt, "negative": negative, "seed": seed}
    return Point(tensors, model.fingerprint, model.segments(prompt), origin=origin)


def stacked(points: Sequence[Point], spaces: frozenset[str], model: str) -> dict[str, Tensor]:
    """The tensors of points as batches [n, ...]. Raises AstrogateError for points of another model or size."""
    if any(point.model != model for point in points):
        raise AstrogateError("a point of another model cannot be rendered here", "make it with this model")
    if len({point.tensors["latents"].shape for point in points}) > 1:
        raise AstrogateError("the points make pictures of different sizes", "render each size by itself")
    return {space: torch.stack([point.tensors[space] for point in points]) for space in sorted(spaces)}


def sample(
    pipe: Any,
    denoisers: Sequence[nn.Module],
    points: Sequence[Point],
    batch: Mapping[str, Tensor],
    recipe: Recipe,
    sites: Sites,
    *,
    unit: float = 1.0,
    in_turn: bool = False,
    channel_axis: int = 0,
    **options: Any,
) -> Tensor:
    """Latents of one batch, as the pipeline returns them; `options` are further arguments of its call.

    The first of `denoisers` predicts; the others (a ControlNet) see its conditioning. `channel_axis` is that of one
    row of a prediction.
    """
    own, before, count = denoisers[0].dtype, pipe.scheduler, len(points)
    more, held = companions(points)
    points = [*points, *(unedited(points[row]) for row in more)]
    batch = {space: states[[*range(count), *more]] for space, states in batch.items()} if more else batch
    options |= _extras(pipe, points) | _eta(recipe, pipe)
    pipe.scheduler = _scheduler(recipe, before)
    progress = nearest_step(lambda: pipe.scheduler.timesteps, unit)
    try:
        with (
            precision(recipe.dtype, own, pipe._execution_device.type),
            _own_images(pipe, points, guided=recipe.guidance_scale > 1),
            windows(pipe, recipe, batch["latents"]),
            steering(denoisers, points, sites, progress, in_turn=in_turn),
            guiding(denoisers[0], points, sites, progress, in_turn=in_turn, channel_axis=channel_axis),
            holding(denoisers, held, len(points), progress),
        ):
            return pipe(
                **{space: tensor.to(pipe._execution_device, own) for space, tensor in batch.items()},
                **options,
                num_inference_steps=recipe.num_inference_steps,
                guidance_scale=recipe.guidance_scale,
                generator=[sampler_generator(point) for point in points],
                output_type="latent",
            ).images[:count]
    finally:
        pipe.scheduler = before


def _eta(recipe: Recipe, pipe: Any) -> dict[str, float]:
    """The share of DDPM's noise, where there is any. Raises AstrogateError for a sampler that takes none."""
    if not recipe.eta:
        return {}
    scheduler = _scheduler(recipe, pipe.scheduler)
    if "eta" not in signature(scheduler.step).parameters:
        raise AstrogateError(f"{type(scheduler).__name__} takes no eta", "use the scheduler DDIM")
    return {"eta": recipe.eta}


def denoisers(pipe: Any) -> list[nn.Module]:
    """The U-Net, and the ControlNets beside it."""
    control = getattr(pipe, "controlnet", None)
    return [pipe.unet] if control is None else [pipe.unet, control]


def _extras(pipe: Any, points: Sequence[Point]) -> dict[str, Any]:
    """The points' extras as the pipeline takes them: control images, and one IP-Adapter's embeddings for all."""
    names = set[str]().union(*(point.extras for point in points))
    if any(set(point.extras) != names for point in points):
        raise AstrogateError(f"only some of the points have {', '.join(sorted(names))}", "render them apart")
    controlled = getattr(pipe, "controlnet", None) is not None
    if hasattr(getattr(pipe, "controlnet", None), "nets"):
        raise AstrogateError("several ControlNets together are not supported", "wrap a pipeline with one")
    if controlled != ("image" in names):
        reason = "needs a control image" if controlled else "has no ControlNet for the control image"
        raise AstrogateError(f"this model {reason}", "see `with_control`, or wrap the pipeline that fits")
    batch: dict[str, Any] = {name: torch.stack([point.extras[name] for point in points]) for name in names}
    return batch | {name: [batch[name][0]] for name in names & {_EMBEDS}}


def _own_images(pipe: Any, points: Sequence[Point], *, guided: bool) -> AbstractContextManager[None]:
    """Each row its own picture: the pipelines repeat one IP-Adapter embedding for the whole batch."""
    if not all(_EMBEDS in point.extras for point in points):
        return nullcontext()
    halves = torch.stack([point.extras[_EMBEDS] for point in points], 1)[0 if guided else 1 :].flatten(0, 1)
    value = [halves.to(pipe._execution_device, pipe.unet.dtype)]
    return replacing(pipe.unet, ("added_cond_kwargs", "image_embeds"), value)


@torch.no_grad()
def decode(pipe: Any, latents: Tensor) -> Tensor:
    """Latents [n, c, h, w] to pictures [n, 3, H, W] in [0, 1], float32 on the CPU."""
    return picture(pipe, latents).float().cpu()


def picture(pipe: Any, latents: Tensor) -> Tensor:
    """Latents [n, c, h, w] to pictures [n, 3, H, W] in [0, 1], differentiable."""
    return decoded(pipe.vae, latents.to(pipe._execution_device))


def decoded(vae: Any, latents: Tensor) -> Tensor:
    """Latents [n, c, h, w] on the device of the work to pictures [n, 3, H, W] in [0, 1]."""
    config, latents = vae.config, latents.to(vae.dtype)
    mean, std = (getattr(config, name, None) for name in ("latents_mean", "latents_std"))
    if mean is not None and std is not None:
        mean, std = (latents.new_tensor(values)[:, None, None] for values in (mean, std))
        latents = latents * std / config.scaling_factor + mean
    else:
        latents = latents / config.scaling_factor
        if getattr(config, "shift_factor", None):
            latents = latents + config.shift_factor
    return (vae.decode(latents).sample * 0.5 + 0.5).clamp(0, 1)


@torch.no_grad()
def latents(pipe: Any, pictures: Tensor) -> Tensor:
    """Pictures [n, 3, H, W] in [0, 1] to the means of their latents [n, c, h, w], on the model's device."""
    return encoded(pipe.vae, pictures.to(pipe._execution_device))


def encoded(vae: Any, pictures: Tensor) -> Tensor:
    """Pictures [n, 3, H, W] in [0, 1] on the device of the work to the means of their latents [n, c, h, w]."""
    means = vae.encode((2 * pictures - 1).to(vae.dtype)).latent_dist.mode()
    return (means - (getattr(vae.config, "shift_factor", None) or 0.0)) * vae.config.scaling_factor


def part(pipe: Any, site: str, name: str) -> nn.Module:
    """A part of a pipeline by its dotted path, e.g. "unet.mid_block"."""
    found: Any = pipe
    for step in site.split("."):
        found = getattr(found, step, None)
    if not isinstance(found, nn.Module):
        raise AstrogateError(f"{name} has no module {site!r}", f"try {', '.join(_modules(pipe))}, or a path below")
    return found


def _modules(pipe: Any) -> list[str]:
    return [name for name, value in pipe.components.items() if isinstance(value, nn.Module)]


def sides(height: int | None, width: int | None, default: int, factor: int) -> tuple[int, int]:
    """Height and width in pixels. Raises AstrogateError for what is no multiple of `factor`."""
    height, width = height or default, width or default
    if height % factor or width % factor:
        raise AstrogateError(f"{width} x {height} pixels", f"choose multiples of {factor} for this model")
    return height, width


def sampler_generator(point: Point) -> torch.Generator:
    """The generator that a stochastic sampler goes on drawing from after the latents, as plain diffusers has it."""
    drawn = generator(int(point.origin.get("seed", 0)))
    for _ in range(int(point.origin.get("draw", 0)) + 1):
        torch.randn((1, *point.tensors["latents"].shape), generator=drawn)
    return drawn


def precision(wanted: str | None, own: torch.dtype, device: str) -> AbstractContextManager[Any]:
    """Autocast to a reduced dtype; nothing where the model already has the dtype that is wanted."""
    dtype = own if wanted is None else getattr(torch, wanted)
    if dtype == own:
        return nullcontext()
    if dtype == torch.float32:
        raise AstrogateError(f"the recipe wants float32 of a model in {own}", "load the model in float32")
    return torch.autocast(device, dtype)


def _scheduler(recipe: Recipe, own: Any) -> Any:
    """The checkpoint's scheduler, or the named one with its settings; raises for what cannot sample here."""
    if recipe.scheduler is None:
        return own
    known = {kind.__name__.removesuffix("Scheduler"): kind for kind in [type(own), *own.compatibles]}
    known = {name: kind for name, kind in known.items() if "Inverse" not in name}
    name = recipe.scheduler.removesuffix("Scheduler")
    if name not in known:
        raise AstrogateError(f"unknown scheduler {recipe.scheduler!r}", f"choose one of {', '.join(sorted(known))}")
    shift = {"mu": 1.0} if own.config.get("use_dynamic_shifting") else {}
    try:
        scheduler = known[name].from_config(own.config)
        scheduler.set_timesteps(recipe.num_inference_steps, **shift)
    except (ValueError, TypeError, LookupError, ImportError) as error:
        raise AstrogateError(
            f"{name} does not take {recipe.num_inference_steps} steps here ({str(error).splitlines()[0][:120]})",
            "choose another scheduler or number of steps",
        ) from error
    return scheduler
