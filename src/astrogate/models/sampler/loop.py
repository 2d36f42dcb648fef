"""One batch of points through a diffusers pipeline's own sampler.

The pipeline draws, so a picture without edits is bit-identical to its own; edits act through `hooks`, and the pipeline
is left as it was.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from inspect import signature
from itertools import cycle
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError, reason
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import generator, normal
from astrogate.models.family import Family
from astrogate.models.sampler.edits import acting, companions
from astrogate.models.sampler.hooks import editing, nearest_step, replacing
from astrogate.models.sampler.layers import apart
from astrogate.models.sampler.lengths import unpadded
from astrogate.models.sampler.windows import windows

#: What schedulers raise for steps and settings that they don't take.
_CANT = (ValueError, TypeError, LookupError, ImportError, RuntimeError)
_EMBEDS = "ip_adapter_image_embeds"


def sample(pipe: Any, family: Family, points: Sequence[Point], recipe: Recipe, model: str, channels: int) -> Tensor:
    """Latents [n, c, h, w] of one batch of points, by the sampler of a pipeline. `model` is its fingerprint.

    Raises AstrogateError for points that can't be drawn together, or not by this model.
    """
    denoiser = getattr(pipe, family.denoiser)
    guided, own, count, before = family.guidance.on(recipe, pipe), denoiser.dtype, len(points), pipe.scheduler
    joined = family.guidance.layout == "joined"
    spaces = {s for s in family.spaces if guided or joined or not s.startswith("negative_")}
    batch = stacked(points, spaces, model, channels)
    latents = batch["latents"]
    height, width = (side * pipe.vae_scale_factor * family.fold for side in latents.shape[-2:])
    if family.packing > 1:
        batch["latents"] = F.pixel_unshuffle(latents, family.packing).flatten(2).mT.contiguous()
    more, held = companions(points)
    points = [*points, *(points[row].plain() for row in more)]
    batch = {space: states[[*range(count), *more]] for space, states in batch.items()} if more else batch
    options = {"height": height, "width": width, "guidance_scale": recipe.guidance_scale, **family.options}
    options |= {**_by_steps(recipe, family), **_eta(recipe, pipe, family)}
    options |= _extras(pipe, points, family, guided=guided)
    last = list[Tensor]()
    if family.fold > 1:  # what the pipeline gives is unfolded, for its decoder
        options["callback_on_step_end"] = lambda _, __, ___, state: last.append(state["latents"]) or {}
    if family.guidance.argument or family.guidance.scale != "guidance_scale":
        options[family.guidance.argument or family.guidance.scale] = getattr(recipe, family.guidance.scale)
    scheduler = _scheduler(recipe, before, family)
    progress = nearest_step(scheduler, family)
    acts = acting(points, family.sites, held, guided=guided, joined=joined)
    control = getattr(pipe, "controlnet", None)
    denoisers = [denoiser] if control is None else [denoiser, control]
    try:
        pipe.scheduler = scheduler
        with (
            precision(recipe.dtype, own, pipe._execution_device.type),
            _own_images(pipe, family, points, guided=guided),
            _own_noise(pipe, points),
            windows(pipe, recipe, latents),
            editing(denoisers, acts, family, progress, guided=guided),
        ):
            given = {space: _typed(tensor.to(pipe._execution_device), own) for space, tensor in batch.items()}
            if family.layers is not None:
                given = apart(given, family.layers(pipe))
            if family.precise:
                given["latents"] = batch["latents"].to(pipe._execution_device)
            drawn = pipe(
                **(unpadded(given, family, points) if family.unpadded else given),
                **options,
                num_inference_steps=recipe.num_inference_steps,
                generator=[sampler_generator(point) for point in points],
                output_type="latent",
            ).images[:count]
    finally:
        pipe.scheduler = before
    if family.packing > 1:
        grid = [side // family.packing for side in latents.shape[-2:]]
        drawn = F.pixel_shuffle(drawn.mT.unflatten(2, grid), family.packing)
    if family.fold > 1:
        drawn = last[-1][:count].mT.reshape(count, *latents.shape[1:])
    return drawn


def stacked(points: Sequence[Point], spaces: set[str], model: str, channels: int) -> dict[str, Tensor]:
    """The tensors of points as batches [n, ...], latents of so many channels.

    Raises AstrogateError for points of another model or size, or with other tensors.
    """
    if any(point.model != model for point in points):
        raise AstrogateError("a point of another model can't be drawn here", "make it with this model")
    if len({point.tensors["latents"].shape for point in points}) > 1:
        raise AstrogateError("the points make pictures of different sizes", "draw each size by itself")
    if odd := [point for point in points if len(point.tensors["latents"]) != channels]:
        told = f"latents of {len(odd[0].tensors['latents'])} channels, a denoiser of {channels}"
        raise AstrogateError(told, "make the point with this model")
    for space in spaces:
        shapes = {point.tensors[space].shape if space in point.tensors else None for point in points}
        if len(shapes) > 1 or None in shapes:
            told = " and ".join("none" if shape is None else str(list(shape)) for shape in shapes)
            raise AstrogateError(f"the points' {space} are {told}", "make every point with this model")
    return {space: torch.stack([point.tensors[space] for point in points]) for space in sorted(spaces)}


def sampler_generator(point: Point) -> torch.Generator:
    """The generator that a stochastic sampler goes on drawing from after the latents, as plain diffusers has it."""
    drawn = generator(point.seed)
    for _ in range(point.draw + 1):
        normal((1, *point.tensors["latents"].shape), drawn)
    return drawn


def precision(wanted: str | None, own: torch.dtype, device: str) -> AbstractContextManager[Any]:
    """Autocast to a reduced dtype; nothing where the model already has the dtype that is wanted."""
    dtype = own if wanted is None else getattr(torch, wanted)
    if dtype == own:
        return nullcontext()
    if dtype == torch.float32:
        raise AstrogateError(f"the recipe wants float32 of a model in {own}", "load the model in float32")
    return torch.autocast(device, dtype)


def _typed(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Masks stay what they are."""
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def _by_steps(recipe: Recipe, family: Family) -> Mapping[str, Any]:
    return {} if family.by_steps is None else family.by_steps(recipe.num_inference_steps)


