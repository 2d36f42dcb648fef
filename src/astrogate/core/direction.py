"""Direction: a change of concept as a vector, with the recipe that it came from.

A direction is a value: `a + b`, `2 * a`, `-a` and `a - a` are directions, and only `place` makes it act on a point.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Half, Point, Steer

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """Vectors [width] by role, in the text states that the denoiser consumes.

    The role "end" is the end-of-text token's; it stands for every token after the first, as seed 000 applies it.
    `origin` is the recipe (words, templates, method), `model` the fingerprint of the weights it was found in.
    """

    vectors: Mapping[str, Tensor]
    model: str
    name: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def _combine(self, other: Direction, sign: int) -> Direction:
        if other.model != self.model:
            raise AstrogateError(
                f"{self.name or 'a direction'} and {other.name or 'another'} come from different models",
                "fit both on the same one",
            )
        if other.vectors.keys() != self.vectors.keys():
            raise AstrogateError(
                f"roles {sorted(self.vectors)} and {sorted(other.vectors)} differ", "fit both by the same method"
            )
        vectors = {role: v + sign * other.vectors[role] for role, v in self.vectors.items()}
        name = f"({self.name}) {'+' if sign > 0 else '-'} ({other.name})"
        return Direction(vectors, self.model, name, {"of": [dict(self.origin), dict(other.origin)], "sign": sign})

    def __add__(self, other: Direction) -> Direction:
        return self._combine(other, 1)

    def __sub__(self, other: Direction) -> Direction:
        return self._combine(other, -1)

    def __mul__(self, factor: float) -> Direction:
        vectors = {role: v * factor for role, v in self.vectors.items()}
        name = f"{factor:g} * ({self.name})"
        return Direction(vectors, self.model, name, {"of": [dict(self.origin)], "times": factor})

    __rmul__ = __mul__

    def __neg__(self) -> Direction:
        return self * -1.0


def place(
    direction: Direction,
    point: Point,
    *,
    scale: float = 1.0,
    on: str | None = None,
    window: tuple[float, float] = (0.0, 1.0),
    half: Half = "positive",
) -> Steer:
    """Align a direction with a point's tokens: on all after the first, or on the word `on` alone.

    Raises AstrogateError for a point of another model, and for a word that the prompt does not hold.
    """
    if direction.model != point.model:
        raise AstrogateError(
            f"the direction {direction.name!r} was found in another model than this point's",
            "fit it again on this model",
        )
    if "end" not in direction.vectors:
        raise AstrogateError(f"the direction {direction.name!r} has no end-of-text vector", "fit it with `contrast`")
    states = point.tensors["prompt_embeds"]
    if on is None:
        start, end = 1, len(states)
    elif on.lower() in point.spans:
        start, end = point.spans[on.lower()]
    else:
        raise AstrogateError(f"the prompt has no word {on!r}", f"choose one of {', '.join(point.spans)}")
    vector = states.new_zeros(states.shape)
    vector[start:end] = direction.vectors["end"].to(vector)
    origin = {"direction": dict(direction.origin), "on": on}
    return Steer("prompt_embeds", vector, scale, window, half, direction.name, origin)
