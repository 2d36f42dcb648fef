"""Laws of pace, on a planted path: grey levels that rise at a known speed, and one that jumps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path as Folder

import numpy as np
import pytest
import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.path import Path
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.methods.path.pace import pace, retimed
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.render import render


class Grey:
    """Draws a point of noise u as a picture of level(u)."""

    weights, recipe, dtype, factor = "grey", Recipe(), "float32", 1

    def __init__(self, level: Callable[[float], float]) -> None:
        self.level, self.drawn = level, 0

    def denoise(self, points: Sequence[Point], recipe: Recipe) -> Tensor:
        self.drawn += len(points)
        return torch.stack([point.tensors["latents"] for point in points])

    def decode(self, latents: Tensor) -> Tensor:
        levels = torch.tensor([self.level(float(u)) for u in latents.flatten()])
        return levels[:, None, None, None].expand(-1, 3, 64, 1).contiguous()


class Squared:
    """The mean squared difference: like every perceptual distance, quadratic in small changes."""

    def between(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).square().flatten(1).mean(1)


def line(keys: tuple[float, ...] = (0.0, 1.0), closed: bool = False) -> Path:
    return Path(lambda u: Point({"latents": torch.full((1, 1, 1), u)}, "grey"), keys, closed)


def test_even_steps_along_an_uneven_path() -> None:
    model = Grey(lambda u: u**3)
    found = pace(model, line(), 9, Squared(), probes=17)  # type: ignore[arg-type]
    levels = np.asarray(found.times) ** 3
    assert levels == pytest.approx(np.linspace(0, 1, 9), abs=0.01)
    assert found.jumps == ()


def test_fast_stretches_are_probed_more() -> None:
    model = Grey(lambda u: min(1.0, max(0.0, 20 * (u - 0.5))))
    found = pace(model, line(), 17, Squared(), probes=9)  # type: ignore[arg-type]
    steps = np.diff([model.level(u) for u in found.times])
    assert steps.max() < 1.5 / 16
    inside = [u for u in found.probed if 0.5 <= u <= 0.55]
    assert len(inside) > 0.4 * len(found.probed)


def test_a_jump_is_flagged_and_not_chased() -> None:
    model = Grey(lambda u: 0.2 * u + 0.6 * (u > 0.4))
    found = pace(model, line(), 9, Squared(), smallest=1 / 64)  # type: ignore[arg-type]
    assert len(found.jumps) == 1
    low, high = found.jumps[0]
    assert low <= 0.4 <= high
    assert high - low < 2 / 64
    assert len(found.probed) < 40


def test_frames_are_not_spent_on_a_jump() -> None:
    model = Grey(lambda u: 0.2 * u + 0.6 * (u > 0.4))
    found = pace(model, line(), 9, Squared(), smallest=1 / 64)  # type: ignore[arg-type]
    low, high = found.jumps[0]
    assert sum(low < u < high for u in found.times) <= 1
    steps = np.diff([model.level(u) for u in found.times])
    assert sorted(steps)[-2] < 0.06


def test_many_frames_of_a_smooth_path_are_no_jumps() -> None:
    found = pace(Grey(lambda u: u**2), line(), 200, Squared(), smallest=1 / 64)  # type: ignore[arg-type]
    assert found.jumps == ()


def test_key_points_stay_and_closed_paths_leave_out_the_end() -> None:
    keys = (0.0, 0.5, 1.0)
    found = pace(Grey(lambda u: u**2), line(keys), 9, Squared())  # type: ignore[arg-type]
    assert all(found.times.count(key) == 1 for key in keys)
    ring = pace(Grey(lambda u: abs(u - 0.5)), line(keys, closed=True), 8, Squared())  # type: ignore[arg-type]
    assert len(ring.times) == 8
    assert 1.0 not in ring.times


def test_a_path_that_stands_still_is_paced_evenly() -> None:
    found = pace(Grey(lambda u: 0.5), line(), 5, Squared())  # type: ignore[arg-type]
    assert found.times == (0.0, 0.25, 0.5, 0.75, 1.0)


def test_few_pictures_are_held_however_many_are_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted(Squared):
        most = 0

        def between(self, a: Tensor, b: Tensor) -> Tensor:
            Counted.most = max(Counted.most, len(a))
            return super().between(a, b)

    found = pace(Grey(lambda u: u**2), line(), 400, Counted())  # type: ignore[arg-type]
    assert len(found.probed) > 400
    assert Counted.most <= 50
    levels = np.asarray(found.times) ** 2
    assert np.diff(levels).max() < 2 / 399  # pictures have eight bits


def test_retimed_takes_uniform_frames_evenly(tmp_path: Folder) -> None:
    model, cache = Grey(lambda u: u**3), FrameCache(tmp_path)
    times = retimed(model, line(), 41, Squared(), cache=cache)  # type: ignore[arg-type]
    drawn = model.drawn
    assert len(times) == 41
    assert set(times) <= {i / 40 for i in range(41)}
    assert [times[0], times[-1]] == [0, 1]
    levels = np.asarray(times) ** 3
    assert np.abs(levels - np.linspace(0, 1, 41)).max() < 0.04
    list(render(model, map(line(), times), cache=cache))  # type: ignore[arg-type]
    assert model.drawn == drawn


def test_pacing_twice_draws_once(tmp_path: Folder) -> None:
    model = Grey(lambda u: u**3)
    first = pace(model, line(), 9, Squared(), cache=FrameCache(tmp_path))  # type: ignore[arg-type]
    drawn = model.drawn
    assert pace(model, line(), 9, Squared(), cache=FrameCache(tmp_path)) == first  # type: ignore[arg-type]
    assert model.drawn == drawn


def test_bad_paces() -> None:
    with pytest.raises(AstrogateError, match="2 or more"):
        pace(Grey(float), line(), 1, Squared())  # type: ignore[arg-type]
    with pytest.raises(AstrogateError, match="smallest"):
        pace(Grey(float), line(), 9, Squared(), smallest=0.0)  # type: ignore[arg-type]
