"""Laws of measured timing: even steps are even; what is nearest is nearest."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from astrogate.core.errors import AstrogateError
from astrogate.ops.timing import even, nearest


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
    with pytest.raises(AstrogateError, match="rising"):
        even([0.0, 1.0], [-1.0], 3)
    with pytest.raises(AstrogateError, match="at every key"):
        even([0.0, 0.4, 1.0], [1.0, 1.0], 5, (0.0, 0.5, 1.0))


def test_nearest() -> None:
    assert nearest([0.0, 0.5, 1.0], [0.0, 0.2, 0.3, 0.74, 0.76, 1.0]) == [0, 0, 1, 1, 2, 2]
