"""Laws of the unCLIP adapters on tiny stacks of every family, with diffusers' own parts and pipelines as oracles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Steer
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import generator
from astrogate.methods.edit.guidance import guide
from astrogate.methods.image.vary import vary
from astrogate.models.family import ABILITIES
from astrogate.models.loading.load import load
from astrogate.models.registry import AbilityError
from astrogate.models.sampler.levels import spread
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.models.unclip.load import save_unclip
from astrogate.models.unclip.priors import best_of
from astrogate.ops.ddim import clean, noise_of, step
from astrogate.rendering.invert import invert
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.rendering.upscale import upscale
from tests.checkpoints import edit_of
from tests.conftest import made_once
from tests.rendering.test_invert import Known
from tests.unclip_checkpoints import STACKS, WIDTH, stable_unclip

Folders = Callable[[str], Path]
RECIPE, PLAIN = Recipe(4, guidance_scale=2.0), Recipe(4, guidance_scale=1.0)
ELSEWHERE = edit_of(Steer({"image_embeds": torch.ones(WIDTH)}, 3.0))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return made_once(STACKS, tmp_path_factory)


def drawn_by(pipe: Any, point: Point, **given: Any) -> torch.Tensor:
    """The latents that a pipeline of diffusers draws from a point's noise, with the settings of `RECIPE`."""
    pipe.set_progress_bar_config(disable=True)
    latents = point.tensors["latents"][None]
    settings = {"num_inference_steps": 4, "guidance_scale": 2.0, "output_type": "latent"}
    return pipe(**given, **settings, latents=latents).images


def opened(folder: Path, name: str) -> UnCLIP:
    prior = str(folder / "prior-pipeline") if name == "kandinsky" else None
    model = load(str(folder), device="cpu", prior=prior)
    assert isinstance(model, UnCLIP)
    return model


@pytest.fixture(params=sorted(STACKS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def stack(folders: Folders, name: str) -> UnCLIP:
    return opened(folders(name), name)


@pytest.fixture
def mine(folders: Folders) -> UnCLIP:
    return opened(folders("ours"), "ours")


def z_of(stack: UnCLIP, seed: int = 0) -> torch.Tensor:
    z = torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))
    return z / z.norm() if stack.stack.towers.unit else z


def test_every_stack_renders_and_steers(stack: UnCLIP) -> None:
    points = [stack.point_at(z_of(stack, i), seed=i) for i in range(2)]
    pictures = to_tensor(render(stack, points, recipe=RECIPE))
    assert pictures.shape == (2, 3, stack.size, stack.size)
    assert pictures.isfinite().all()
    moved = to_tensor(render(stack, [p.apply(ELSEWHERE) for p in points], recipe=RECIPE))
    assert (moved - pictures).abs().max() > 1e-3
    still = to_tensor(render(stack, [p.apply(ELSEWHERE, 0).held(1.0) for p in points], recipe=RECIPE))
    assert torch.equal(still, pictures)
    both = stack.decode(stack.denoise(points, RECIPE))
    alone = torch.cat([stack.decode(stack.denoise([point], RECIPE)) for point in points])
    assert (both - alone).abs().max() <= 1e-3


def test_a_whole_guide_without_guidance_is_the_edit_itself(stack: UnCLIP) -> None:
    """In a batch with another point; with guidance its term is added to the guided noise."""
    point, other = (stack.point_at(z_of(stack, i), seed=i) for i in range(2))
    whole = guide(point, ELSEWHERE, quantile=0.0, window=(0.0, 1.0))
    ours = stack.denoise([other, point.apply(whole)], PLAIN)
    theirs = stack.denoise([other, point.apply(ELSEWHERE)], PLAIN)
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(theirs[1:], stack.denoise([point], PLAIN), atol=1e-3)
    x, t = point.tensors["latents"][None], stack.levels(4)[1][0]
    with torch.no_grad():
        own, edited = (stack.epsilon([p], x, t) for p in (point, point.apply(ELSEWHERE)))
        base, moved = (stack.epsilon([p], x, t, guidance_scale=3.0) for p in (point, point.apply(whole, 2.0)))
        late = point.apply(guide(point, ELSEWHERE, quantile=0.0, window=(0.5, 1.0)), 2.0)
        assert torch.equal(stack.epsilon([late], x, t, guidance_scale=3.0, u=0.4), base)
        assert torch.allclose(stack.epsilon([late], x, t, guidance_scale=3.0, u=0.5), moved, atol=1e-6)
    assert torch.allclose(moved, base + 2 * (edited - own), atol=1e-4)


