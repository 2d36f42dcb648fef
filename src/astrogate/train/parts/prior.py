"""Train the diffusion prior: from a text to the image embedding itself (Ramesh et al. 2022, section 2.2).

    loss = E |f(sqrt(a_t) x + sqrt(1 - a_t) n, t, text) - x|^2,   x = (z_i - mean) / std per dimension

f is a causal transformer over [text states, z_t, t, noised x, query], whose output at the query is x itself, on the
cosine schedule; the text is dropped 10 % of the time. `PriorTransformer` keeps mean and std, so a saved prior is whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from astrogate.train.kit.denoising import for_training
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.precision import reduced
from astrogate.train.parts.embeddings import Embedded


def prior_scheduler() -> Any:
    """The cosine schedule on which f predicts the sample."""
    from diffusers import UnCLIPScheduler

    return UnCLIPScheduler(
        variance_type="fixed_small_log", prediction_type="sample", num_train_timesteps=1000, clip_sample_range=5.0
    )


def train_prior(prior: Any, on: Embedded, schedule: Schedule, *, drop: float = 0.1) -> Any:
    """Train a `PriorTransformer`."""
    torch.manual_seed(on.seed)
    prior = for_training(prior, on.device)
    order, scheduler = on.batches(schedule), prior_scheduler()
    prior.clip_mean.data.copy_(on.z.mean(0, keepdim=True))
    prior.clip_std.data.copy_(on.z.std(0, keepdim=True))
    for parameter in (prior.clip_mean, prior.clip_std):
        parameter.requires_grad_(False)
    mean, std, steps = prior.clip_mean.detach(), prior.clip_std.detach(), scheduler.config.num_train_timesteps

    def loss(step: int, rng: np.random.Generator) -> Tensor:
        index = order.at(step)
        x, text = (on.own(index) - mean) / std, on.dropped(on.texts(index, rng), drop)
        noise, t = torch.randn_like(x), torch.randint(steps, (len(index),), device=on.device)
        with reduced(on.device):
            found = prior(
                scheduler.add_noise(x, noise, t),
                t,
                proj_embedding=text.embeds,
                encoder_hidden_states=text.states,
                attention_mask=text.mask,
            ).predicted_image_embedding
        return (found.float() - x).square().mean()

    return fit(nn.ModuleDict({"prior": prior}), loss, schedule, folder=on.folder, name="prior", seed=on.seed, of=on.of)[
        "prior"
    ]
