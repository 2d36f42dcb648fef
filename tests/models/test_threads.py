"""One model drawn by several threads: they take turns, and every picture is right."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest
import torch

from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.loading.load import wrap
from astrogate.models.prediction import still
from astrogate.models.sampler.fast import fast
from tests.checkpoints import steered

RECIPES = (Recipe(2, 1.0), Recipe(3, scheduler="EulerDiscrete"), Recipe(2))


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


def test_who_works_with_a_compiled_denoiser_works_alone(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astrogate.models.sampler.fast.which", lambda name: name)
    monkeypatch.setattr(torch, "compile", lambda forward: lambda *args, **kwargs: forward(*args, **kwargs))
    denoiser: Any = tiny.denoiser
    with ThreadPoolExecutor(1) as pool:
        with fast(tiny, Recipe(2), 5000):
            assert "forward" in vars(denoiser)
            waiting = pool.submit(drawn, tiny, 0)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        assert waiting.result(60).isfinite().all()
    assert "forward" not in vars(denoiser)


def test_what_learns_reads_the_models_state_in_its_turn(tiny: Model) -> None:
    """Two that learn on one model, one after the other, leave its gradients as they were."""
    wanted = [p.requires_grad for p in tiny.denoiser.parameters()]

    def learn() -> list[bool]:
        with still(tiny):
            return [p.requires_grad for p in tiny.denoiser.parameters()]

    with ThreadPoolExecutor(1) as pool:
        with still(tiny):
            other = pool.submit(learn)
            with pytest.raises(TimeoutError):
                other.result(0.2)
        assert not any(other.result(60))
        assert [p.requires_grad for p in tiny.denoiser.parameters()] == wanted
        pool.submit(learn).result(60)
    assert [p.requires_grad for p in tiny.denoiser.parameters()] == wanted


def test_models_that_share_a_denoiser_take_turns(tiny: Model) -> None:
    other = wrap(tiny.pipe, "the same pipeline")  # type: ignore[attr-defined]
    alone = jobs(tiny, 12)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda i: drawn((tiny, other)[i % 2], i), range(12)))
    assert all(torch.equal(picture, together[i]) for i, picture in alone)


def test_models_that_share_a_tokenizer_take_turns(tiny: Any) -> None:
    """Two U-Nets of one pipeline's other parts: states of short prompts, pictures and a waiting thread."""
    pipe = tiny.pipe
    other: Any = wrap(type(pipe)(**{**pipe.components, "unet": deepcopy(pipe.unet)}), "another U-Net")
    prompts = [["a dog"], ["a painting of a fat cat and a small dog"]]

    def states(i: int) -> list[torch.Tensor]:
        return list((tiny, other)[i % 2].encode(prompts[i // 2 % 2], padding="longest").values())

    alone = [states(i) for i in range(40)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(states, range(40)))
        with other.lock:
            waiting = pool.submit(drawn, tiny, 0)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        assert waiting.result(60).isfinite().all()
    assert all(
        torch.equal(a, b) for one, two in zip(alone, together, strict=True) for a, b in zip(one, two, strict=True)
    )


def test_a_part_that_is_exchanged_later_is_locked_as_well(tiny: Any) -> None:
    pipe = tiny.pipe
    apart: Any = wrap(type(pipe)(**{name: deepcopy(part) for name, part in pipe.components.items()}), "all its own")
    with ThreadPoolExecutor(1) as pool:
        with apart.lock:
            assert pool.submit(drawn, tiny, 0).result(60).isfinite().all()
            apart.pipe.unet = pipe.unet
        with apart.lock:
            waiting = pool.submit(drawn, tiny, 0)
            with pytest.raises(TimeoutError):
                waiting.result(0.2)
        assert waiting.result(60).isfinite().all()
