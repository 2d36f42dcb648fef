"""Windows by levels of noise: the levels that schedulers step through, and the steps in which an edit then acts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Moment, Parts, Steer, Window
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.insert import insert
from astrogate.models.loading.load import load
from astrogate.models.sampler.levels import noise_levels
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.strip import strip
from tests.checkpoints import made, steered, unguided, watched

#: Of each kind of diffusers' that says in its own words how much noise a timestep has.
VARIANCE = (
    "DDIM", "DDPM", "LCM", "TCD", "PNDM", "EulerDiscrete", "EulerAncestralDiscrete", "LMSDiscrete",
    "DPMSolverMultistep", "DEISMultistep", "UniPCMultistep", "SASolver", "HeunDiscrete",
)  # fmt: skip


def scheduler_of(name: str, steps: int, **settings: Any) -> Any:
    import diffusers

    scheduler = getattr(diffusers, f"{name}Scheduler")(beta_schedule="scaled_linear", **settings)
    scheduler.set_timesteps(steps)
    return scheduler


@pytest.mark.parametrize("name", VARIANCE)
def test_levels_are_those_of_the_noise_that_a_scheduler_adds(name: str) -> None:
    """From the picture 1 and the noise 1 its own words give alpha and sigma."""
    scheduler, one, none = scheduler_of(name, 5), torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    levels = noise_levels(scheduler)
    assert len(levels) == len(scheduler.timesteps)
    for t, level in zip(scheduler.timesteps, levels, strict=True):
        alpha, sigma = (float(scheduler.add_noise(*pair, t[None])) for pair in ((one, none), (none, one)))
        assert level == pytest.approx(sigma / (alpha + sigma), abs=2e-3), t
    assert levels == sorted(levels, reverse=True)
    assert 0 <= levels[-1] < levels[0] <= 1


def test_levels_of_karras_and_of_flows() -> None:
    """Sigmas that are spaced anew stand for themselves, in whatever scheduler flows go."""
    from diffusers import FlowMatchEulerDiscreteScheduler

    karras = scheduler_of("DPMSolverMultistep", 5, use_karras_sigmas=True)
    assert noise_levels(karras) == pytest.approx([s / (1 + s) for s in karras.sigmas[:-1].tolist()])
    flow = FlowMatchEulerDiscreteScheduler(shift=3.0)
    flow.set_timesteps(5)
    one = torch.ones(1, 1, 1, 1)
    added = [float(flow.scale_noise(0 * one, t[None], one)) for t in flow.timesteps]
    assert noise_levels(flow) == pytest.approx(added)
    solver = scheduler_of("DPMSolverMultistep", 5, use_flow_sigmas=True, prediction_type="flow_prediction")
    assert noise_levels(solver) == pytest.approx(solver.sigmas[:-1].tolist())


def test_a_moment_is_within_windows_of_steps_and_of_noise() -> None:
    now = Moment(0.25, 0.6)
    found = {
        (0.25, 1.0): True, (0.0, 0.25): False, (0.0, 1.0): True,
        ("noise", 1.0, 0.0): True, ("noise", 0.6, 0.0): True, ("noise", 0.5, 0.0): False, ("noise", 1.0, 0.6): False,
    }  # fmt: skip
    assert {window: now.within(window) for window in found} == found
    assert [now.before(w) for w in ((0.5, 1.0), (0.2, 1.0), ("noise", 0.5, 0.0), ("noise", 0.9, 0.0))] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("window", "told"),
    [
        (("noise", 0.2, 0.8), "use falling levels"),
        (("noise", 0.5, 0.5), "use falling levels"),
        (("noise", 1.5, 0.0), "use falling levels"),
        (("noise", "a", 0.0), "window's end"),
        (("steps", 0.0, 1.0), "give (start, end) or"),
        (("noise", 1.0), "window's end"),
        ("noise:1:0", "give (start, end) or"),
    ],
)
def test_windows_that_are_none_are_refused(window: Any, told: str) -> None:
    for kind in (Steer, Guide):
        with pytest.raises(AstrogateError) as error:
            kind({}, window=window)
        assert told in str(error.value)


def acted(model: Model, point: Point, edit: Edit, recipe: Recipe) -> list[bool]:
    """In which calls of the denoiser an edit moves a point's text states."""
    before, after = (watched(model, [p], recipe) for p in (point, point.apply(edit)))
    return [not torch.equal(a["prompt_embeds"], b["prompt_embeds"]) for a, b in zip(before, after, strict=True)]


def test_a_steer_acts_in_the_steps_of_its_levels(model: Model, family: str) -> None:
    """All but the first of four steps, whatever the family's schedule."""
    point, recipe = made(model, family), Recipe(4, **unguided(family))
    levels = model.noise_levels(point, recipe)
    assert len(levels) == 4
    assert 1 >= levels[0] > levels[1] > levels[2] > levels[3] >= 0
    middle: Window = ("noise", (levels[0] + levels[1]) / 2, levels[3])
    assert acted(model, point, steered(model, point, window=middle), recipe) == [False, True, True, False]


