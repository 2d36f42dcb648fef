"""Which state of a run is the best: by pictures, as released, or by the denoising loss, which draws nothing.

    pictures:  mean over validation seeds s of  cos(CLIP(picture of w* at s), CLIP(validation picture s))
    loss:      -mean over fixed (latent x, time t, noise n) of  |f(x_t, t, w*) - y|^2

Both see the w* that is deployed, of the largest weights alone and of full length; the released code judges it before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import generator, normal
from astrogate.measure.clip import Clip
from astrogate.methods.concept.pseudo_point import Place, concept_points, states
from astrogate.models.prediction import denoising_loss, moments, timesteps
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

#: The higher the score of vectors [width], one per encoder, the better.
Judging = Callable[[Sequence[Tensor]], float]
#: How many times each validation picture is looked at by the loss.
_LOOKS = 6


def by_pictures(
    model: Model, clip: Clip, place: Place, wanted: Tensor, seeds: Sequence[int], recipe: Recipe, *, batch_size: int = 8
) -> Judging:
    """Draw one picture per seed and compare it with the features [n, d] of the same seed's validation picture."""

    def score(vectors: Sequence[Tensor]) -> float:
        points = concept_points(model, place, vectors, seeds)
        pictures = to_tensor(render(model, points, recipe=recipe, batch_size=batch_size))
        return float((clip.images(pictures) * wanted).sum(1).mean())

    return score


def by_loss(
    model: Model, place: Place, pictures: Tensor, *, seed: int, dtype: str | None, batch_size: int = 20
) -> Judging:
    """Denoise the latents of validation pictures [n, 3, h, w] at times spread evenly, always the same."""
    mean, _ = moments(model, pictures)
    latents = mean.repeat(_LOOKS, 1, 1, 1)
    n, total = len(latents), timesteps(model)
    times = ((torch.arange(n) + 0.5) * total / n).long()[torch.randperm(n, generator=generator(seed, "times"))]
    noise = normal(tuple(latents.shape), generator(seed, "judge")).to(latents)
    parts: list[Any] = list(
        zip(latents.split(batch_size), noise.split(batch_size), times.split(batch_size), strict=True)
    )

    @torch.no_grad()
    def score(vectors: Sequence[Tensor]) -> float:
        text = states(model, place, vectors)
        losses = [denoising_loss(model, text, *part, dtype=dtype) for part in parts]
        return -float(torch.cat(losses).mean())

    return score