def test_at_full_hold_an_edit_of_one_step_is_its_own_term_carried_along(stack: UnCLIP) -> None:
    point = stack.point_at(z_of(stack), seed=1)
    edited = point.apply(edit_of(Steer({"image_embeds": torch.ones(WIDTH)}, 3.0, (0.0, 0.25))))
    (t, a), (_, b), *_, (_, last) = stack.levels(4)
    x = point.tensors["latents"][None]
    with torch.no_grad():
        after, before = (stack.epsilon([p], x, t) for p in (edited, point))
    factor = ((1 - b) ** 0.5 - (b * (1 - a) / a) ** 0.5) * (last / b) ** 0.5
    base, free, held = (stack.denoise([p], PLAIN) for p in (point, edited, edited.held(1.0)))
    tolerance = 1e-3 * float((held - base).abs().max())
    assert torch.allclose(held - base, factor * (after - before), atol=tolerance)
    assert not torch.allclose(free - base, factor * (after - before), atol=tolerance)


def test_a_hold_acts_on_its_row_alone_and_looking_at_itself_does_not(stack: UnCLIP) -> None:
    """Beside its unedited point, or without it."""
    point, other = (stack.point_at(z_of(stack, i), seed=i) for i in range(2))
    edited = point.apply(ELSEWHERE)
    base, free, last = stack.denoise([point, edited, other], RECIPE)
    held = stack.denoise([point, edited.held(1.0), other], RECIPE)
    assert torch.allclose(held[[0, 2]], torch.stack([base, last]), atol=1e-4)
    assert not torch.allclose(held[1], free, atol=1e-3)
    assert torch.allclose(stack.denoise([edited.held(1.0), other], RECIPE), held[1:], atol=1e-4)
    assert torch.allclose(stack.denoise([edited.held(1e-9)], RECIPE)[0], free, atol=1e-4)
    looking, blind = (stack.denoise([edited.held(0.5, attend)], RECIPE) for attend in (0.5, 1.0))
    assert not torch.allclose(looking, blind, atol=1e-4)
    nothing = point.apply(edit_of(Steer({"image_embeds": torch.zeros(WIDTH)})))
    assert torch.allclose(stack.denoise([nothing.held(0.5, 0.0)], RECIPE)[0], base, atol=1e-4)
    module: Any = stack.denoiser
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in module.modules())


def test_variations_of_a_held_edit_draw_the_noise_of_their_own_seed(mine: UnCLIP) -> None:
    points = [p.apply(ELSEWHERE).held(1.0) for p in vary(mine.point_at(z_of(mine)), 2, seed=5)]
    noisy = Recipe(4, 1.0, eta=1.0)
    alone = torch.cat([mine.denoise([point], noisy) for point in points])
    assert torch.allclose(mine.denoise(points, noisy), alone, atol=1e-4)


def test_a_stack_saved_by_us_loads_again(stack: UnCLIP, tmp_path: Path) -> None:
    save_unclip(stack, tmp_path / "saved")
    again = load(str(tmp_path / "saved"), device="cpu")
    assert again.weights == stack.weights
    assert again.fingerprint == stack.fingerprint
    point = stack.point_at(z_of(stack), seed=3)
    pictures = [to_tensor(render(model, point, recipe=RECIPE)) for model in (stack, again)]
    assert torch.equal(*pictures)
    assert isinstance(again, UnCLIP)
    assert list(again.stack.priors) == list(stack.stack.priors)
    with pytest.raises(AstrogateError, match="not empty"):
        save_unclip(stack, tmp_path / "saved")


