"""Larger pictures by a diffusion model of pixels (Ramesh et al. 2022, section 2.1; Saharia et al. 2021, SR3).

    x ~ N(0, I),   x_next = ddim(x, f([x, up(low)], t)),   up: bicubic, in [-1, 1]

The U-Net has neither caption nor attention, so it works at any size; `last`, where there is one, takes the last step.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError
from astrogate.core.seeds import checked_all, generator, normal
from astrogate.core.state import usual
from astrogate.core.values import check_pictures
from astrogate.models.finite import check_made
from astrogate.models.sampler.levels import spread
from astrogate.ops.ddim import clean, noise_of, step

if TYPE_CHECKING:
    from astrogate.models.unclip.stack import Stack


def condition(low: Tensor, factor: int) -> Tensor:
    """Small pictures [n, 3, h, w] in [0, 1] as the U-Net takes them: [n, 3, factor h, factor w] in [-1, 1]."""
    return 2 * F.interpolate(low, scale_factor=factor, mode="bicubic", antialias=True).clamp(0, 1) - 1


@dataclass(frozen=True, slots=True)
class Upsampler:
    """A `UNet2DModel` of 6 channels in (noisy, condition) and the scheduler of its noise.

    DALL-E 2 takes 27 steps, and 15 behind them. The few of the default come nearer to held-out pictures.
    """

    unet: Any
    scheduler: Any
    last: Any = None
    factor: int = 4
    num_inference_steps: int = 4

    @torch.no_grad()
    def __call__(self, pictures: Tensor, *, seeds: Sequence[int], num_inference_steps: int | None = None) -> Tensor:
        """Pictures [n, 3, h, w] in [0, 1] to [n, 3, factor h, factor w], by DDIM without noise; a seed a picture."""
        check_pictures(pictures)
        given = condition(pictures, self.factor).to(self.unet.device, self.unet.dtype)
        drawn = [normal((1, *given.shape[1:]), generator(seed, f"{given.shape[-1]} pixels")) for seed in seeds]
        x = torch.cat(drawn).to(given)
        steps = self.num_inference_steps if num_inference_steps is None else num_inference_steps
        levels = spread(self.scheduler, steps)
        for (t, a), (_, a_next) in itertools.pairwise(levels):
            unet = self.unet if self.last is None or a_next < 1 else self.last
            out = unet(torch.cat([x, given], 1), t).sample[:, : x.shape[1]]
            check_made([out], "enlarged pictures", {"the upsampler": unet})
            v = self.scheduler.config.prediction_type == "v_prediction"
            x0 = a**0.5 * x - (1 - a) ** 0.5 * out if v else clean(x, out, a)
            x = step(x, noise_of(x, x0.clamp(-1, 1), a), a, a_next)
        return (x * 0.5 + 0.5).clamp(0, 1).float().cpu()


@usual()
def upscaled(
    stack: Stack,
    name: str,
    pictures: Tensor,
    seeds: Sequence[int],
    num_inference_steps: int | None,
    stages: Sequence[int] | None,
) -> Tensor:
    """Larger pictures; see `UnCLIP.upscale`. `name` is the model's, for errors."""
    check_pictures(pictures)
    seeds = checked_all(seeds)
    if len(seeds) != len(pictures):
        raise AstrogateError(f"{len(seeds)} seeds for {len(pictures)} pictures", "give one seed per picture")
    known = range(len(stack.upsamplers))
    if unknown := sorted(set(stages or ()) - set(known)):
        raise AstrogateError(f"{name} has no stage {unknown[0]}", f"choose from {', '.join(map(str, known))}")
    for upsampler in stack.enlarging if stages is None else [stack.upsamplers[stage] for stage in stages]:
        pictures = upsampler(pictures, seeds=seeds, num_inference_steps=num_inference_steps)
    return pictures
