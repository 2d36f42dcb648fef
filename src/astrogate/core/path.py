"""Path: where to go, and when to be there: times u_0 .. u_(n-1) in [0, 1].

    uniform:  u = x
    eased:    u = x^2 (3 - 2 x)         rest, motion, rest

for x = 0, 1/m .. 1 over every stretch between two keys. A stretch gets its share m of the steps by its length, so each
key is a time, once. Of a closed path the last time, which is the first again, is left out. Times that depend on what
the pictures show are measured (`methods.path.pace`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from astrogate.core.errors import AstrogateError
from astrogate.core.values import real, whole

if TYPE_CHECKING:
    from astrogate.core.point import Point

Timing = Literal["uniform", "eased"]

_CURVES: dict[Timing, Callable[[float], float]] = {"uniform": lambda x: x, "eased": lambda x: x * x * (3 - 2 * x)}


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A point for every u in [0, 1]. `keys` are the u of its key points; a closed path ends where it started."""

    at: Callable[[float], Point]
    keys: tuple[float, ...] = (0.0, 1.0)
    closed: bool = False

    def __call__(self, u: float) -> Point:
        """The point at u. Raises AstrogateError outside [0, 1]."""
        return self.at(real(u, "u = {}", 0, 1, "a path runs from 0 to 1"))

    def times(self, n: int, timing: Timing = "uniform") -> list[float]:
        """`n` times, every key among them.

        Raises AstrogateError for an unknown timing, for fewer times than there are keys, and for fewer than 2.
        """
        if timing not in _CURVES:
            raise AstrogateError(f"timing {timing!r} is unknown", f"choose {' or '.join(_CURVES)}")
        curve = _CURVES[timing]
        lengths = [b - a for a, b in pairwise(self.keys)]
        return spread(n, self.keys, lengths, lambda _, x: curve(x), closed=self.closed)

    def sample(self, n: int, timing: Timing = "uniform") -> Iterator[Point]:
        """`n` points at the times of a timing, made as they are asked for; `map(path, us)` are those at other times.

        Raises AstrogateError as `times` does.
        """
        return map(self, self.times(n, timing))


def spread(
    n: int,
    keys: Sequence[float],
    lengths: Sequence[float],
    at: Callable[[int, float], float],
    *,
    closed: bool = False,
) -> list[float]:
    """`n` times: the keys, and within each stretch between two of them its number of `at(stretch, x)`.

    `lengths` [keys - 1] share out the steps. Raises AstrogateError for fewer times than keys, and for fewer than 2.
    """
    n = whole(n, "{} frames", 2, 10_000_000, "ask for 2 or more")
    times: list[float] = []
    if n < (least := len(lengths) + (not closed)):
        raise AstrogateError(f"{n} frames for {len(lengths)} stretches", f"ask for {least} or more")
    for i, m in enumerate(_shared(n if closed else n - 1, lengths)):
        a, b = keys[i], keys[i + 1]
        times += [a, *(a + (b - a) * at(i, j / m) for j in range(1, m))]
    return times if closed else [*times, keys[-1]]


def _shared(steps: int, lengths: Sequence[float]) -> list[int]:
    """How many of the steps each stretch gets: one at least, the rest by length, largest remainders first."""
    total = sum(lengths)
    wanted = [steps * length / total if total > 0 else steps / len(lengths) for length in lengths]
    given = [max(1, int(share)) for share in wanted]
    while sum(given) < steps:
        short = max(range(len(given)), key=lambda i: wanted[i] - given[i])
        given[short] += 1
    while sum(given) > steps:
        long = min((i for i in range(len(given)) if given[i] > 1), key=lambda i: wanted[i] - given[i])
        given[long] -= 1
    return given