def test_pictures_are_embedded_as_diffusers_would(stack: UnCLIP) -> None:
    pictures = torch.rand(2, 3, 16, 16)
    towers = stack.stack.towers
    pixels = towers.processor(images=list(pictures), return_tensors="pt", do_rescale=False, do_resize=False)
    expected = towers.vision(pixel_values=pixels.pixel_values).image_embeds.detach()
    if towers.unit:
        expected = expected / expected.norm(dim=-1, keepdim=True)
    assert torch.allclose(stack.embed(pictures), expected, atol=1e-5)


def test_noise_levels_blur_the_embedding(folders: Folders) -> None:
    """Stable unCLIP at a level draws what its pipeline draws at that level with the same noise."""
    from diffusers import StableUnCLIPImg2ImgPipeline

    folder = folders("stable")
    stack = opened(folder, "stable")
    z, level = z_of(stack), 400
    point = stack.point_at(z, "a dog", seed=1, noise_level=level)
    noise = torch.randn(WIDTH, generator=generator(1, "noise level"))
    pipe: Any = StableUnCLIPImg2ImgPipeline.from_pretrained(folder)
    own = pipe.noise_image_embeddings
    pipe.noise_image_embeddings = lambda **given: own(given["image_embeds"], level, noise=noise[None])
    theirs = drawn_by(pipe, point, prompt="a dog", image_embeds=z[None], noise_level=level)
    assert torch.allclose(stack.denoise([point], RECIPE), theirs, atol=1e-5)
    assert point.origin["noise_level"] == level
    with pytest.raises(AstrogateError, match="knows no noise levels"):
        opened(folders("karlo"), "karlo").point_at(z, noise_level=1)


def test_what_was_drawn_comes_back(stack: UnCLIP) -> None:
    points = [stack.point_at(z_of(stack, i), seed=i) for i in range(2)]
    recipe = Recipe(10, guidance_scale=1.0)
    drawn = stack.denoise(points, recipe)
    stack_with_known: Any = Known(stack, drawn)
    unknown = [stack.point_at(z_of(stack, i), seed=9) for i in range(2)]
    found = invert(stack_with_known, torch.zeros(2, 3, 8, 8), unknown, recipe=recipe, iterations=10)
    back = stack.denoise(found, recipe)
    assert (back - drawn).abs().max() < 1e-3 * drawn.abs().max()


def test_kandinsky_draws_what_its_pipeline_draws(folders: Folders) -> None:
    from diffusers import DDIMScheduler, KandinskyV22Pipeline

    folder = folders("kandinsky")
    stack = opened(folder, "kandinsky")
    pipe: Any = KandinskyV22Pipeline.from_pretrained(folder)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)
    point = stack.point_at(z_of(stack), seed=1)
    embeds = {name: point.tensors[name][None] for name in ("image_embeds", "negative_image_embeds")}
    theirs = drawn_by(pipe, point, **embeds, height=16, width=16)
    assert torch.allclose(stack.denoise([point], RECIPE), theirs, atol=1e-4)