@pytest.mark.parametrize(("steps", "expected"), [(1, []), (2, [1]), (4, [1, 2, 3]), (8, [2, 3, 4, 5, 6, 7])])
@pytest.mark.parametrize("scheduler", ["DDIM", "LCM", "TCD", "EulerDiscrete", "DPMSolverMultistep"])
def test_one_window_means_the_same_at_any_number_of_steps(
    tiny_folder: Path, steps: int, expected: list[int], scheduler: str
) -> None:
    """Of the schedules of few-step models, from their last timestep on; by steers and by guides."""
    model: Any = load(str(tiny_folder), device="cpu")
    kind = type(scheduler_of(scheduler, 1))
    model.pipe.scheduler = kind.from_config(model.pipe.scheduler.config, timestep_spacing="trailing")
    point, recipe = made(model, "stable_diffusion"), Recipe(steps, 1.0)
    window: Window = ("noise", 0.85, 0.0)
    found = acted(model, point, steered(model, point, window=window), recipe)
    assert [i for i, moved in enumerate(found) if moved] == expected
    guide = Edit(Parts(guides=(Guide({"prompt_embeds": point.tensors["prompt_embeds"] + 1}, window=window),)))
    rows = [len(call["prompt_embeds"]) for call in watched(model, [point.apply(guide)], recipe)]
    assert [i for i, count in enumerate(rows) if count == 2] == expected
    shares = [i for i, moved in enumerate(acted(model, point, steered(model, point, window=(0.2, 1)), recipe)) if moved]
    assert shares == {1: [], 2: [1], 4: [1, 2, 3], 8: [2, 3, 4, 5, 6, 7]}[steps]


def test_a_strip_that_no_step_can_serve_says_so(tiny: Model) -> None:
    point = made(tiny, "stable_diffusion")
    (top, *_), (last,) = tiny.noise_levels(point, Recipe(4)), tiny.noise_levels(point, Recipe(4))[-1:]
    for window, told in ((("noise", last - 0.01, 0.0), True), (("noise", top, 0.0), False)):
        edit = steered(tiny, point, window=window)
        (effect,) = strip(tiny, point, edit, -1, 1, n=3, recipe=Recipe(4)).effects
        assert ("its window holds none of 4 steps" in str(effect)) == told, str(effect)


def test_of_one_or_two_steps_the_default_is_all(tiny: Model) -> None:
    """An inserted word acts at any number of steps; elsewhere the first fifth is left alone."""
    point = made(tiny, "stable_diffusion")
    for steps, window in ((1, (0.0, 1.0)), (2, (0.0, 1.0)), (3, (0.2, 1.0)), (20, (0.2, 1.0))):
        edit = insert(tiny, point, "happy", before="dog", recipe=Recipe(steps))
        assert edit.above.steers[0].window == window
        (effect,) = strip(tiny, point, edit, 0, 2, n=2, recipe=Recipe(steps)).effects
        assert "holds none" not in str(effect)


def test_levels_change_neither_the_model_nor_what_it_draws(tiny: Model) -> None:
    point = made(tiny, "stable_diffusion")
    before, weights = tiny.denoise([point], Recipe(3)), tiny.weights
    assert len(tiny.noise_levels(point, Recipe(5, scheduler="EulerDiscrete"))) == 5
    assert tiny.weights == weights
    assert torch.equal(tiny.denoise([point], Recipe(3)), before)


def test_unclips_levels_are_its_ddims(stack: UnCLIP, encoded: list[Point]) -> None:
    """And its guides keep to them."""
    levels, calls = stack.noise_levels(encoded[0], Recipe(4, 1.0)), list[int]()
    alphas = [a for _, a in stack.levels(4)[:-1]]
    assert levels == pytest.approx([math.sqrt(1 - a) / (math.sqrt(a) + math.sqrt(1 - a)) for a in alphas])
    tensors = {"image_embeds": encoded[0].tensors["image_embeds"] + 1}
    guide = Edit(Parts(guides=(Guide(tensors, window=("noise", levels[1], levels[3])),)))
    handle = stack.denoiser.register_forward_hook(lambda _, args, out: calls.append(len(args[0])))
    try:
        stack.denoise([encoded[0].apply(guide)], Recipe(4, 1.0))
    finally:
        handle.remove()
    assert calls == [1, 2, 2, 1]


def test_edits_by_noise_are_saved_as_they_are(tiny: Model, tmp_path: Path) -> None:
    point = made(tiny, "stable_diffusion")
    edit = steered(tiny, point, window=("noise", 0.8, 0.1))
    edit.save(tmp_path / "edit.safetensors")
    again = Edit.load(tmp_path / "edit.safetensors")
    assert again.above.steers[0].window == ("noise", 0.8, 0.1)
    drawn = [tiny.denoise([point.apply(e)], Recipe(4)) for e in (edit, again)]
    assert torch.equal(*drawn)
