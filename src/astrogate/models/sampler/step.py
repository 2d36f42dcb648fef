"""One guided prediction by calling a denoiser directly, with whatever edits act: for loops of our own.

    eps = eps_negative + g (eps_positive - eps_negative)

A loop that draws held points draws those without edits beside them (`edits.with_bases`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Half, Moment
from astrogate.core.point import Point
from astrogate.models.family import Site
from astrogate.models.finite import check_made
from astrogate.models.sampler.edits import acting, companions, conditioned, is_held, kept, moved, terms
from astrogate.models.sampler.hooks import looking

#: The denoiser's arguments for rows of conditioning by space, of one half of guidance.
Conditions = Callable[[Mapping[str, Tensor], Half], Mapping[str, Any]]


def predict(
    denoiser: nn.Module,
    points: Sequence[Point],
    sites: Mapping[str, Site],
    latents: Tensor,
    *,
    conditions: Conditions,
    call: Callable[[Tensor, Mapping[str, Any]], Tensor],
    guidance_scale: float,
    now: Moment,
) -> Tensor:
    """The guided noise [n, c, h, w] in latents of as many points at a moment of the sampling.

    `call` predicts the noise in a batch with the denoiser's arguments. Differentiable. Raises AstrogateError for held
    points whose unedited ones are not in the batch, and for edits of a half of guidance that is not there.
    """
    order: tuple[Half, ...] = ("negative", "positive") if guidance_scale > 1 else ("positive",)
    more, held = companions(points)
    if len(more) != sum(map(is_held, points)):
        raise AstrogateError("a held point needs the unedited one beside it", "give both, or leave the hold out")
    every = [*points, *(points[row].plain() for row in more)]
    check_made([latents], "the latents of a step", {})
    rows = len(every)
    acts = acting(every, sites, held, guided=len(order) > 1)
    x = torch.cat([latents, latents[more]]) if more else latents
    guides = acts.guiding(now)
    halves: dict[Half, int] = {half: i * rows for i, half in enumerate(order)}
    tensors: dict[Half, dict[str, Tensor]] = {}
    for half in order:
        prefix = "" if half == "positive" else "negative_"
        stacked = {space: torch.stack([p.tensors[prefix + space] for p in every]) for space in sites}
        tensors[half] = {space: moved(s, space, acts.steers, now, {half: 0}) for space, s in stacked.items()}
    if guides:
        own = tensors["positive"]
        for space, states in own.items():
            longer = torch.cat([states, states[[row for row, _ in guides]]])
            own[space] = conditioned(longer, space, guides, rows)
    batch = joined([conditions(tensors[half], half) for half in order])
    wide = torch.cat([x] * len(order) + [x[[row for row, _ in guides]]] * bool(guides))
    pairs = acts.looking(now, halves.values())
    if pairs:
        with looking(denoiser, lambda: pairs):
            predicted = call(wide, batch)
    else:
        predicted = call(wide, batch)
    size = rows * len(order)
    for row, term in terms(predicted, guides, halves, size, now):
        added = torch.zeros_like(predicted)
        for start in halves.values():
            added[start + row] = term
        predicted = predicted + added
    if held:
        predicted = kept(predicted, held, halves.values())
    check_made([predicted], "predictions of noise", {"the denoiser": denoiser})
    found = {half: predicted[start : start + len(points)] for half, start in halves.items()}
    if "negative" not in found:
        return found["positive"]
    return found["negative"] + guidance_scale * (found["positive"] - found["negative"])


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The arguments of several calls of a denoiser as those of one, row after row."""
    first, *others = parts
    if not others:
        return dict(first)
    return {
        key: joined([part[key] for part in parts])
        if isinstance(value, Mapping)
        else None
        if value is None
        else torch.cat([part[key] for part in parts])
        for key, value in first.items()
    }
