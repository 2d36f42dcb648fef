"""Guidance: start from the original encoding and steer during the diffusion (Qi 2023's own outlook).

    eps_hat + s M (eps(x, c') - eps(x, c))

eps_hat is the guided prediction, c the prompt's conditioning, c' the same moved by an edit, M a mask of the places
where the two differ most. It is the term of SEGA (Brack et al. 2023) with any edit in place of a second prompt, without
its momentum, and with one mask for all channels. `toward` measures a phrase against the negative half, as SEGA does,
and is SEGA's own with `mask="channels"` and `momentum=MOMENTUM`.
"""

from __future__ import annotations

from typing import Any, Literal

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Parts, Window, late
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.texts import check_said
from astrogate.models.registry import require
from astrogate.models.sampler.edits import plain
from astrogate.models.text.prompts import check_tokens

#: SEGA warms up for a fifth of the steps and keeps the top tenth.
WINDOW, QUANTILE = (0.2, 1.0), 0.9
#: How much of its momentum SEGA adds, and how much of it a step keeps.
MOMENTUM = (0.1, 0.4)
#: What a strip shows.
MOST, MOST_TOWARD = 4.0, 8.0


def guide(
    point: Point,
    edit: Edit,
    scale: float = 1.0,
    *,
    quantile: float = QUANTILE,
    window: Window = WINDOW,
) -> Edit:
    """The edit that guides a point by what another changes at `scale`: at 1 the masked part changes as much.

    The other's own window, curve and half do not count: the guide has a window, and moves by all of it. Raises
    AstrogateError for an edit that moves no text, or does nothing at that scale.
    """
    point.apply(edit, scale)
    steers = [plain(steer, point.tensors) for steer in edit.at(scale).steers]
    if not steers:
        raise AstrogateError(f"the edit {edit.name!r} moves nothing at {scale:g}", "guide by one that steers the text")
    tensors = {}
    for steer in steers:
        for space, vector in steer.vectors.items():
            move = steer.scale * vector
            tensors[space] = tensors[space] + move if space in tensors else move
    origin = {"method": "guidance", "by": dict(edit.origin), "at": scale, "quantile": quantile}
    parts = Parts(guides=(Guide(tensors, 1.0, window, True, "positive", quantile),))
    return Edit(
        parts, model=point.model, segments=point.segments, range=(0.0, MOST), name=f"by {edit.name}", origin=origin
    )


def toward(
    model: Model,
    text: str,
    *,
    quantile: float = QUANTILE,
    window: Window | None = None,
    mask: Literal["places", "channels"] = "places",
    momentum: tuple[float, float] = (0.0, 0.0),
) -> Edit:
    """The edit that guides towards a phrase of its own, measured against the negative half.

    It fits any prompt; below 0 it guides away. `window` None leaves the first fifth of the model's own steps alone, if
    there are three or more. `mask` and `momentum` are those of `Guide`. Raises AstrogateError for an
    empty phrase.
    """
    require(model, "guide")
    check_said(text, "the phrase", 'name a concept, e.g. "Monet style"')
    check_tokens(model, text)
    window = late(model.recipe.num_inference_steps) if window is None else window
    encoded = model.encode([text])
    tensors = {space: states[0] for space, states in encoded.items() if space in model.spaces}
    parts = Parts(guides=(Guide(tensors, 1.0, window, False, "negative", quantile, mask, momentum),))
    origin: dict[str, Any] = {"method": "guidance", "toward": text, "quantile": quantile}
    if mask != "places":
        origin["mask"] = mask
    if any(momentum):
        origin["momentum"] = list(momentum)
    return Edit(parts, model=model.fingerprint, range=(0.0, MOST_TOWARD), name=f"toward {text}", origin=origin)