def _eta(recipe: Recipe, pipe: Any, family: Family) -> dict[str, float]:
    """The share of DDPM's noise, where there is any. Raises AstrogateError for a sampler that takes none."""
    if not recipe.eta:
        return {}
    scheduler = _scheduler(recipe, pipe.scheduler, family)
    if "eta" not in signature(scheduler.step).parameters:
        raise AstrogateError(f"{type(scheduler).__name__} takes no eta", "use the scheduler DDIM")
    return {"eta": recipe.eta}


def _extras(pipe: Any, points: Sequence[Point], family: Family, *, guided: bool) -> dict[str, Any]:
    """The points' extras as the pipeline takes them: control images, and one IP-Adapter's embeddings for all."""
    names = set[str]().union(*(point.extras for point in points))
    if any(set(point.extras) != names for point in points):
        raise AstrogateError(f"only some of the points have {', '.join(sorted(names))}", "draw them apart")
    controlled = getattr(pipe, "controlnet", None) is not None
    if hasattr(getattr(pipe, "controlnet", None), "nets"):
        raise AstrogateError("several ControlNets together are not supported", "wrap a pipeline with one")
    if controlled != ("image" in names):
        reason = "needs a control image" if controlled else "has no ControlNet for the control image"
        raise AstrogateError(f"this model {reason}", "see `with_control`, or wrap the pipeline that fits")
    if adapted(pipe) != (_EMBEDS in names):
        reason = "needs a picture" if adapted(pipe) else "has no IP-Adapter for the picture"
        raise AstrogateError(f"this model {reason}", "see `with_image`, or wrap the pipeline that fits")
    batch: dict[str, Any] = {name: torch.stack([point.extras[name] for point in points]) for name in names}
    if controlled and family.encoded_control:
        batch["control_image"] = 2 * batch.pop("image") - 1
    return batch | (_first_picture(batch[_EMBEDS][0], family, guided=guided) if _EMBEDS in names else {})


def adapted(pipe: Any) -> bool:
    """Whether a pipeline has an IP-Adapter, without whose picture its denoiser does not run."""
    nets = (getattr(pipe, name, None) for name in ("unet", "transformer"))
    return any(getattr(net, name, None) is not None for net in nets for name in ("encoder_hid_proj", "image_proj"))


def _first_picture(halves: Tensor, family: Family, *, guided: bool) -> dict[str, Any]:
    """What a pipeline is given of an IP-Adapter's picture, and repeats for the whole batch."""
    if family.guidance.layout == "in turn":
        return {_EMBEDS: [halves[1:]], f"negative_{_EMBEDS}": [halves[:1]]}
    return {_EMBEDS: [halves] if family.pictured.listed else halves[0 if guided else 1 :]}


def _own_images(pipe: Any, family: Family, points: Sequence[Point], *, guided: bool) -> AbstractContextManager[None]:
    """Each row its own picture: the pipelines repeat one IP-Adapter embedding for the whole batch."""
    if not all(_EMBEDS in point.extras for point in points):
        return nullcontext()
    denoiser = getattr(pipe, family.denoiser)
    halves = torch.stack([point.extras[_EMBEDS] for point in points], 1).to(pipe._execution_device, denoiser.dtype)
    if family.guidance.layout == "in turn":
        batches = [halves[half] for half in ((1, 0) if guided else (1,))]
    else:
        batches = [halves[0 if guided else 1 :].flatten(0, 1)]
    values = [[batch] if family.pictured.listed else batch for batch in batches]
    return replacing(denoiser, family.pictured.path, cycle(values))


