"""Direction: a change of concept as a vector, with the recipe that it came from.

A direction is a value: `a + b`, `2 * a`, `-a`, `a - a` and `a.orthogonal_to(b)` are directions. `a.at(point)` is the
Edit that moves the tokens of that point's prompt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrogate.core import archive
from astrogate.core.edit import Edit, check_calibration
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Curve, Half, Parts, Steer, Window
from astrogate.core.point import Point
from astrogate.core.segment import Segment
from astrogate.core.values import pair, real

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT = "astrogate-direction-1"
_FIELDS = {"model": str, "name": str, "origin": dict, "calibration": tuple[float, float] | None}

#: Where a vector acts: words' tokens, the end-of-text token, the padding behind it, the pooled text.
ROLES = ("subject", "end", "padding", "pooled")

#: The range of a direction that is not calibrated: twice what its words differ by, either way.
_UNCALIBRATED = (-2.0, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Direction:
    """Vectors [width] by role (`ROLES`), in the text states that the denoiser consumes.

    Those of a second segment carry its name: "t5.end". `origin` is the recipe (words, templates, method), `model` the
    fingerprint of the weights it was found in. `calibration` (low < 0 < high) holds the strengths that the scales -1
    and 1 stand for; without one, a scale is a strength.
    """

    vectors: Mapping[str, Tensor]
    model: str
    name: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])
    calibration: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.calibration is not None:
            low, high = (real(value, "calibration") for value in pair(self.calibration, "calibration"))
            object.__setattr__(self, "calibration", (low, high))
        check_calibration(self.calibration)
        if not self.vectors:
            raise AstrogateError(f"the direction {self.name!r} has no vectors", "give one [width] by role")
        if odd := [v for v in self.vectors.values() if not hasattr(v, "is_floating_point")]:
            raise AstrogateError(f"the vectors of {self.name!r} are {type(odd[0]).__name__}", "give tensors [width]")
        wide = {role: v.float() if v.is_floating_point() and v.itemsize < 4 else v for role, v in self.vectors.items()}
        object.__setattr__(self, "vectors", wide)  # whose squares and sums are numbers, too
        for role, vector in self.vectors.items():
            if vector.ndim != 1 or not vector.is_floating_point() or not bool(vector.isfinite().all()):
                kind = f"{list(vector.shape)} of {str(vector.dtype).removeprefix('torch.')}"
                raise AstrogateError(
                    f"the direction {self.name!r} is no vector of finite numbers in {role} ({kind})",
                    "fit it again, or combine directions with smaller weights",
                )

    def __repr__(self) -> str:
        return f"<Direction {self.name}, {', '.join(sorted(self.vectors))}{', calibrated' if self.calibration else ''}>"

    def save(self, path: Path | str) -> None:
        """Write this direction to a file, whole or not at all."""
        origin = dict(self.origin)
        metadata = {"model": self.model, "name": self.name, "origin": origin, "calibration": self.calibration}
        archive.write(path, self.vectors, metadata, format=_FORMAT)

    @classmethod
    def load(cls, path: Path | str) -> Direction:
        """Read a direction. Raises AstrogateError for a file that is missing, cut off, or no direction."""
        remedy = "name a file that `Direction.save` wrote"
        vectors, kept = archive.read(path, format=_FORMAT, fields=_FIELDS, what="a direction", remedy=remedy)
        calibration = kept["calibration"] and tuple(kept["calibration"])
        return cls(vectors, kept["model"], kept["name"], kept["origin"], calibration)

    def vector(self, role: str, segment: str = "") -> Tensor | None:
        """The vector of a role in a segment; the end token's where that role has none of its own."""
        prefix = f"{segment}." if segment else ""
        return self.vectors.get(prefix + role, self.vectors.get(prefix + "end"))

    def at(
        self,
        point: Point,
        *,
        on: str | None = None,
        roles: Collection[str] | None = None,
        window: Window = (0.0, 1.0),
        curve: Curve = (),
        half: Half = "positive",
    ) -> Edit:
        """The edit that moves a point's tokens, role by role: all after the first, or those of the words `on` alone.

        Of every text encoder, the words' tokens take the vector of role "subject", the end token that of "end" and the
        padding that of "padding"; a role without a vector takes that of "end". The pooled text takes "pooled". `roles`
        limits which of these move; with `on`, they are those of the word's own tokens. `window`, `curve` and `half`
        say when and on which side of guidance, as in `Steer`.

        Raises AstrogateError for a point of another model or layer, for one between prompts, for a word that the
        prompt does not contain, and for roles that this direction does not move.
        """
        if not isinstance(point, Point):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise AstrogateError(f"a {type(point).__name__} is no point", "make one by model.point(prompt)")
        vectors, wanted = self._aligned(point, on, roles)
        if not vectors and any(bool(v.any()) for v in self.vectors.values()):
            raise AstrogateError(
                f"the direction {self.name!r} moves nothing in the roles {', '.join(sorted(wanted))}",
                f"choose among its own: {', '.join(sorted(self.vectors))}",
            )
        origin = {"direction": dict(self.origin), "on": on, "roles": sorted(wanted)}
        return Edit(
            Parts((Steer(vectors, window=window, curve=curve, half=half),) if vectors else ()),
            model=self.model,
            segments=point.segments,
            range=_UNCALIBRATED if self.calibration is None else (-1.0, 1.0),
            calibration=self.calibration,
            name=self.name,
            origin=origin,
        )

    def _aligned(
        self, point: Point, on: str | None, roles: Collection[str] | None
    ) -> tuple[dict[str, Tensor], frozenset[str]]:
        """The vectors by space that fit a point's tensors, and the roles that move."""
        if self.model != point.model:
            raise AstrogateError(
                f"the direction {self.name!r} was found in another model than this point's",
                "fit it again on this model",
            )
        if not point.segments:
            raise AstrogateError(
                "this point lies between prompts, so it has no words", "edit the ends of the walk, or one prompt"
            )
        wanted = frozenset(roles or (ROLES if on is None else ("subject",)))
        if not wanted <= set(ROLES):
            raise AstrogateError(f"roles {sorted(wanted - set(ROLES))} are unknown", f"choose from {', '.join(ROLES)}")
        if on is not None and not any(segment.find(on) for segment in point.segments):
            words = dict.fromkeys(word for segment in point.segments for word, _, _ in segment.words)
            raise AstrogateError(f"the prompt has no word {on!r}", f"choose from its words: {', '.join(words)}")
        states = point.tensors["prompt_embeds"]
        moved = states.new_zeros(states.shape)
        for segment in point.segments:
            for role, start, end in _ranges(segment, on):
                vector = self.vector(role, segment.name)
                if role in wanted and vector is not None and start < end:
                    moved[start:end] = self._fitting(vector, states)
        vectors = {"prompt_embeds": moved} if bool(moved.any()) else {}
        if "pooled" in wanted and "pooled" in self.vectors:
            pooled = point.tensors.get("pooled_prompt_embeds")
            if pooled is None:
                raise AstrogateError("this model has no pooled text", "leave the role pooled out")
            vectors["pooled_prompt_embeds"] = self._fitting(self.vectors["pooled"], pooled)
        return vectors, wanted

    def _fitting(self, vector: Tensor, states: Tensor) -> Tensor:
        if vector.shape[-1] != states.shape[-1]:
            raise AstrogateError(
                f"the direction {self.name!r} is {vector.shape[-1]} wide, the layer that it should move "
                f"{states.shape[-1]}",
                "fit it at the layer that the denoiser consumes",
            )
        return vector.to(states)

    def orthogonal_to(self, *others: Direction) -> Direction:
        """This direction without what it shares with others, role by role (Gram & Schmidt); not calibrated.

        Raises AstrogateError when nothing is left of it.
        """
        for other in others:
            self._check_like(other)
        vectors = {role: _without(v, [other.vectors[role] for other in others]) for role, v in self.vectors.items()}
        if not any(bool(v.any()) for v in vectors.values()):
            raise AstrogateError(f"nothing of {self.name!r} is left", "leave out the directions that it is made of")
        origin = {"of": [dict(self.origin)], "orthogonal_to": [dict(other.origin) for other in others]}
        return Direction(vectors, self.model, f"({self.name}) _|_ {', '.join(o.name for o in others)}", origin)

    def _check_like(self, other: Direction) -> None:
        if not isinstance(other, Direction):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise AstrogateError(f"a {type(other).__name__} is no direction", "combine directions with one another")
        if other.model != self.model:
            raise AstrogateError(
                f"{self.name or 'a direction'} and {other.name or 'another'} come from different models",
                "fit both on the same one",
            )
        if other.vectors.keys() != self.vectors.keys():
            raise AstrogateError(
                f"roles {sorted(self.vectors)} and {sorted(other.vectors)} differ", "fit both by the same method"
            )

    def _combine(self, other: Direction, sign: int) -> Direction:
        self._check_like(other)
        vectors = {role: v + sign * other.vectors[role] for role, v in self.vectors.items()}
        name = f"({self.name}) {'+' if sign > 0 else '-'} ({other.name})"
        return Direction(vectors, self.model, name, {"of": [dict(self.origin), dict(other.origin)], "sign": sign})

    def __add__(self, other: Direction) -> Direction:
        return self._combine(other, 1)

    def __sub__(self, other: Direction) -> Direction:
        return self._combine(other, -1)

    def __mul__(self, factor: float) -> Direction:
        factor = real(factor, "a direction times")
        vectors = {role: v * factor for role, v in self.vectors.items()}
        name = f"{factor:g} * ({self.name})"
        return Direction(vectors, self.model, name, {"of": [dict(self.origin)], "times": factor})

    __rmul__ = __mul__

    def __neg__(self) -> Direction:
        return self * -1.0


def _ranges(segment: Segment, on: str | None) -> tuple[tuple[str, int, int], ...]:
    """Which positions of a segment have which role."""
    low, high = (segment.first, segment.end) if on is None else segment.find(on) or (0, 0)
    end = segment.end
    return ("subject", low, high), ("end", end, end + 1), ("padding", end + 1, segment.stop)


def _without(vector: Tensor, others: list[Tensor]) -> Tensor:
    """`vector` less its part in the span of others; exactly zero where next to nothing is left."""
    basis: list[Tensor] = []
    for other in others:
        rest = _reduced(other.double(), basis)
        if float(rest.square().sum()) > 1e-10 * float(other.double().square().sum()):
            basis.append(rest / rest.square().sum().sqrt())
    rest = _reduced(vector.double(), basis)
    return (rest * (float(rest.square().sum()) > 1e-10 * float(vector.double().square().sum()))).to(vector)


def _reduced(vector: Tensor, basis: list[Tensor]) -> Tensor:
    for unit in basis:
        vector = vector - (vector @ unit) * unit
    return vector
