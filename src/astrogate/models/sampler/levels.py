"""Timesteps of a sampling, first to last, each with its cumulative product of alphas; behind them (-1, the end's)."""

from __future__ import annotations

from typing import Any

from astrogate.core.errors import AstrogateError

Levels = list[tuple[int, float]]


def leading(scheduler: Any, num_inference_steps: int) -> Levels:
    """Multiples of a whole stride, as DDIM's leading spacing has them: evenly spaced, so that they can be inverted."""
    alphas, config = scheduler.alphas_cumprod, scheduler.config
    stride, offset = len(alphas) // num_inference_steps, int(config.get("steps_offset", 0))
    timesteps = [min(i * stride + offset, len(alphas) - 1) for i in reversed(range(num_inference_steps))]
    last = 1.0 if config.get("set_alpha_to_one", True) else float(alphas[0])
    return [(t, float(alphas[t])) for t in timesteps] + [(-1, last)]


def spread(scheduler: Any, num_inference_steps: int) -> Levels:
    """From the last timestep to the first, as UnCLIPScheduler has them. Raises AstrogateError for a single step."""
    if num_inference_steps < 2:
        raise AstrogateError(f"{num_inference_steps} steps of a prior or an upsampler", "use 2 or more")
    last = len(scheduler.alphas_cumprod) - 1
    timesteps = [round(last * i / (num_inference_steps - 1)) for i in reversed(range(num_inference_steps))]
    return [(t, float(scheduler.alphas_cumprod[t])) for t in timesteps] + [(-1, 1.0)]
