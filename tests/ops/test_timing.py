"""Laws of timing: keys are times, once; even steps are even; what is nearest is nearest."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from astrogate.core.errors import AstrogateError
from astrogate.ops.timing import eased, even, nearest, uniform

KEYS = (0.0, 1 / 3, 2 / 3, 1.0)


@pytest.mark.parametrize("n", [4, 5, 10, 16, 301])
@pytest.mark.parametrize("timing", [uniform, eased])
def test_every_key_is_a_time_once(n: int, timing: type) -> None:
    times = timing(n, KEYS)
    assert len(times) == n
    assert all(times.count(key) == 1 for key in KEYS)
    assert all(b > a for a, b in pairwise(times))


def test_a_closed_path_leaves_out_its_end() -> None:
    times = uniform(9, KEYS, closed=True)
    assert times == pytest.approx([i / 9 for i in range(9)])
    assert 1.0 not in times


def test_uniform_is_the_seed_s_grid() -> None:
    assert uniform(300) == pytest.approx([i / 299 for i in range(300)])


def test_eased_rests_at_the_ends() -> None:
    steps = np.diff(eased(101))
    assert steps[0] < 0.1 * steps[50]
    assert steps[50] == pytest.approx(1.5 / 100, rel=0.01)


def test_too_few_frames() -> None:
    for n in (0, 1):
        with pytest.raises(AstrogateError, match="2 or more"):
            uniform(n)
    with pytest.raises(AstrogateError, match="4 or more"):
        uniform(3, KEYS)


def test_even_undoes_a_known_speed() -> None:
    """Along S(u) = u^3, equal steps are at cube roots."""
    us = list(np.linspace(0, 1, 201))
    times = even(us, list(np.diff(np.asarray(us) ** 3)), 11)
    assert times == pytest.approx([(k / 10) ** (1 / 3) for k in range(11)], abs=2e-3)


def test_even_keeps_keys_and_spends_frames_by_length() -> None:
    us = [0.0, 0.25, 0.5, 0.75, 1.0]
    times = even(us, [1.0, 1.0, 4.0, 4.0], 11, (0.0, 0.5, 1.0))
    assert times.count(0.5) == 1
    assert sum(t < 0.5 for t in times) == 2
    assert times == pytest.approx([0, 0.25, *np.linspace(0.5, 1, 9)], abs=1e-9)


def test_even_passes_over_what_does_not_move() -> None:
    times = even([0.0, 0.4, 0.6, 1.0], [1.0, 0.0, 1.0], 5)
    assert times[0] == 0
    assert times[-1] == 1
    assert all(b > a for a, b in pairwise(times))
    assert even([0.0, 0.5, 1.0], [0.0, 0.0], 3) == [0.0, 0.5, 1.0]


def test_even_refuses_what_is_no_measure() -> None:
    with pytest.raises(ValueError, match="rising"):
        even([0.0, 1.0], [-1.0], 3)
    with pytest.raises(ValueError, match="every key"):
        even([0.0, 0.4, 1.0], [1.0, 1.0], 5, (0.0, 0.5, 1.0))


def test_nearest() -> None:
    assert nearest([0.0, 0.5, 1.0], [0.0, 0.2, 0.3, 0.74, 0.76, 1.0]) == [0, 0, 1, 1, 2, 2]
