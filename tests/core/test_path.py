"""Laws of paths: keys are times, once; a closed path leaves out its end; points are made as they are asked for."""

from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from astrogate.core.errors import AstrogateError
from astrogate.core.path import Path, Timing

KEYS = (0.0, 1 / 3, 2 / 3, 1.0)


def line(keys: tuple[float, ...] = (0.0, 1.0), *, closed: bool = False) -> Path:
    """A path whose points are the u themselves."""
    at: Any = float
    return Path(at, keys, closed)


@pytest.mark.parametrize("n", [4, 5, 10, 16, 301])
@pytest.mark.parametrize("timing", ["uniform", "eased"])
def test_every_key_is_a_time_once(n: int, timing: Timing) -> None:
    times = line(KEYS).times(n, timing)
    assert len(times) == n
    assert all(times.count(key) == 1 for key in KEYS)
    assert all(b > a for a, b in pairwise(times))
    assert list(line(KEYS).sample(n, timing)) == times


def test_a_closed_path_leaves_out_its_end() -> None:
    times = line(KEYS, closed=True).times(9)
    assert times == pytest.approx([i / 9 for i in range(9)])
    assert 1.0 not in times


def test_uniform_is_an_even_grid() -> None:
    assert line().times(300) == pytest.approx([i / 299 for i in range(300)])


def test_eased_rests_at_the_ends() -> None:
    steps = np.diff(line().times(101, "eased"))
    assert steps[0] < 0.1 * steps[50]
    assert steps[50] == pytest.approx(1.5 / 100, rel=0.01)


def test_points_are_made_as_they_are_asked_for() -> None:
    made: list[float] = []
    at: Any = made.append
    assert len(list(islice(Path(at).sample(1_000_000), 3))) == len(made) == 3


def test_what_is_no_timing_is_refused_at_once() -> None:
    for n in (0, 1):
        with pytest.raises(AstrogateError, match="2 or more"):
            line().sample(n)
    with pytest.raises(AstrogateError, match="4 or more"):
        line(KEYS).sample(3)
    with pytest.raises(AstrogateError, match="2 frames for 3 stretches: ask for 3 or more"):
        line(KEYS, closed=True).sample(2)
    assert len(line(KEYS, closed=True).times(3)) == 3
    wrong: Any = "odd"
    with pytest.raises(AstrogateError, match="choose uniform or eased"):
        line().sample(9, wrong)
