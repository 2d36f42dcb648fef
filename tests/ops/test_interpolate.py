"""Laws of interpolation: slerp is scipy's, nlerp runs on its circle, mixes and loops stay Gaussian, public pitfalls."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial import geometric_slerp

from astrogate.core.errors import AstrogateError
from astrogate.ops.interpolate import angle, arc, circle, lerp, mix, nlerp, slerp


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def unit(x: torch.Tensor) -> torch.Tensor:
    return x.double() / x.double().norm()


def test_slerp_agrees_with_scipy() -> None:
    a, b = (x / x.norm() for x in (draw(6, seed=1), draw(6, seed=2)))
    steps = np.linspace(0, 1, 9)
    theirs = geometric_slerp(
        a.double().numpy() / a.double().norm().item(), b.double().numpy() / b.double().norm().item(), steps
    )
    for u, expected in zip(steps, theirs, strict=True):
        assert torch.allclose(slerp(a, b, float(u)), torch.from_numpy(expected).float(), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_slerp_keeps_the_norm_and_the_ends(dtype: torch.dtype) -> None:
    a, b = (draw(4, 128, 128, seed=s, dtype=dtype) for s in (1, 2))
    assert torch.equal(slerp(a, b, 0), a)
    assert torch.equal(slerp(a, b, 1), b)
    for u in (0.1, 0.5, 0.9):
        c = slerp(a, b, u)
        assert c.dtype == dtype
        expected = (1 - u) * a.double().norm() + u * b.double().norm()
        assert float(c.double().norm() / expected) == pytest.approx(1, abs=1e-3)
        assert angle(a, c) == pytest.approx(u * angle(a, b), abs=2e-3)


def test_slerp_at_its_limits() -> None:
    a = draw(8)
    assert torch.allclose(slerp(a, a * 3, 0.5), a * 2)
    near = a + 1e-9 * draw(8, seed=1)
    assert torch.isfinite(slerp(a, near, 0.3)).all()
    with pytest.raises(AstrogateError, match="opposite"):
        slerp(a, -a, 0.5)
    with pytest.raises(AstrogateError, match="zero"):
        slerp(a, torch.zeros(8), 0.5)
    with pytest.raises(AstrogateError, match="shapes"):
        slerp(a, draw(7), 0.5)
    quarter = slerp(torch.tensor([1.0, 0]), torch.tensor([0, 1.0]), -1.0)
    assert torch.allclose(quarter, torch.tensor([0, -1.0]), atol=1e-6)
    assert torch.equal(lerp(a, draw(8, seed=2), 1), draw(8, seed=2))


@pytest.mark.parametrize("u", [0.1, 0.25, 0.5, 0.8])
def test_nlerp_runs_on_the_great_circle_of_slerp_at_another_speed(u: float) -> None:
    a, b = (unit(draw(4, 64, 64, seed=s)) for s in (1, 2))
    assert torch.allclose(unit(nlerp(a, b, u)), unit(slerp(a, b, arc(u, angle(a, b)))), atol=1e-12)
    assert arc(u) == pytest.approx(2 / math.pi * math.atan2(u, 1 - u))


def test_the_two_are_at_most_4_07_degrees_apart() -> None:
    apart = max(abs(arc(u / 1000) - u / 1000) * 90 for u in range(1001))
    assert apart == pytest.approx(4.07, abs=0.005)


def test_nlerp_twice_as_fast_in_the_middle() -> None:
    assert (arc(0.501) - arc(0.499)) / (arc(0.002) - arc(0.0)) == pytest.approx(2, rel=0.01)


def test_lerp_loses_spread_where_nlerp_keeps_it() -> None:
    a, b = draw(4, 64, 64, seed=1), draw(4, 64, 64, seed=2)
    assert float(lerp(a, b, 0.5).std()) == pytest.approx(0.5**0.5, abs=0.02)
    for u in (0.2, 0.5, 0.7):
        assert float(nlerp(a, b, u).std()) == pytest.approx(1, abs=0.02)


def test_correlated_draws_need_the_correlated_form() -> None:
    a, other = draw(4, 64, 64, seed=1), draw(4, 64, 64, seed=2)
    b = 0.6 * a + 0.8 * other
    assert float(nlerp(a, b, 0.5).std()) == pytest.approx(1.26, abs=0.02)
    assert float(nlerp(a, b, 0.5, correlation=0.6).std()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_ends_are_exact_in_every_dtype(dtype: torch.dtype) -> None:
    a, b = draw(4, 8, 8, seed=1, dtype=dtype), draw(4, 8, 8, seed=2, dtype=dtype)
    for between in (lerp, nlerp, slerp):
        assert between(a, b, 0) is a
        assert between(a, b, 1) is b
        assert between(a, b, 0.3).dtype == dtype
    assert circle(a, b, 0) is a
    assert circle(a, b, 1) is a
    assert circle(a, b, 0.25) is b


def test_mix_of_many_is_a_draw_again_and_a_corner_its_point() -> None:
    points = [draw(4, 64, 64, seed=s) for s in range(4)]
    assert float(mix(points, [0.1, 0.2, 0.3, 0.4]).std()) == pytest.approx(1, abs=0.02)
    assert mix(points, [0, 0, 1, 0]) is points[2]
    assert torch.equal(mix(points[:2], [-1, 0]), -points[0])
    assert torch.equal(mix(points[:2], [0.3, 0.7]), nlerp(*points[:2], 0.7))


def test_mix_around_another_mean() -> None:
    points = [3 + draw(4, 64, 64, seed=s) for s in range(3)]
    middle = mix(points, [1 / 3] * 3, mean=3.0)
    assert float(middle.mean()) == pytest.approx(3, abs=0.02)
    assert float(middle.std()) == pytest.approx(1, abs=0.02)


def test_mix_with_correlations_agrees_with_the_sample() -> None:
    """Of a thousand sets of correlated draws, the mix has variance 1 in every component."""
    r = torch.tensor([[1.0, 0.5, 0.2], [0.5, 1.0, -0.3], [0.2, -0.3, 1.0]])
    draws = torch.linalg.cholesky(r) @ draw(3, 20_000)
    mixed = mix(list(draws), [0.2, 0.5, 0.3], correlations=r)
    assert float(mixed.std()) == pytest.approx(1, abs=0.02)


def test_weights_that_cancel_raise() -> None:
    a = draw(4)
    with pytest.raises(AstrogateError, match="cancel"):
        mix([a, a], [1.0, -1.0], correlations=torch.ones(2, 2))
    with pytest.raises(AstrogateError, match="the ends are opposite"):
        nlerp(a, -a, 0.5, correlation=-1.0)
    with pytest.raises(AstrogateError, match="weight for each"):
        mix([a], [0.5, 0.5])


def test_the_circle_stays_gaussian_and_closes() -> None:
    a, b = draw(4, 64, 64, seed=1), draw(4, 64, 64, seed=2)
    for u in (0.1, 0.4, 0.6, 0.9):
        assert float(circle(a, b, u).std()) == pytest.approx(1, abs=0.02)
    assert torch.allclose(circle(a, b, 0.5), -a)


class TestPitfalls:
    """Mistakes that public slerps make (notes on paths)."""

    def test_norms_of_large_halves_do_not_overflow(self) -> None:
        a, b = (draw(4, 128, 128, seed=s, dtype=torch.float16) for s in (1, 2))
        assert torch.isfinite(slerp(a, b, 0.5)).all()

    def test_the_middle_keeps_its_norm_at_a_cosine_of_point_8(self) -> None:
        a = unit(draw(4, 64, 64, seed=1))
        side = unit(draw(4, 64, 64, seed=2) - (draw(4, 64, 64, seed=2).double() * a).sum() * a)
        assert float(slerp(a, 0.8 * a + 0.6 * side, 0.5).norm()) == pytest.approx(1, abs=1e-9)

    def test_nearly_parallel_is_continuous(self) -> None:
        a = draw(16)
        for size in (1e-3, 1e-5, 1e-7):
            b = a + size * draw(16, seed=1)
            assert torch.allclose(slerp(a, b, 0.25), a + 0.25 * (b - a), atol=1e-6)
        x = torch.tensor([1.0, 0.0], dtype=torch.float64)
        y = torch.tensor([1.0, 5e-7], dtype=torch.float64)
        assert angle(x, slerp(x, y, 0.25)) == pytest.approx(0.25 * 5e-7, rel=1e-6)
        assert float(slerp(x, 3 * x, 0.25)[0]) == pytest.approx(1.5)

    def test_antiparallel_raises_and_does_not_shrink_to_nothing(self) -> None:
        with pytest.raises(AstrogateError, match="third point"):
            slerp(draw(16), -2 * draw(16), 0.5)

    def test_each_item_of_a_batch_has_an_angle_of_its_own(self) -> None:
        """A walk interpolates item by item: two pairs at different angles don't share one."""
        a, b, c = (unit(draw(16, seed=s)) for s in (1, 2, 3))
        assert angle(a, b) != pytest.approx(angle(a, c), abs=1e-3)
        assert angle(a, slerp(a, b, 0.5)) == pytest.approx(angle(a, b) / 2)
        assert angle(a, slerp(a, c, 0.5)) == pytest.approx(angle(a, c) / 2)

    def test_time_runs_the_same_way_near_and_far(self) -> None:
        a = torch.tensor([1.0, 0.0])
        near, far = torch.tensor([1.0, 1e-4]), torch.tensor([0.0, 1.0])
        assert float(slerp(a, near, 0.25)[1]) == pytest.approx(0.25e-4, rel=1e-3)
        assert float(slerp(a, far, 0.25)[1]) < 0.5
