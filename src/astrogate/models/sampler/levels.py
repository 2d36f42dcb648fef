"""How noisy the steps of a sampling are.

`leading` and `spread` are timesteps, first to last, each with its cumulative product of alphas; behind them (-1, the
end's). `noise_levels` are those of `core.parts`, sigma / (alpha + sigma), of any scheduler that has set its timesteps:

    alpha = sqrt(a), sigma = sqrt(1 - a)    by a cumulative product of alphas a
    sigma / alpha                           what Karras' schedulers call sigma
    alpha = 1 - sigma                       flow matching, so that the level is sigma
    tan t                                   the angles of TrigFlow (sCM)
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from astrogate.core.errors import AstrogateError
from astrogate.core.values import whole
from astrogate.models.family import Family

#: Of a timestep and its cumulative product of alphas.
Levels = list[tuple[int, float]]


def leading(scheduler: Any, num_inference_steps: int) -> Levels:
    """Multiples of a whole stride, as DDIM's leading spacing has them: evenly spaced, so that they can be inverted."""
    alphas, config = scheduler.alphas_cumprod, scheduler.config
    num_inference_steps = whole(num_inference_steps, "{} steps", 1, len(alphas))
    stride, offset = len(alphas) // num_inference_steps, int(config.get("steps_offset", 0))
    timesteps = [min(i * stride + offset, len(alphas) - 1) for i in reversed(range(num_inference_steps))]
    last = 1.0 if config.get("set_alpha_to_one", True) else float(alphas[0])
    return [(t, float(alphas[t])) for t in timesteps] + [(-1, last)]


def spread(scheduler: Any, num_inference_steps: int) -> Levels:
    """From the last timestep to the first, as UnCLIPScheduler has them. Raises AstrogateError for a single step."""
    last = len(scheduler.alphas_cumprod) - 1
    most = min(500, last + 1)
    n = whole(num_inference_steps, "{} steps of a prior or an upsampler", 2, most, f"use 2 to {most}")
    timesteps = [round(last * i / (n - 1)) for i in reversed(range(n))]
    return [(t, float(scheduler.alphas_cumprod[t])) for t in timesteps] + [(-1, 1.0)]


def noise_levels(scheduler: Any, *, angles: bool = False) -> list[float]:
    """The level of noise at each of a scheduler's timesteps, NaN where it does not say.

    The last of `angles` is the end, and no step.
    """
    timesteps = scheduler.timesteps.tolist()
    if angles:
        return [_level(math.cos(t), math.sin(t)) for t in timesteps[:-1]]
    has_alphas = hasattr(scheduler, "alphas_cumprod")
    if not has_alphas and not hasattr(scheduler, "sigmas"):
        return [math.nan] * len(timesteps)
    if not hasattr(scheduler, "sigmas"):
        return [level_of(float(scheduler.alphas_cumprod[round(t)])) for t in timesteps]
    flow = scheduler.config.get("use_flow_sigmas") or not (has_alphas or hasattr(scheduler, "precondition_outputs"))
    return [s if flow else _level(1.0, s) for s in scheduler.sigmas[: len(timesteps)].tolist()]


class _Started(AstrogateError):
    """A sampling is at its first step."""


@contextmanager
def started(pipe: Any, family: Family) -> Generator[list[float]]:
    """While open, a sampling of a pipeline ends at its first step, and leaves the levels of all of them.

    Some pipelines choose them by the size of the picture.
    """
    found: list[float] = []

    def stop(*_: Any) -> None:
        found.extend(noise_levels(pipe.scheduler, angles=family.angles))
        raise _Started("the sampling has started", "close what interrupts it")

    handle = getattr(pipe, family.denoiser).register_forward_pre_hook(stop)
    try:
        yield found
    except _Started:
        pass
    finally:
        handle.remove()


def level_of(alpha: float) -> float:
    """The level of noise at a cumulative product of alphas."""
    return _level(math.sqrt(alpha), math.sqrt(1 - alpha))


def _level(alpha: float, sigma: float) -> float:
    return min(1.0, sigma / (alpha + sigma))  # an angle of pi / 2 is rounded up
