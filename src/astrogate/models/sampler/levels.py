"""Timesteps of a sampling, first to last, each with its cumulative product of alphas; behind them (-1, the end's)."""

from __future__ import annotations

from typing import Any

from astrogate.core.values import whole

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
