"""When a path is where: times u_0 .. u_(n-1) in [0, 1], apart from the path itself.

    uniform:  u = x
    eased:    u = x^2 (3 - 2 x)                                     rest, motion, rest
    even:     u = S^-1(x),  S(u) = the steps up to u / all steps    equal steps of a measured distance

for x = 0, 1/m .. 1 over every stretch between two keys, with S^-1 monotone (PCHIP; Fritsch & Carlson 1980). A stretch
gets its share m of the steps by its length, so each key is a time, once. Of a closed path the last time, which is the
first again, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from astrogate.core.errors import AstrogateError
from astrogate.core.path import Path
from astrogate.core.point import Point

KEYS = (0.0, 1.0)


class Timing(Protocol):
    """What `uniform` and `eased` are: a number of frames and keys to times."""

    def __call__(self, n: int, keys: Sequence[float] = KEYS, *, closed: bool = False) -> list[float]:
        """The times."""
        ...


def uniform(n: int, keys: Sequence[float] = KEYS, *, closed: bool = False) -> list[float]:
    """`n` times at even distances. Raises AstrogateError for fewer than there are keys, and for n < 2."""
    return _times(n, keys, closed, [b - a for a, b in pairwise(keys)], lambda _, x: x)


def eased(n: int, keys: Sequence[float] = KEYS, *, closed: bool = False) -> list[float]:
    """`n` times that leave and reach every key slowly."""
    return _times(n, keys, closed, [b - a for a, b in pairwise(keys)], lambda _, x: x * x * (3 - 2 * x))


def even(
    us: Sequence[float], steps: Sequence[float], n: int, keys: Sequence[float] = KEYS, *, closed: bool = False
) -> list[float]:
    """`n` times at equal steps of what was measured between neighbours of `us`: `steps` [len(us) - 1].

    `us` are rising and hold every key. Raises ValueError where they don't, and for steps that are no distances.
    """
    grid = np.asarray(us, np.float64)
    way = np.concatenate([[0.0], np.cumsum(np.asarray(steps, np.float64))])
    if len(grid) != len(way) or (np.diff(grid) <= 0).any() or (np.diff(way) < 0).any() or not np.isfinite(way[-1]):
        raise ValueError("rising times are expected, and between them steps that are 0 or more")
    marks = [int(i) for i in np.searchsorted(grid, keys)]
    if marks[-1] >= len(grid) or (grid[marks] != keys).any():
        raise ValueError("the times must hold every key")

    inverses = [_inverse(grid[a : b + 1], way[a : b + 1]) for a, b in pairwise(marks)]
    lengths = [way[b] - way[a] for a, b in pairwise(marks)]
    return _times(n, keys, closed, lengths, lambda stretch, x: float(inverses[stretch](x)))


def _inverse(when: NDArray[np.float64], way: NDArray[np.float64]) -> Callable[[float], float]:
    """The share of a stretch's time in which a share of its way is done."""
    done, time = way - way[0], when - when[0]
    if done[-1] == 0:
        return lambda x: x
    moving = np.concatenate([[True], np.diff(done) > 1e-12 * done[-1]])
    return PchipInterpolator(done[moving] / done[-1], time[moving] / time[-1])


def sample(path: Path, n: int, timing: Timing = uniform) -> Iterator[Point]:
    """`n` points of a path at uniform or eased times, made as they are asked for."""
    return path.sample(timing(n, path.keys, closed=path.closed))


def nearest(us: Sequence[float], wanted: Sequence[float]) -> list[int]:
    """Which of the rising `us` is nearest to each of `wanted`: what re-uses frames that are there."""
    grid, times = np.asarray(us, np.float64), np.asarray(wanted, np.float64)
    right = np.clip(np.searchsorted(grid, times), 1, len(grid) - 1)
    return [int(i) for i in right - (np.abs(grid[right - 1] - times) <= np.abs(grid[right] - times))]


def _times(
    n: int, keys: Sequence[float], closed: bool, lengths: Sequence[float], at: Callable[[int, float], float]
) -> list[float]:
    """`n` times: `at(stretch, x)` within each stretch, and the keys themselves."""
    if n < 2:
        raise AstrogateError(f"{n} frames", "ask for 2 or more")
    times: list[float] = []
    for i, m in enumerate(_shared(n if closed else n - 1, lengths)):
        a, b = keys[i], keys[i + 1]
        times += [a, *(a + (b - a) * at(i, j / m) for j in range(1, m))]
    return times if closed else [*times, keys[-1]]


def _shared(steps: int, lengths: Sequence[float]) -> list[int]:
    """How many of the steps each stretch gets: one at least, the rest by length, largest remainders first."""
    if steps < len(lengths):
        raise AstrogateError(f"too few frames for {len(lengths)} stretches", f"ask for {len(lengths) + 1} or more")
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
