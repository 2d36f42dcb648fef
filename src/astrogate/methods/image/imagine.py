"""A prior: the embedding of a picture that a caption asks for, another by every seed (Ramesh et al. 2022, 2.2).

z_i ~ p(z_i | caption),  by diffusion or symbol by symbol (`models.unclip.priors`);  the better of two by z_i.z_t
"none":  z_i = z_t, the text's own embedding put into the decoder (what the paper compares with)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.seeds import checked_all
from astrogate.core.values import several, whole
from astrogate.methods.image.encode import unclip
from astrogate.models.unclip.imagine import check_level

Kind = Literal["diffusion", "ar", "none"]


def imagine(
    model: Model,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    kind: Kind = "diffusion",
    candidates: int = 2,
    guidance_scale: float | None = None,
    captioned: bool = True,
    noise_level: int = 0,
    batch_size: int = 64,
) -> list[Point]:
    """A point for each prompt and seed, whose image embedding a prior has drawn.

    Of `candidates` the one that fits the caption best is kept. `guidance_scale` is the prior's own (None: as the stack
    was made for). With `captioned` False the decoder does not read the prompt itself. `noise_level` blurs the
    embedding, which forgives a prior's errors. Raises AstrogateError for a prior or a noise level that the stack
    misses and unless there is one seed per prompt.
    """
    stack, points = unclip(model), list[Point]()
    prompts, seeds = several(prompts, str, "prompt", "give texts"), checked_all(seeds)
    options = {"kind": kind, "candidates": candidates, "guidance_scale": guidance_scale}
    batch_size = whole(batch_size, "batches of {}", 1, 2**31)
    if len(seeds) != len(prompts):
        raise AstrogateError(f"{len(seeds)} seeds for {len(prompts)} prompts", "give one seed per prompt")
    check_level(stack.stack, stack.name, noise_level)
    for start in range(0, len(prompts), batch_size):
        texts, drawn = prompts[start : start + batch_size], seeds[start : start + batch_size]
        for z, text, seed in zip(stack.imagine(texts, seeds=drawn, **options), texts, drawn, strict=True):
            points.append(stack.point_at(z, text if captioned else "", seed=seed, noise_level=noise_level))
    return points
