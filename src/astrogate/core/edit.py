"""Edit: a change by degrees, made of parts (`core.parts`).

    parts(s) = s * above  for s > 0,   |s| * below  for s < 0,   nothing for 0

Without parts of its own below 0, an edit goes there backwards: s * above. Methods differ in how they find an Edit,
never in how it is used: `Point.apply` takes them all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Hold, Parts, Steer
from astrogate.core.segment import Segment
from astrogate.core.values import number, pair

if TYPE_CHECKING:
    from torch import Tensor


_FORMAT = "astrogate-edit-1"
_FIELDS = {
    "above": dict[str, Any],
    "below": dict[str, Any] | None,
    "segments": list[dict[str, Any]] | None,
    "model": str,
    "range": tuple[float, float],
    "limits": tuple[float, float],
    "calibration": tuple[float, float] | None,
    "name": str,
    "origin": dict[str, Any],
}
#: The most parts of an edit in a file.
_PARTS = 1_000
#: Beyond this the text states are mostly the edit, and the picture is no longer about the prompt.
LIMIT = 50.0


@dataclass(frozen=True, slots=True, eq=False)
class Edit:
    """A change by degrees: at scale 0 nothing, at 1 all of it.

    `above` acts at scales above 0; `below` below 0, where it differs from `above` backwards. `model` is the
    fingerprint of the weights it belongs to ("": any), `segments` are the tokens that its vectors fit (None: those of
    any prompt). `range` is what a strip shows by default. `limits` are the strengths it may be applied at.
    `calibration` (low < 0 < high) holds the strengths that the scales -1 and 1 stand for, which it then goes to;
    without one, a scale is a strength. `origin` says what found it; nothing computes from it.
    """

    above: Parts
    below: Parts | None = None
    model: str = ""
    segments: tuple[Segment, ...] | None = None
    range: tuple[float, float] = (-1.0, 1.0)
    limits: tuple[float, float] = (-LIMIT, LIMIT)
    calibration: tuple[float, float] | None = None
    name: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        for parts in (self.above, *(() if self.below is None else (self.below,))):
            if not isinstance(parts, Parts):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise AstrogateError(f"a {type(parts).__name__} is no part of an edit", "give Parts")
        for name in ("range", "limits", "calibration"):
            if (values := getattr(self, name)) is not None:
                low, high = (number(value, name) for value in pair(values, name))
                object.__setattr__(self, name, (low, high))
        check_calibration(self.calibration)
        (low, high), (least, most) = self.range, _ends(self.calibration, self.limits)
        if not least <= low < high <= most:
            raise AstrogateError(f"range {low:g} to {high:g}", f"use rising scales within {least:g} and {most:g}")

    def __repr__(self) -> str:
        low, high = self.range
        return f"<Edit {self.name}, {low:g} to {high:g}{', calibrated' if self.calibration else ''}>"

    def strength(self, scale: float) -> float:
        """How many times its parts act at a scale. Raises AstrogateError for scales that it does not go to."""
        return strength_of(scale, self.calibration, limits=self.limits, name=self.name)

    def at(self, scale: float) -> Parts:
        """What acts at a scale. Raises AstrogateError for scales that it does not go to."""
        strength = self.strength(scale)
        if strength == 0:
            return Parts()
        if strength < 0 and self.below is not None:
            return self.below.scaled(-strength)
        return self.above.scaled(strength)

    def save(self, path: Path | str) -> None:
        """Write this edit to a file, whole or not at all."""
        tensors: dict[str, Tensor] = {}
        below = None if self.below is None else _told(self.below, "below", tensors)
        segments = None if self.segments is None else [asdict(segment) for segment in self.segments]
        metadata = {"above": _told(self.above, "above", tensors), "below": below}
        metadata |= {"segments": segments, "origin": dict(self.origin)}
        metadata |= {name: getattr(self, name) for name in ("model", "range", "limits", "calibration", "name")}
        archive.write(path, tensors, metadata, format=_FORMAT)

    @classmethod
    def load(cls, path: Path | str) -> Edit:
        """Read an edit. Raises AstrogateError for a file that is missing, cut off, or no edit."""
        remedy = "save one with `edit.save`"
        tensors, kept = archive.read(path, format=_FORMAT, fields=_FIELDS, what="an edit", remedy=remedy)
        try:
            segments = kept["segments"]
            return cls(
                _parts(kept["above"], "above", tensors),
                None if kept["below"] is None else _parts(kept["below"], "below", tensors),
                kept["model"],
                None if segments is None else tuple(Segment.of(segment) for segment in segments),
                tuple(kept["range"]),
                tuple(kept["limits"]),
                kept["calibration"] and tuple(kept["calibration"]),
                kept["name"],
                kept["origin"],
            )
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise AstrogateError(f"{path} holds an edit that is damaged ({error})", remedy) from error

    def held(self, share: float, attend: float = 1.0) -> Edit:
        """This edit with another hold on both sides."""
        hold = Hold(share, attend)
        below = None if self.below is None else replace(self.below, hold=hold)
        return replace(self, above=replace(self.above, hold=hold), below=below)


def _told(parts: Parts, side: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """The settings of one side's parts as JSON; their tensors go into `tensors` by side, part and space."""
    told: dict[str, Any] = {"hold": None if parts.hold is None else asdict(parts.hold)}
    for kind, held in (("steers", "vectors"), ("guides", "tensors")):
        told[kind] = []
        for i, part in enumerate(getattr(parts, kind)):
            tensors |= {f"{side}.{kind}.{i}.{space}": tensor for space, tensor in getattr(part, held).items()}
            told[kind].append({f.name: getattr(part, f.name) for f in fields(part) if f.name != held})
    return told


