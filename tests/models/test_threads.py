"""One model drawn by several threads: they take turns, and every picture is right."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.loading.load import wrap
from tests.checkpoints import steered

RECIPES = (Recipe(2), Recipe(3, scheduler="EulerDiscrete"), Recipe(2, 1.0))


def jobs(model: Model, n: int) -> list[tuple[int, torch.Tensor]]:
    """Numbers of pictures, and what each is drawn alone."""
    return [(i, drawn(model, i)) for i in range(n)]


def drawn(model: Model, i: int) -> torch.Tensor:
    """A picture by its number: another seed, prompt, recipe and edit each time."""
    point = model.point(("a dog", "a fat cat")[i % 2], seed=i)
    if i % 3:
        point = point.apply(steered(model, point, half=("positive", "both", "negative")[i % 3]), 0.1 * (i % 5))
    if i % 4 == 3:
        point = point.held(0.5, 0.0)
    return model.decode(model.denoise([point], RECIPES[i % 3]))


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_on_one_model(tiny: Model, threads: int) -> None:
    alone = jobs(tiny, 80)
    with ThreadPoolExecutor(threads) as pool:
        together = list(pool.map(lambda i: drawn(tiny, i), range(80)))
    assert all(torch.equal(picture, together[i]) for i, picture in alone)


def test_an_event_loop_on_one_model(tiny: Model) -> None:
    alone = jobs(tiny, 40)

    async def together() -> list[torch.Tensor]:
        return await asyncio.gather(*(asyncio.to_thread(drawn, tiny, i) for i in range(40)))

    found = asyncio.run(together())
    assert all(torch.equal(picture, found[i]) for i, picture in alone)


def test_models_that_share_a_denoiser_take_turns(tiny: Model) -> None:
    other = wrap(tiny.pipe, "the same pipeline")  # type: ignore[attr-defined]
    assert other.lock is tiny.lock
    alone = jobs(tiny, 12)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda i: drawn((tiny, other)[i % 2], i), range(12)))
    assert all(torch.equal(picture, together[i]) for i, picture in alone)
