"""Numbers all the way from weights to pictures, or one line that says where they stop being any.

What each call of the denoiser gives is looked at, as samplers clamp infinities away, and so is what comes out. Only
where there is no finite number are the weights of every part looked at.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import chain
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, check_tensors
from astrogate.core.recipe import Recipe

#: Settings of an autoencoder that enter the arithmetic, and what a scheduler computes of its own.
FACTORS = ("scaling_factor", "shift_factor", "latents_mean", "latents_std")
_TABLES = ("betas", "alphas_cumprod", "timesteps")
_REMEDY = "draw in float32 or bfloat16, or with weaker edits"


class _Owner(Protocol):
    @property
    def denoiser(self) -> nn.Module: ...

    @property
    def parts(self) -> Mapping[str, nn.Module]: ...


Owner = TypeVar("Owner", bound=_Owner)


def finite(*tensors: Tensor) -> bool:
    """Whether all numbers of tensors are finite."""
    return all(bool(_wide(tensor).isfinite().all()) for tensor in tensors if tensor.is_floating_point())


def _wide(tensor: Tensor) -> Tensor:
    """A tensor that arithmetic takes: numbers of 8 bits have none of their own."""
    return tensor.float() if tensor.itemsize == 1 else tensor


def watched(denoise: Callable[[Owner, Sequence[Point], Recipe], Tensor]) -> Callable[..., Tensor]:
    """A model's `denoise` that takes and gives finite numbers alone.

    It raises AstrogateError that names the tensor of a point, the part whose weights are none, or the step from which
    on there are none.
    """

    @wraps(denoise)
    def call(self: Owner, points: Sequence[Point], recipe: Recipe) -> Tensor:
        for point in points:
            check_tensors(point)
            if odd := [space for space, tensor in point.tensors.items() if not finite(tensor)]:
                raise AstrogateError(f"the {odd[0]} of a point are not finite numbers", "make the point anew")
        calls = list[Tensor]()

        def look(module: nn.Module, args: Any, out: Any) -> None:
            rows = [out[0]] if isinstance(out[0], Tensor) else out[0]
            calls.append(torch.stack([row.isfinite().all() for row in rows]).all())

        handle = self.denoiser.register_forward_hook(look)
        try:
            drawn = denoise(self, points, recipe)
        finally:
            handle.remove()
        fine, steps = [bool(call) for call in calls], recipe.num_inference_steps
        if all(fine) and finite(drawn):
            return drawn
        check_weights(self.parts)
        step = 1 + fine.index(False) * steps // len(fine) if False in fine else steps
        kind = recipe.dtype or str(drawn.dtype).removeprefix("torch.")
        raise AstrogateError(f"pictures are not finite numbers from step {step} of {steps} on, in {kind}", _REMEDY)

    return call


def check_made(found: Iterable[Tensor], what: str, parts: Mapping[str, nn.Module]) -> None:
    """Raise AstrogateError where `what` a part made holds no finite numbers, naming weights that are none."""
    broken = next((tensor for tensor in found if not finite(tensor)), None)
    if broken is not None:
        check_weights(parts)
        kind = str(broken.dtype).removeprefix("torch.")
        raise AstrogateError(f"{what} are not finite numbers in {kind}", _REMEDY)


def check_weights(parts: Mapping[str, nn.Module]) -> None:
    """Raise AstrogateError, which names the tensor, for weights that are no finite numbers."""
    for part, module in parts.items():
        for name, tensor in module.named_parameters():
            if not tensor.is_meta and not finite(tensor):
                raise AstrogateError(
                    f"{part} holds weights that are no finite numbers: {name}", "restore it, or train it again"
                )


def check_settings(scheduler: Any, autoencoder: Any, name: str) -> None:
    """Raise AstrogateError for settings that make every picture none: NaN, infinite, and zeros to divide by."""
    config = {} if autoencoder is None else autoencoder.config
    for setting in FACTORS:
        value = config.get(setting)
        if value is not None or (setting == "scaling_factor" and setting in config):
            numbers = value if isinstance(value, (list, tuple)) else [value]
            zero = 0 in numbers and setting in ("scaling_factor", "latents_std")
            if zero or not all(isinstance(x, (int, float)) and math.isfinite(x) for x in numbers):
                raise AstrogateError(f"{name} sets {setting} to {str(value)[:80]}", "restore its autoencoder's config")
    for table in _TABLES:
        values = getattr(scheduler, table, None)
        if isinstance(values, Tensor) and not finite(values):
            raise AstrogateError(f"the scheduler of {name} makes {table} that are no finite numbers", "restore it")


@contextmanager
def in_float32(module: nn.Module) -> Generator[None]:
    """While open, a module computes in float32; then its weights are what they were."""
    kinds = {name: tensor.dtype for name, tensor in chain(module.named_parameters(), module.named_buffers())}
    nn.Module.to(module, torch.float32)  # diffusers' own warns
    try:
        yield
    finally:
        for name, tensor in chain(module.named_parameters(), module.named_buffers()):
            tensor.data = tensor.data.to(kinds[name])