def test_stable_unclip_draws_what_its_pipeline_draws(folders: Folders) -> None:
    from diffusers import StableUnCLIPImg2ImgPipeline

    folder = folders("stable")
    stack = opened(folder, "stable")
    pipe: Any = StableUnCLIPImg2ImgPipeline.from_pretrained(folder)
    pipe.image_noising_scheduler.add_noise = lambda z, timesteps, noise: z  # its level 0 is not quite none
    point = stack.point_at(z_of(stack), "a dog", seed=1)
    theirs = drawn_by(pipe, point, prompt="a dog", image_embeds=point.tensors["image_embeds"][None])
    assert torch.allclose(stack.denoise([point], RECIPE), theirs, atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_is_diffusers_with_and_without_noise(eta: float) -> None:
    from diffusers import DDIMScheduler

    scheduler: Any = DDIMScheduler(clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(10)
    x, eps, noise = torch.randn(3, 2, 4, dtype=torch.float64).unbind()
    for t in scheduler.timesteps.tolist():
        theirs = scheduler.step(eps, t, x, eta=eta, variance_noise=noise).prev_sample
        a, after = float(scheduler.alphas_cumprod[t]), t - 100
        a_next = float(scheduler.alphas_cumprod[after]) if after >= 0 else 1.0
        assert torch.allclose(step(x, eps, a, a_next, eta=eta, noise=noise), theirs, atol=1e-6)
    assert torch.allclose(noise_of(x, clean(x, eps, 0.3), 0.3), eps)


def test_the_priors_step_is_unclips() -> None:
    """With eta 1 and a clamped picture our step is the posterior of diffusers' UnCLIPScheduler, noise and all."""
    from tests.unclip_checkpoints import cosine

    scheduler = cosine(prediction_type="sample", clip_sample_range=1.0)
    scheduler.set_timesteps(5)
    levels = spread(scheduler, 5)
    assert [t for t, _ in levels[:-1]] == scheduler.timesteps.tolist()
    x, x0 = torch.randn(2, 3, WIDTH, dtype=torch.float64)
    for (t, a), (after, a_next) in pairwise(levels[:-1]):
        generator = torch.Generator().manual_seed(0)
        theirs = scheduler.step(x0, t, x, prev_timestep=after, generator=generator).prev_sample
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        held = x0.clamp(-1, 1)
        assert torch.allclose(step(x, noise_of(x, held, a), a, a_next, eta=1.0, noise=noise), theirs, atol=1e-3)


def test_priors_keep_their_word(mine: UnCLIP) -> None:
    prompts = ["a dog", "a cat"]
    for kind in ("diffusion", "ar"):
        both = mine.imagine(prompts, seeds=[1, 2], kind=kind)
        assert both.shape == (2, WIDTH)
        assert torch.allclose(both.norm(dim=1), torch.ones(2), atol=1e-5)
        alone = mine.imagine(prompts[1:], seeds=[2], kind=kind)
        assert torch.allclose(both[1:], alone, atol=1e-4)
        assert not torch.allclose(both, mine.imagine(prompts, seeds=[3, 4], kind=kind), atol=1e-5)
        guided = mine.imagine(prompts, seeds=[1, 2], kind=kind, guidance_scale=30.0)
        assert not torch.allclose(both, guided, atol=1e-3)
    assert torch.equal(mine.imagine(prompts, seeds=[1, 2], kind="none"), mine.embed_text(prompts))


def test_the_better_of_two_is_never_worse(mine: UnCLIP) -> None:
    prompts, seeds = ["a fat dog"] * 8, list(range(8))
    z_t = mine.embed_text(prompts)
    for kind in ("diffusion", "ar"):
        one, two = (mine.imagine(prompts, seeds=seeds, kind=kind, candidates=n) for n in (1, 2))
        gain = ((two - one) * z_t).sum(1)
        assert (gain >= -1e-6).all()
        assert (gain > 1e-5).any()
    a, b = torch.eye(2)
    assert torch.equal(best_of([torch.stack([a, a]), torch.stack([b, b])], torch.stack([a, b])), torch.eye(2))


def test_an_edited_embedding_leaves_the_noise(mine: UnCLIP) -> None:
    first, second = (mine.point_at(z_of(mine, i), seed=5) for i in (0, 1))
    assert torch.equal(first.tensors["latents"], second.tensors["latents"])
    point = mine.point("a dog", seed=5)
    assert torch.equal(point.tensors["latents"], first.tensors["latents"])
    assert torch.equal(point.tensors["image_embeds"], mine.imagine(["a dog"], seeds=[5])[0])


def test_eta_draws_anew_by_seed(mine: UnCLIP) -> None:
    z = z_of(mine)
    one, other = mine.point_at(z, seed=1), mine.point_at(z, seed=2)
    from dataclasses import replace

    same = replace(other, tensors=one.tensors)
    still, noisy = Recipe(4, 1.0), Recipe(4, 1.0, eta=1.0)
    assert torch.equal(mine.denoise([one], still), mine.denoise([same], still))
    assert not torch.allclose(mine.denoise([one], noisy), mine.denoise([same], noisy), atol=1e-3)
    assert torch.equal(mine.denoise([one], noisy), mine.denoise([one], noisy))


def test_upscaling(folders: Folders, mine: UnCLIP) -> None:
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for stack in (mine, opened(folders("karlo"), "karlo")):
        large = stack.upscale(pictures, seeds=[1, 2], num_inference_steps=3)
        assert large.shape == (2, 3, 64, 64)
        assert large.min() >= 0
        assert large.max() <= 1
        alone = stack.upscale(pictures[1:], seeds=[2], num_inference_steps=3)
        assert (large[1:] - alone).abs().max() < 1e-3
        with pytest.raises(AstrogateError, match="1 seeds for 2 pictures"):
            stack.upscale(pictures, seeds=[1])
        with pytest.raises(
            AstrogateError, match=f"no stage 2: choose from {', '.join(map(str, range(stack.upsamplers)))}"
        ):
            stack.upscale(pictures, seeds=[1, 2], stages=[2])
    with pytest.raises(AbilityError, match="can't enlarge pictures"):
        opened(folders("stable"), "stable").upscale(pictures, seeds=[1, 2])


def test_a_decoder_that_draws_larger_stands_for_the_first_upsamplers(folders: Folders, mine: UnCLIP) -> None:
    """Its pictures are as large as those behind the first upsampler, which then is not used, but can be asked for."""
    one, pictures = mine.stack.upsamplers[0], torch.rand(1, 3, 16, 16)

    def stack(enlargement: int, upsamplers: int) -> UnCLIP:
        coder: Any = SimpleNamespace(enlargement=enlargement, factor=4 * enlargement)
        parts = replace(mine.stack, coder=coder, upsamplers=(one,) * upsamplers)
        return UnCLIP(mine.family, parts, "a stack", frozenset())

    for enlargement, upsamplers, used in ((1, 2, 2), (4, 2, 1), (2, 2, 2), (16, 3, 1)):
        model = stack(enlargement, upsamplers)
        large = model.upscale(pictures, seeds=[1], num_inference_steps=2)
        assert large.shape[-1] == 16 * 4**used
        assert model.upscale(pictures, seeds=[1], num_inference_steps=2, stages=[0]).shape[-1] == 64
    with pytest.raises(AbilityError, match="can't enlarge pictures"):
        stack(4, 1).upscale(pictures, seeds=[1])


def test_what_a_stack_cant_do_is_refused_in_one_kind_of_error(folders: Folders, stack: UnCLIP, name: str) -> None:
    point = stack.point_at(z_of(stack))
    prior = str(folders(name) / "prior-pipeline") if name == "kandinsky" else None
    tasks = {
        "pan": lambda: stack.denoise([point], Recipe(2, stride=8)),
        "control": lambda: stack.denoise([replace(point, extras={"image": torch.zeros(3, 8, 8)})], RECIPE),
        "ip_adapter": lambda: stack.denoise(
            [replace(point, extras={"ip_adapter_image_embeds": torch.zeros(2, 1, 8)})], RECIPE
        ),
        "imagine": lambda: stack.point("a dog"),
        "upscale": lambda: upscale(stack, []),
        "offload": lambda: load(str(folders(name)), device="cpu", prior=prior, offload=True),
    }
    for ability in set(tasks) - stack.can:
        with pytest.raises(AbilityError, match=f"can't {ABILITIES[ability]}: "):
            tasks[ability]()
    with pytest.raises(AstrogateError, match="true_cfg_scale 2 does nothing"):
        stack.denoise([point], Recipe(2, true_cfg_scale=2.0))


def test_no_two_uses_of_a_seed_share_their_noise() -> None:
    every = [torch.randn(4, generator=generator(7, use)) for use in ("", "diffusion", "ar", "noise level", "64 pixels")]
    cosines = torch.stack(every)
    assert len({tuple(row.tolist()) for row in cosines}) == len(every)
    assert torch.equal(every[0], torch.randn(4, generator=torch.Generator().manual_seed(7)))


def test_karlos_decoder_is_asked_as_its_pipeline_asks(folders: Folders) -> None:
    """One guided prediction, against the parts that diffusers' UnCLIPPipeline calls, in its order."""
    from torch.nn import functional as F

    stack = opened(folders("karlo"), "karlo")
    parts, z = stack.stack.parts, z_of(stack)
    point = stack.point_at(z, "a fat dog", seed=1)
    ids = parts["tokenizer"](["", "a fat dog"], padding="max_length", truncation=True, return_tensors="pt")
    x, scale = point.tensors["latents"][None], 3.0
    with torch.no_grad():
        text = parts["text_encoder"](ids.input_ids)
        hidden, time = parts["text_proj"](
            image_embeddings=z[None],
            prompt_embeds=text.text_embeds,
            text_encoder_hidden_states=text.last_hidden_state,
            do_classifier_free_guidance=True,
        )
        tokens = parts["text_proj"].clip_extra_context_tokens
        mask = F.pad(ids.attention_mask.bool(), (tokens, 0), value=True)
        both = parts["decoder"](
            torch.cat([x, x]), 400, encoder_hidden_states=hidden, class_labels=time, attention_mask=mask
        ).sample
        without, given = both.split(x.shape[1], dim=1)[0].chunk(2)
        ours = stack.epsilon([point], x, 400, guidance_scale=scale)
    assert torch.allclose(ours, without + scale * (given - without), atol=1e-5)


def test_karlos_prior_draws_what_its_pipeline_draws(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same noise at every step, guided; the pipeline's own methods and scheduler are the oracle."""
    from diffusers.pipelines.deprecated.unclip.pipeline_unclip import UnCLIPPipeline

    stack = opened(folders("karlo"), "karlo")
    parts, steps, scale = stack.stack.parts, 5, 2.0
    drawn = torch.randn(steps, 1, WIDTH, generator=torch.Generator().manual_seed(3))
    queue = iter(drawn)
    monkeypatch.setattr("astrogate.models.unclip.priors._noise", lambda generators, width: next(queue))
    ours = stack.imagine(["a fat dog"], seeds=[0], candidates=1, guidance_scale=scale, num_inference_steps=steps)
    oracle: Any = SimpleNamespace(
        tokenizer=parts["tokenizer"],
        text_encoder=parts["text_encoder"],
        device=torch.device("cpu"),
        text_encoder_dtype=torch.float32,
    )
    scheduler, model = parts["prior_scheduler"], parts["prior"]
    noises = iter(drawn[1:])
    monkeypatch.setattr("diffusers.schedulers.scheduling_unclip.randn_tensor", lambda shape, **options: next(noises))
    with torch.no_grad():
        embeds, states, mask = UnCLIPPipeline._encode_prompt(oracle, ["a fat dog"], torch.device("cpu"), 1, True)
        scheduler.set_timesteps(steps)
        times, x = scheduler.timesteps, drawn[0]
        for i, t in enumerate(times):
            found = model(
                torch.cat([x, x]), t, proj_embedding=embeds, encoder_hidden_states=states, attention_mask=mask
            ).predicted_image_embedding
            without, given = found.chunk(2)
            before = None if i + 1 == len(times) else times[i + 1]
            x = scheduler.step(
                without + scale * (given - without), timestep=t, sample=x, prev_timestep=before
            ).prev_sample
        theirs = model.post_process_latents(x)
    assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4)  # its last step divides by 1 - a_0 in single precision


def test_the_ar_prior_draws_what_a_whole_pass_says(mine: UnCLIP) -> None:
    """Its symbols given back at once, without a cache: the same shares of every step's distribution choose the same."""
    from astrogate.models.unclip.priors import prefix

    prior: Any = mine.stack.priors["ar"]
    book, text, seed = prior.codebook, mine.stack.towers.texts(["a fat dog"]), 4
    found = mine.imagine(["a fat dog"], seeds=[seed], kind="ar", candidates=1)
    shares = torch.rand(len(book.basis) + 1, generator=generator(seed, "ar")).double()
    levels = len(prior.edges) + 1
    dot = book.buckets + levels // 2 + int(shares[0] * (levels - levels // 2))
    ids = torch.zeros(1, 0, dtype=torch.long)
    with torch.no_grad():
        before = prefix(prior.model, text, torch.tensor([dot]))
        for share in shares[1:]:
            inputs = torch.cat([before, prior.model.get_input_embeddings()(ids)], 1)
            mask = torch.cat([text.mask, text.mask.new_ones(1, inputs.shape[1] - text.mask.shape[1])], 1)
            logits = prior.model(inputs_embeds=inputs, attention_mask=mask.long(), use_cache=False).logits[0, -1]
            total = logits[: book.buckets].double().softmax(-1).cumsum(-1)
            ids = torch.cat([ids, (total < share * total[-1]).sum().view(1, 1)], 1)
    again = book.decode(ids)
    assert torch.allclose(found, again / again.norm(dim=-1, keepdim=True), atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_every_stack_draws_in_less_than_full_precision(folders: Folders, name: str, dtype: str) -> None:
    folder = folders(name)
    prior = str(folder / "prior-pipeline") if name == "kandinsky" else None
    model: Any = load(str(folder), device="cpu", prior=prior, dtype=dtype)
    picture = model.decode(model.denoise([model.point_at(z_of(model), seed=1)], RECIPE))
    whole: Any = opened(folder, name)
    exact = whole.decode(whole.denoise([whole.point_at(z_of(whole), seed=1)], RECIPE))
    assert picture.dtype == torch.float32
    assert (picture - exact).abs().mean() < 0.05
    if model.stack.priors:
        assert model.imagine(["a dog"], seeds=[1], kind=next(iter(model.stack.priors))).isfinite().all()


@pytest.mark.cuda
def test_every_stack_draws_on_a_gpu(folders: Folders, name: str) -> None:
    folder = folders(name)
    prior = str(folder / "prior-pipeline") if name == "kandinsky" else None
    there: Any = load(str(folder), device="cuda", prior=prior)
    here: Any = opened(folder, name)
    pictures = [m.decode(m.denoise([m.point_at(z_of(m), seed=1)], RECIPE)) for m in (there, here)]
    assert (pictures[0] - pictures[1]).abs().max() < 1e-2
    if there.stack.priors:
        z = [m.imagine(["a dog"], seeds=[1], kind=next(iter(m.stack.priors))) for m in (there, here)]
        assert torch.allclose(*z, atol=1e-2)


def test_a_prior_of_another_pipeline(folders: Folders, tmp_path: Path) -> None:
    """Stable unCLIP from pictures takes Karlo's prior, or Kandinsky's; of another CLIP, or none, is said."""
    stable = folders("stable")
    for other in (folders("karlo"), folders("kandinsky") / "prior-pipeline"):
        stack: Any = load(str(stable), device="cpu", prior=str(other))
        assert list(stack.stack.priors) == ["diffusion"]
        assert stack.point("a dog", seed=1).tensors["image_embeds"].shape == (WIDTH,)
    with pytest.raises(AstrogateError, match="holds no prior"):
        load(str(stable), device="cpu", prior=str(stable))
    shutil.copytree(folders("kandinsky") / "prior-pipeline", tmp_path / "wide")
    narrow_tower(tmp_path / "wide" / "image_encoder")
    with pytest.raises(AstrogateError, match="embeddings of 32 dimensions, its image encoder makes 16"):
        load(str(folders("kandinsky")), device="cpu", prior=str(tmp_path / "wide"))


def narrow_tower(folder: Path) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig.from_pretrained(folder)
    config.projection_dim = 16
    CLIPVisionModelWithProjection(config).save_pretrained(folder)


def test_a_stable_stack_with_a_prior_imagines(tmp_path: Path) -> None:
    stable_unclip(tmp_path, prior=True)
    stack = opened(tmp_path, "stable")
    assert stack.point("a dog").tensors["image_embeds"].shape == (WIDTH,)


def test_a_shipped_stack_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("astrogate.models.loading.locate.shipped_unclip", lambda: tmp_path / "nowhere")
    with pytest.raises(AstrogateError, match="are not in this package: train them"):
        load("menagerie-unclip", device="cpu")


def test_bad_input_is_named(folders: Folders, mine: UnCLIP, tmp_path: Path) -> None:
    stable = opened(folders("stable"), "stable")
    with pytest.raises(AstrogateError, match="by a prior: give it a picture"):
        stable.point("a dog")
    with pytest.raises(AstrogateError, match="no text encoder in the space"):
        stable.embed_text(["a dog"])
    with pytest.raises(AstrogateError, match="checkpoint of the same CLIP"):
        mine.point_at(torch.zeros(7))
    with pytest.raises(AstrogateError, match="choose one of diffusion, ar, none"):
        mine.imagine(["a dog"], seeds=[1], kind="magic")
    with pytest.raises(AstrogateError, match="DDIM"):
        mine.denoise([mine.point_at(z_of(mine))], Recipe(4, scheduler="Euler"))
    with pytest.raises(AstrogateError, match="another model"):
        mine.denoise([stable.point_at(z_of(stable))], RECIPE)
    with pytest.raises(AstrogateError, match="name the folder of its prior"):
        load(str(folders("kandinsky")), device="cpu")
    with pytest.raises(AstrogateError, match="no space 'x'"):
        mine.denoise([mine.point_at(z_of(mine)).apply(edit_of(Steer({"x": torch.ones(1)})))], RECIPE)
    with pytest.raises(AstrogateError, match="leave prior out"):
        load("menagerie", device="cpu", prior=str(folders("stable")))
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text(json.dumps({"_class_name": "UnCLIPPipeline"}))
    with pytest.raises(AstrogateError, match="has no decoder"):
        load(str(broken), device="cpu")


def test_kandinskys_negative_prompt_goes_through_its_prior(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both embeddings are those of its prior's pipeline, with the same noise at every step."""
    from diffusers import KandinskyV22PriorPipeline

    folder, steps, scale = folders("kandinsky"), 5, 2.0
    stack = opened(folder, "kandinsky")
    drawn = torch.randn(steps, 2, WIDTH, generator=torch.Generator().manual_seed(3))
    found: list[torch.Tensor] = []
    for row, prompt in enumerate(("a fat dog", "a cat")):
        queue = iter(drawn[:, row : row + 1])
        monkeypatch.setattr("astrogate.models.unclip.priors._noise", lambda generators, width, q=queue: next(q))
        options = {"candidates": 1, "guidance_scale": scale, "num_inference_steps": steps}
        found.append(stack.imagine([prompt], seeds=[0], negative="a cat", **options)[0])
    noises = iter(drawn[1:])
    monkeypatch.setattr("diffusers.schedulers.scheduling_unclip.randn_tensor", lambda shape, **options: next(noises))
    pipe: Any = KandinskyV22PriorPipeline.from_pretrained(folder / "prior-pipeline")
    pipe.set_progress_bar_config(disable=True)
    given = {"num_inference_steps": steps, "guidance_scale": scale, "latents": drawn[0]}
    theirs = pipe("a fat dog", negative_prompt="a cat", **given)
    # Their last step divides beta by 1 - alpha in float32, where both are near 4e-5: that is 1 but for a thousandth.
    assert torch.allclose(found[0], theirs.image_embeds[0], rtol=1e-3, atol=1e-4)
    assert torch.allclose(found[1], theirs.negative_image_embeds[0], rtol=1e-3, atol=1e-4)
    monkeypatch.undo()
    plain, negative = (stack.point("a fat dog", seed=1, negative=text) for text in ("", "a cat"))
    assert torch.equal(plain.tensors["negative_image_embeds"], stack.stack.missing.float())
    assert not torch.allclose(negative.tensors["negative_image_embeds"], plain.tensors["negative_image_embeds"])
    assert not torch.allclose(negative.tensors["image_embeds"], plain.tensors["image_embeds"])
