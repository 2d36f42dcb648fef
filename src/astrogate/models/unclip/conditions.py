"""How a decoder sees an image embedding z (Ramesh et al. 2022, section 2.1), on stock classes.

    z'      = m + s (sqrt(a_l) (z - m) / s + sqrt(1 - a_l) n)     noise of level l, to forgive a prior's errors
    time    = time embedding + MLP [P z' + Q z_t, sinusoid(l)]
    context = [four tokens of z', norm(T states)]

P, Q, T and the tokens are diffusers' `UnCLIPTextProjModel` (Karlo's), m and s its `StableUnCLIPImageNormalizer`, the
MLP the denoiser's own class embedding of type "projection". Without a picture z' is a learned vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

#: Noise levels, as Stable unCLIP counts them.
LEVELS = 1000
#: The highest that our decoders are trained to forgive.
FORGIVEN = 300


@cache
def _level_scheduler() -> Any:
    from diffusers import DDPMScheduler

    return DDPMScheduler(num_train_timesteps=LEVELS, beta_schedule="squaredcos_cap_v2")


@dataclass(frozen=True, slots=True)
class ImageConditions:
    """`projection` is a UnCLIPTextProjModel, `normalizer` a StableUnCLIPImageNormalizer."""

    projection: Any
    normalizer: Any

    def noised(self, z: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """Image embeddings [n, d] with the noise of levels [n]; level 0 leaves them as they are."""
        scaled = _level_scheduler().add_noise(self.normalizer.scale(z), noise, (level - 1).clamp(min=0))
        return torch.where((level > 0)[:, None], self.normalizer.unscale(scaled), z)

    def missing(self, n: int) -> Tensor:
        """The learned embeddings [n, d] that mean "no picture"."""
        return self.projection.learned_classifier_free_guidance_embeddings.expand(n, -1)

    def __call__(self, z: Tensor, level: Tensor, text_embeds: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        """The denoiser's context [n, 4 + tokens, width] and class labels [n, 2 d] for embeddings [n, d]."""
        from diffusers.models.embeddings import get_timestep_embedding

        context, time = self.projection(
            image_embeddings=z,
            prompt_embeds=text_embeds,
            text_encoder_hidden_states=states,
            do_classifier_free_guidance=False,
        )
        return context, torch.cat([time, get_timestep_embedding(level, time.shape[1]).to(time)], 1)
