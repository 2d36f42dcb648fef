"""The parts of an edit: Steers move what a denoiser is given, Guides what it predicts; a Hold keeps the rest.

A steer by s moves a state x by

    add     s v
    turn    slerp(x, x + v, s) - x, below 0 slerp(x, x - v, |s|) - x     over all of x, or over each of its spans
    toward  slerp(x, |x| v / |v|, s) - x
    knots   linear from v_i to v_i+1 between the strengths s_i and s_i+1 (0 and no move among them)

A part acts in a window of the sampling, (start, end): shares of the steps, from `start` up to and without `end`; or
("noise", start, end): levels of noise, from `start` down to and without `end`, which mean the same for any number of
steps. The level of x = alpha x_0 + sigma noise is sigma / (alpha + sigma): 1 is noise alone, 0 the picture.

The maths is in `models.sampler.edits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

from astrogate.core.errors import AstrogateError
from astrogate.core.values import pair, real, whole

if TYPE_CHECKING:
    from torch import Tensor

Half = Literal["positive", "negative", "both"]
Rule = Literal["add", "turn", "toward", "knots"]
Curve = tuple[tuple[float, float], ...]
Window = tuple[float, float] | tuple[Literal["noise"], float, float]


class Moment(NamedTuple):
    """Where a sampling is: the share of its steps that is done, and the level of noise that is left, both 0 to 1."""

    done: float
    noise: float

    def within(self, window: Window) -> bool:
        """Whether it is in a window."""
        if len(window) == 3:
            return window[1] >= self.noise > window[2]
        return window[0] <= self.done < window[1]

    def before(self, window: Window) -> bool:
        """Whether a window starts later."""
        return self.noise > window[1] if len(window) == 3 else self.done < window[0]


@dataclass(frozen=True, slots=True, eq=False)
class Steer:
    """Move spaces of the denoiser's input by `vectors`, at a strength of `scale`, in a window of the sampling.

    A vector has the shape of one item of its space, e.g. [tokens, width] for "prompt_embeds"; by the rule "knots" it
    has one of these for each of `knots`, the rising strengths. `window` says when, in steps or in noise (see above).
    `curve` weighs the move over the sampling: pairs (share of the steps, weight), linear between them and constant
    outside. `half` says which side of classifier-free guidance is moved. `spans` are the ranges of tokens of
    "prompt_embeds" that the rule "turn" turns one by one; without any it turns the whole.
    """

    vectors: Mapping[str, Tensor] = field(repr=False)
    scale: float = 1.0
    window: Window = (0.0, 1.0)
    half: Half = "positive"
    curve: Curve = ()
    rule: Rule = "add"
    spans: tuple[tuple[int, int], ...] = ()
    knots: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        _settle(self, self.vectors)
        curve = tuple(
            (real(u, "a curve's share", 0, 1), real(w, "a curve's weight", -1000, 1000))
            for u, w in (pair(knot, "a curve's knot") for knot in _listed(self.curve, "a curve"))
        )
        spans = tuple(
            (whole(a, "a span's start", 0, 2**31), whole(b, "a span's end", 1, 2**31))
            for a, b in (pair(span, "a span") for span in _listed(self.spans, "spans"))
        )
        knots = tuple(real(knot, "a knot") for knot in _listed(self.knots, "knots"))
        for name, value in (("curve", curve), ("spans", spans), ("knots", knots)):
            object.__setattr__(self, name, value)
        shares = [u for u, _ in curve]
        if shares != sorted(set(shares)):
            raise AstrogateError(f"curve {self.curve}", "use rising shares of the steps from 0 to 1, finite weights")
        if self.half not in get_args(Half):
            raise AstrogateError(f"half {self.half!r} is unknown", f"use {', '.join(get_args(Half))}")
        if self.rule not in ("add", "turn", "toward", "knots"):
            raise AstrogateError(f"rule {self.rule!r} is unknown", "use add, turn, toward or knots")
        if (self.rule == "knots") != bool(self.knots) or list(self.knots) != sorted(set(self.knots)):
            raise AstrogateError(
                f"knots {self.knots} for the rule {self.rule!r}", "give rising strengths to knots alone"
            )
        if self.spans and (self.rule != "turn" or any(a >= b for a, b in self.spans)):
            raise AstrogateError(f"spans {self.spans} for the rule {self.rule!r}", "give rising ranges to turn alone")
        if any(vector.shape[:1] != (len(self.knots),) for vector in self.vectors.values() if self.knots):
            raise AstrogateError(f"{len(self.knots)} knots", "give one vector per knot")

    def weight(self, now: Moment) -> float:
        """How much of the move acts at a moment: 0 outside the window."""
        if not now.within(self.window):
            return 0.0
        if not self.curve:
            return 1.0
        u = now.done
        (x0, y0), *rest = self.curve
        for x1, y1 in rest:
            if u < x1:
                return y0 + (y1 - y0) * max(0.0, u - x0) / (x1 - x0)
            x0, y0 = x1, y1
        return y0

    def scaled(self, factor: float) -> Steer:
        """The same steer, `factor` times as strong."""
        return replace(self, scale=self.scale * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """Add `scale * mask * (eps(edit) - eps(base))` to the prediction, in a window of the sampling.

    `tensors` are the edit's conditioning by space, without batch, e.g. "prompt_embeds" [tokens, width]; with `added`
    they are added to the point's own. `base` is the half of classifier-free guidance to measure against. The mask keeps
    the places where the difference is above its quantile `quantile`: 0 is no mask. It is taken from the mean over
    channels, or with `mask` "channels" in each channel by itself. `momentum` (a, b) adds a times the mean of the terms
    before, of which each step keeps the share b; it builds up before the window, too. A guide costs one more row of the
    denoiser.
    """

    tensors: Mapping[str, Tensor] = field(repr=False)
    scale: float = 1.0
    window: Window = (0.0, 1.0)
    added: bool = False
    base: Literal["positive", "negative"] = "positive"
    quantile: float = 0.0
    mask: Literal["places", "channels"] = "places"
    momentum: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        _settle(self, self.tensors)
        if self.added not in (True, False):
            raise AstrogateError(f"added {self.added!r}", "use True or False")
        if self.base not in ("positive", "negative"):
            raise AstrogateError(f"base {self.base!r} is unknown", "use positive or negative")
        if self.mask not in ("places", "channels"):
            raise AstrogateError(f"mask {self.mask!r} is unknown", "use places or channels")
        shares = pair(self.momentum, "momentum", "use two shares from 0 to 1")
        added, kept = (real(share, "momentum", 0, 1, "use two shares from 0 to 1") for share in shares)
        object.__setattr__(self, "momentum", (added, kept))
        quantile = real(self.quantile, "quantile", 0, 1, "use a share of the picture from 0 up to 1")
        if quantile == 1:
            raise AstrogateError("quantile 1", "use a share of the picture from 0 up to 1")
        object.__setattr__(self, "quantile", quantile)

    def acts(self, now: Moment) -> bool:
        """Whether it acts at a moment."""
        return now.within(self.window)

    def predicts(self, now: Moment) -> bool:
        """Whether its row is needed at a moment: it acts, or builds up its momentum."""
        return self.acts(now) or (self.momentum[0] > 0 and now.before(self.window))

    def scaled(self, factor: float) -> Guide:
        """The same guide, `factor` times as strong."""
        return replace(self, scale=self.scale * factor)


@dataclass(frozen=True, slots=True)
class Hold:
    """How far an edited picture is held to the unedited one, which is drawn beside it (`models.sampler.edits`).

    `share` 0 is not at all, 1 as far as can be. From the share `attend` of the steps on, self-attention looks at the
    unedited picture, whatever `share` is; 1 is never.
    """

    share: float = 0.0
    attend: float = 1.0

    def __post_init__(self) -> None:
        for name, what in (("share", "hold"), ("attend", "attend")):
            object.__setattr__(self, name, real(getattr(self, name), what, 0, 1, "use a share from 0 to 1"))

    @property
    def acts(self) -> bool:
        """Whether it does anything."""
        return self.share > 0 or self.attend < 1


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What an edit does at one scale."""

    steers: tuple[Steer, ...] = ()
    guides: tuple[Guide, ...] = ()
    hold: Hold | None = None

    def scaled(self, factor: float) -> Parts:
        """The same parts, `factor` times as strong; the hold stays."""
        return Parts(
            tuple(steer.scaled(factor) for steer in self.steers),
            tuple(guide.scaled(factor) for guide in self.guides),
            self.hold,
        )

    def spaces(self) -> frozenset[str]:
        """The spaces that these parts move or replace."""
        return frozenset(
            [space for steer in self.steers for space in steer.vectors]
            + [space for guide in self.guides for space in guide.tensors]
        )


