"""Guidance: start from the original encoding and steer during the diffusion (seed 001's own outlook).

    eps_hat + s M (eps(x, c') - eps(x, c))

eps_hat is the guided prediction, c the prompt's conditioning, c' the same moved by a direction or a phrase's strength,
M a mask of the places where the two differ most. It is SEGA's term (Brack et al. 2023) with any edit in place of a
second prompt; `toward` is SEGA's own, a phrase measured against the negative half.
"""

from __future__ import annotations

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Guide, Steer
from astrogate.core.protocols import Model
from astrogate.models.text.prompts import check_tokens

#: Seed 001 asks for a start in the diffusion; SEGA warms up for a fifth of the steps and keeps the top tenth.
WINDOW, QUANTILE = (0.2, 1.0), 0.9


def guide(
    steer: Steer,
    scale: float = 1.0,
    *,
    quantile: float = QUANTILE,
    window: tuple[float, float] = WINDOW,
) -> Guide:
    """A guide by what a steer (from `place` or `phrase`) changes: at `scale` 1 the masked part changes as much.

    The steer's own window, curve and half do not count: the guide has a window, and the edit is the whole steer.
    """
    if steer.scale == 0:
        raise AstrogateError(f"the steer {steer.name!r} has scale 0", "place it with the strength of the full edit")
    tensors = {space: steer.scale * v for space, v in steer.vectors.items()}
    origin = {"method": "guidance", "steer": {"scale": steer.scale, **steer.origin}}
    return Guide(tensors, scale, window, True, "positive", quantile, steer.name, origin)


def toward(
    model: Model,
    text: str,
    scale: float = 4.0,
    *,
    quantile: float = QUANTILE,
    window: tuple[float, float] = WINDOW,
) -> Guide:
    """A guide towards a phrase of its own, measured against the negative half, as SEGA has it; below 0 away from it."""
    if not text.strip():
        raise AstrogateError("the phrase is empty", 'name a concept, e.g. "Monet style"')
    check_tokens(model, text)
    encoded = model.encode([text])
    tensors = {space: states[0] for space, states in encoded.items() if space in model.spaces}
    return Guide(tensors, scale, window, False, "negative", quantile, text, {"method": "guidance", "toward": text})