def _parts(told: Mapping[str, Any], side: str, tensors: Mapping[str, Tensor]) -> Parts:
    """One side's parts of what `_told` said."""

    def made(kind: type[Any], name: str, held: str) -> tuple[Any, ...]:
        if len(told[name]) > _PARTS:
            raise AstrogateError(f"an edit of {len(told[name]):,} {name}", f"use at most {_PARTS:,}")
        return tuple(
            kind(**{held: archive.below(f"{side}.{name}.{i}", tensors), **_tuples(part)})
            for i, part in enumerate(told[name])
        )

    hold = None if told["hold"] is None else Hold(**told["hold"])
    return Parts(made(Steer, "steers", "vectors"), made(Guide, "guides", "tensors"), hold)


def _tuples(told: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples, to any depth."""

    def one(value: Any) -> Any:
        return tuple(one(part) for part in value) if isinstance(value, list) else value  # type: ignore[misc]

    return {name: one(value) for name, value in told.items()}


def strength_of(
    scale: float,
    calibration: tuple[float, float] | None,
    *,
    limits: tuple[float, float] = (-LIMIT, LIMIT),
    name: str = "",
) -> float:
    """The strength that a scale stands for; raises AstrogateError beyond -1 to 1, or without a calibration `limits`."""
    low, high = _ends(calibration, limits)
    if not low - 1e-9 <= scale <= high + 1e-9:
        told = "is calibrated from" if calibration is not None else "goes from"
        raise AstrogateError(
            f"scale {scale:g} of {name or 'an edit'}", f"it {told} {low:g} to {high:g}, choose a scale there"
        )
    return calibrated(scale, calibration)


def _ends(calibration: tuple[float, float] | None, limits: tuple[float, float]) -> tuple[float, float]:
    """The scales that an edit goes to."""
    return limits if calibration is None else (-1.0, 1.0)


def calibrated(scale: float, calibration: tuple[float, float] | None) -> float:
    """The strength that a scale stands for."""
    if calibration is None:
        return scale
    low, high = calibration
    return scale * (high if scale > 0 else -low)


def check_calibration(calibration: tuple[float, float] | None) -> None:
    """Raise AstrogateError for strengths that are not below and above 0."""
    if calibration is not None and not -math.inf < calibration[0] < 0 < calibration[1] < math.inf:
        raise AstrogateError(f"calibration {calibration}", "use a strength below 0 and one above")