def checked_window(given: Any) -> Window:
    """A window in Python's own numbers. Raises AstrogateError for what is none."""
    values: list[Any] = [*cast("tuple[Any, ...]", given)] if isinstance(given, (tuple, list)) else [given]
    by_noise = len(values) == 3 and values[0] == "noise"
    ends = pair(values[1:] if by_noise else given, "a window", 'give (start, end) or ("noise", start, end)')
    start, end = (real(share, "a window's end") for share in ends)
    if by_noise and not 1 >= start > end >= 0:
        raise AstrogateError(f"window of noise {start:g} to {end:g}", "use falling levels, 1 >= start > end >= 0")
    if not by_noise and not 0 <= start < end <= 1:
        raise AstrogateError(f"window {start:g} to {end:g}", "use shares of the steps, 0 <= start < end <= 1")
    return ("noise", start, end) if by_noise else (start, end)


def moments(levels: Sequence[float]) -> list[Moment]:
    """The moments of a sampling's steps, by their levels of noise (`Model.noise_levels`)."""
    return [Moment(i / len(levels), level) for i, level in enumerate(levels)]


def late(steps: int) -> tuple[float, float]:
    """Without the first fifth of the steps, by when layout is settled; of one or two all (docs/windows.md)."""
    return (0.2, 1.0) if steps > 2 else (0.0, 1.0)


def _listed(values: Any, what: str) -> list[Any]:
    """Values one after the other. Raises AstrogateError for a single one."""
    if not hasattr(values, "__iter__"):
        raise AstrogateError(f"{what} {repr(values)[:40]}", "give a list")
    return list(values)


def _settle(part: Steer | Guide, tensors: Any) -> None:
    """Bring scale and window of a part to Python's own numbers, and check them and its tensors."""
    given = cast("Mapping[str, Any]", tensors) if isinstance(tensors, Mapping) else {"": tensors}
    for space, tensor in given.items():
        floats = getattr(tensor, "is_floating_point", None)
        if not space or floats is None or not (floats() or space.endswith("_mask")):
            kind = f"{type(tensor).__name__} {getattr(tensor, 'dtype', '')}".strip()
            raise AstrogateError(f"an edit's {space or 'spaces'} are {kind}", "give tensors of floats by space")
    scale = real(part.scale, "scale", -1000, 1000, "use a finite number of at most 1000 either way")
    object.__setattr__(part, "window", checked_window(part.window))
    object.__setattr__(part, "scale", scale)