@contextmanager
def _own_noise(pipe: Any, points: Sequence[Point]) -> Generator[None]:
    """While open, a control picture that an autoencoder encodes at random draws each row's noise by its point's seed.

    Some pipelines give no generator.
    """
    if getattr(pipe, "controlnet", None) is None:
        yield
        return
    had, encode = "encode" in vars(pipe.vae), pipe.vae.encode

    def encoded(*args: Any, **kwargs: Any) -> Any:
        out = encode(*args, **kwargs)
        if (drawn := getattr(out, "latent_dist", None)) is not None:  # some autoencoders draw nothing
            sample, times = drawn.sample, len(drawn.mean) // len(points)
            each = [sampler_generator(point) for point in points] * times
            drawn.sample = lambda generator=None: sample(each if generator is None else generator)
        return out

    pipe.vae.encode = encoded
    try:
        yield
    finally:
        if had:
            pipe.vae.encode = encode
        else:
            del pipe.vae.encode


def _scheduler(recipe: Recipe, own: Any, family: Family) -> Any:
    """The checkpoint's scheduler, or the named one with its settings; raises for what cannot sample here."""
    name = (recipe.scheduler or type(own).__name__).removesuffix("Scheduler")
    known: dict[str, Any] = {}
    if recipe.scheduler is not None:
        kinds = {kind.__name__.removesuffix("Scheduler"): kind for kind in [type(own), *own.compatibles]}
        known = {k: v for k, v in kinds.items() if _is_of_its_kind(k, v, own, family)}
        if name not in known:
            found = f"the scheduler {recipe.scheduler!r} is not one that this model draws by"
            raise AstrogateError(found, f"choose one of {', '.join(sorted(known))}")
    times = _times(recipe, family, own)
    try:
        scheduler = copy(own) if recipe.scheduler is None else of_kind(known[name], own)
        scheduler.set_timesteps(recipe.num_inference_steps, **times)
        if recipe.scheduler is not None:
            _tried(copy(scheduler), family)
    except _CANT as error:
        raise AstrogateError(
            f"{name} does not take {recipe.num_inference_steps} steps here ({reason(error)[:120]})",
            "choose another scheduler or number of steps",
        ) from error
    return own if recipe.scheduler is None else scheduler


def _times(recipe: Recipe, family: Family, scheduler: Any) -> dict[str, Any]:
    """What `set_timesteps` is given beside the number of steps."""
    return {**_by_steps(recipe, family), **({"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {})}


def _is_of_its_kind(name: str, kind: Any, own: Any, family: Family) -> bool:
    """Whether a scheduler goes in the place of another, as that one says: it is no inverse, none of EDM's, which scale
    what the denoiser predicts, and one of those that a family names.
    """
    scales = "precondition_outputs" in dir(kind) and "precondition_outputs" not in dir(own)
    return "Inverse" not in name and not scales and (not family.samplers or name in family.samplers)


def draws_noise(pipe: Any, family: Family, recipe: Recipe) -> bool:
    """Whether the sampler of a recipe draws noise of its own at its steps."""
    if recipe.eta > 0:
        return True
    scheduler = copy(_scheduler(recipe, pipe.scheduler, family))
    if "step" in vars(scheduler):  # the user's own, which may do anything
        return False
    scheduler.set_timesteps(recipe.num_inference_steps, **_times(recipe, family, scheduler))
    first, second = (_tried(copy(scheduler), family, seed) for seed in (0, 1))
    return not torch.equal(first, second)


def check_steps(pipe: Any, family: Family, name: str) -> None:
    """Raise AstrogateError for a scheduler that can't go through its steps: some settings are read there alone."""
    scheduler = copy(pipe.scheduler)
    if "step" in vars(scheduler):  # the user's own
        return
    try:
        scheduler.set_timesteps(family.recipe.num_inference_steps, **_times(family.recipe, family, scheduler))
        _tried(scheduler, family)
    except _CANT as error:
        told = f"{name}: its {type(scheduler).__name__} can't go through its steps ({reason(error)[:120]})"
        raise AstrogateError(told, "restore the scheduler's settings") from error


def _tried(scheduler: Any, family: Family, seed: int = 0) -> Tensor:
    """What comes of all steps of a scheduler from nothing: some say of their settings at a step alone that they can't.

    Raises what it raises: ValueError, TypeError, ...
    """
    nothing = found = torch.zeros(1, 1, 2, 2)
    if "learned" in str(scheduler.config.get("variance_type")):
        nothing = nothing.repeat(1, 2, 1, 1)
    seeded = {"generator": generator(seed)} if "generator" in signature(scheduler.step).parameters else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for t in scheduler.timesteps[: -1 if family.angles else None]:
            if hasattr(scheduler, "scale_model_input"):
                scheduler.scale_model_input(found, t)  # which some count steps by
            found = scheduler.step(nothing, t, found, **seeded, return_dict=False)[0]
    return found


def of_kind(kind: Any, own: Any) -> Any:
    """A scheduler of a class with another one's settings. It clips samples only where those say so."""
    unsaid = "clip_sample" in signature(kind.__init__).parameters and "clip_sample" not in own.config
    found = kind.from_config(own.config, **({"clip_sample": False} if unsaid else {}))
    if hasattr(own, "set_shift") and hasattr(found, "set_shift"):
        found.set_shift(own.shift)
    return found
