"""Times at equal steps of what was measured along a path.

    even:  u = S^-1(x),   S(u) = the steps up to u / all steps

for x = 0, 1/m .. 1 over every stretch between two keys, with S^-1 monotone (PCHIP; Fritsch & Carlson 1980). A stretch
gets its share m of the frames by what its steps sum to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator  # pyright: ignore[reportMissingTypeStubs]

from astrogate.core.errors import AstrogateError
from astrogate.core.path import spread


def even(
    us: Sequence[float], steps: Sequence[float], n: int, keys: Sequence[float] = (0.0, 1.0), *, closed: bool = False
) -> list[float]:
    """`n` times at equal steps of what was measured between neighbours of `us`: `steps` [len(us) - 1].

    `us` are rising and contain every key. Raises AstrogateError where they don't, and for steps that are no distances.
    """
    grid = np.asarray(us, np.float64)
    way = np.concatenate([[0.0], np.cumsum(np.asarray(steps, np.float64))])
    if len(grid) != len(way) or (np.diff(grid) <= 0).any() or (np.diff(way) < 0).any() or not np.isfinite(way[-1]):
        raise AstrogateError(f"{len(us)} times with {len(steps)} steps", "give rising times and steps of 0 or more")
    marks = [int(i) for i in np.searchsorted(grid, keys)]
    if marks[-1] >= len(grid) or (grid[marks] != keys).any():
        raise AstrogateError(f"keys {tuple(keys)} are not all among the times", "measure at every key, too")

    inverses = [_inverse(grid[a : b + 1], way[a : b + 1]) for a, b in pairwise(marks)]
    lengths = [float(way[b] - way[a]) for a, b in pairwise(marks)]
    return spread(n, keys, lengths, lambda stretch, x: float(inverses[stretch](x)), closed=closed)


def _inverse(when: NDArray[np.float64], way: NDArray[np.float64]) -> Callable[[float], float]:
    """The share of a stretch's time in which a share of its way is done."""
    done, time = way - way[0], when - when[0]
    if done[-1] == 0:
        return lambda x: x
    moving = np.concatenate([[True], np.diff(done) > 1e-12 * done[-1]])
    return PchipInterpolator(done[moving] / done[-1], time[moving] / time[-1])


def nearest(us: Sequence[float], wanted: Sequence[float]) -> list[int]:
    """Which of the rising `us` is nearest to each of `wanted`: what re-uses frames that are there."""
    grid, times = np.asarray(us, np.float64), np.asarray(wanted, np.float64)
    right = np.clip(np.searchsorted(grid, times), 1, len(grid) - 1)
    return [int(i) for i in right - (np.abs(grid[right - 1] - times) <= np.abs(grid[right] - times))]
