"""A prior: the embedding of a picture that a caption asks for, another by every seed (Ramesh et al. 2022, 2.2).

z_i ~ p(z_i | caption),  by diffusion or symbol by symbol (`models.priors`);  the better of two by z_i.z_t
"none":  z_i = z_t, the text's own embedding put into the decoder (what the paper compares with)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.methods.encode import unclip

Kind = Literal["diffusion", "ar", "none"]


def prior(
    model: Model,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    kind: Kind = "diffusion",
    candidates: int = 2,
    guidance_scale: float | None = None,
    captioned: bool = True,
    noise_level: int = 0,
) -> list[Point]:
    """A point for each prompt and seed, whose image embedding a prior has drawn.

    Of `candidates` the one that fits the caption best is kept. `guidance_scale` is the prior's own (None: as the stack
    was made for). With `captioned` False the decoder does not read the prompt itself. `noise_level` blurs the
    embedding, which forgives a prior's errors. Raises AstrogateError for a prior that the stack lacks and for as many
    seeds as not prompts.
    """
    stack = unclip(model)
    found = stack.imagine(prompts, seeds=seeds, kind=kind, candidates=candidates, guidance_scale=guidance_scale)
    return [
        stack.point_at(z, prompt if captioned else "", seed=seed, noise_level=noise_level)
        for z, prompt, seed in zip(found, prompts, seeds, strict=True)
    ]
