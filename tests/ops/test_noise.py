"""Laws of moved noise: rings permute, whole cells are exact, less than a cell stays white."""

from __future__ import annotations

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.seeds import noise
from astrogate.measure.paths import score_noise
from astrogate.ops.noise import coarser, finer, scaled, shifted, splice, window

A, B = noise((4, 64, 64), 1), noise((4, 64, 64), 2)
RING = torch.cat([A, B], -1)


def test_scaled() -> None:
    assert scaled(A, 1.0) is A
    assert float(scaled(A, 1.5).std()) == pytest.approx(1.5, abs=0.02)
    with pytest.raises(AstrogateError, match="standard deviation"):
        scaled(A, -1.0)


def test_a_window_is_a_permutation_that_closes() -> None:
    assert torch.equal(window(RING, 0, 64), A)
    assert torch.equal(window(RING, 64, 64), B)
    assert torch.equal(window(RING, 128, 64), A)
    assert torch.equal(window(RING, 100, 128).flatten().sort().values, RING.flatten().sort().values)


def test_splice_goes_column_by_column() -> None:
    assert torch.equal(splice(A, B, 0), B)
    assert torch.equal(splice(A, B, 64), A)
    half = splice(A, B, 20)
    assert torch.equal(half[..., :20], A[..., :20])
    assert torch.equal(half[..., 20:], B[..., 20:])
    for t in (-1, 65):
        with pytest.raises(AstrogateError, match="column"):
            splice(A, B, t)


@pytest.mark.parametrize("k", [2, 4, 8])
def test_finer_cells_are_white_and_sum_to_the_coarse_ones(k: int) -> None:
    fine = finer(RING, k, seed=3)
    assert fine.shape == (4, 64, 128 * k)
    assert torch.allclose(coarser(fine, k), RING, atol=1e-6)
    found = score_noise(fine)
    assert found.norm == pytest.approx(1, abs=0.01)
    assert abs(found.neighbours) < 0.01


@pytest.mark.parametrize("f", [0.125, 0.25, 0.5])
def test_shifts_below_a_cell_stay_white_where_interpolation_does_not(f: float) -> None:
    fine = finer(RING, 8, seed=3)
    moved = score_noise(shifted(RING, fine, 10 + f, 64))
    assert moved.norm == pytest.approx(1, abs=0.02)
    assert abs(moved.neighbours) < 0.02
    blended = (1 - f) * window(RING, 10, 64) + f * window(RING, 11, 64)
    along = (blended[..., 1:] * blended[..., :-1]).mean() / blended.square().mean()
    assert float(along) == pytest.approx(f * (1 - f) / (f**2 + (1 - f) ** 2), abs=0.03)


def test_whole_cells_are_exact() -> None:
    fine = finer(RING, 8, seed=3)
    for start in (0, 1, 64, 127, 128):
        assert torch.equal(shifted(RING, fine, start, 64), window(RING, start, 64))


def test_a_small_shift_is_a_small_change() -> None:
    fine = finer(RING, 8, seed=3)
    kept = [float((shifted(RING, fine, 5 + f, 64) * window(RING, 5, 64)).mean()) for f in (0.125, 0.25, 0.5)]
    assert kept == pytest.approx([7 / 8, 6 / 8, 4 / 8], abs=0.03)
