"""Laws of every family's adapter: plain diffusers to the bit without steers; steers act where they say; no trace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from astrogate.core.direction import Direction
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.parts import Guide, Half, Parts, Steer
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.guidance import toward
from astrogate.methods.image.encode import encode
from astrogate.models.adapter import PipelineModel
from astrogate.models.family import ABILITIES
from astrogate.models.loading.load import load
from astrogate.models.prediction import with_loss
from astrogate.models.registry import AbilityError, families
from astrogate.models.text.pseudo_word import encoders
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from tests.checkpoints import (
    FAMILIES,
    PROMPT,
    SIZE,
    WORDS,
    able,
    edit_of,
    guided,
    halved,
    in_turn,
    made,
    row,
    steered,
    unguided,
    watched,
)

NEGATIVE = "a sad cat"
Folders = Callable[[str], Path]


def pipeline(folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> Any:
    """Plain diffusers."""
    import diffusers

    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, torch_dtype=dtype).to(device)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def plain(
    folder: Path, family: str, n: int, dtype: torch.dtype = torch.float32, device: str = "cpu", **options: Any
) -> list[Any]:
    """What diffusers itself draws for seeds 5, 6, ..."""
    asked = {name: value for name, value in row(family).options.items() if value is not None}
    asked |= row(family).by_steps(3) if row(family).by_steps else {}
    asked |= {"num_inference_steps": 3, "guidance_scale": 4.0, "height": SIZE[family], "width": SIZE[family]}
    generators = [torch.Generator("cpu").manual_seed(5 + i) for i in range(n)]
    pipe, options = pipeline(folder, dtype, device), {**asked, **options}
    if "negative_prompt" in options and "negative_prompt" not in signature(pipe.__call__).parameters:
        options["negative_prompt_embeds"] = pipe.encode_prompt(options.pop("negative_prompt"))[0]
    if argument := row(family).guidance.argument:  # it guides by a negative prompt alone
        options = {"negative_prompt": [""] * n, **options, argument: options["guidance_scale"]}
        options |= row(family).options
    images = pipe(prompt=[PROMPT] * n, generator=generators, **options).images
    return [np.asarray(image) for image in images]


def test_bit_identical_to_diffusers(tiny_folders: Folders, model: Model, family: str) -> None:
    """In a batch, without a negative prompt, and with a steer of scale 0."""
    points = [made(model, family, seed=5 + i) for i in range(2)]
    direction = Direction({"end": torch.ones(points[0].tensors["prompt_embeds"].shape[-1])}, model.fingerprint)
    points = [point.apply(direction.at(point), 0.0) for point in points]
    for frame, expected in zip(
        render(model, points, recipe=Recipe(3)), plain(tiny_folders(family), family, 2), strict=True
    ):
        assert np.array_equal(np.asarray(frame.image), expected)


def test_bit_identical_with_a_negative_prompt(tiny_folders: Folders, model: Model, family: str) -> None:
    if not halved(family):
        with pytest.raises(AstrogateError, match="takes no negative prompt: leave it out"):
            made(model, family, negative=NEGATIVE)
        return
    guides = guided(family, 2.0)
    expected = plain(tiny_folders(family), family, 1, negative_prompt=[NEGATIVE], **guides)
    ours, other = (
        np.asarray(next(render(model, made(model, family, negative=n), recipe=Recipe(3, **guides))).image)
        for n in (NEGATIVE, "")
    )
    assert np.array_equal(ours, expected[0])
    assert not np.array_equal(ours, other)


def test_bit_identical_in_half_precision(tiny_folders: Folders, family: str) -> None:
    """A VAE that overflows in float16 is raised to float32, as diffusers does."""
    dtype = "float16" if row(family).upcast else "bfloat16"
    model = load(str(tiny_folders(family)), device="cpu", dtype=dtype)
    ours = next(render(model, made(model, family), recipe=Recipe(3)))
    expected = plain(tiny_folders(family), family, 1, getattr(torch, dtype))
    assert np.array_equal(np.asarray(ours.image), expected[0])


@pytest.mark.cuda
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_bit_identical_on_a_gpu(tiny_folders: Folders, family: str, n: int, dtype: str) -> None:
    model = load(str(tiny_folders(family)), device="cuda", dtype=dtype)
    points = [made(model, family, seed=5 + i) for i in range(n)]
    expected = plain(tiny_folders(family), family, n, getattr(torch, dtype), "cuda")
    for frame, picture in zip(render(model, points, recipe=Recipe(3)), expected, strict=True):
        assert np.array_equal(np.asarray(frame.image), picture)


@pytest.mark.cuda
def test_edits_act_on_a_gpu_as_on_a_processor(tiny_folders: Folders, model: Model, family: str) -> None:
    there = load(str(tiny_folders(family)), device="cuda")
    drawn = []
    for place in (there, model):
        point = made(place, family)
        edited = point.apply(steered(place, point, window=(0.2, 1.0))).held(1.0, 0.5)
        drawn.append(place.denoise([point, edited, point], Recipe(3)).float().cpu())
    assert torch.allclose(*drawn, atol=1e-2)


def test_points_hold_what_the_spaces_say(model: Model, family: str) -> None:
    point = made(model, family)
    assert set(point.tensors) == model.spaces
    encoded = model.encode([PROMPT, "a cat"])
    for space in model.spaces & set(encoded):
        assert torch.allclose(encoded[space][0], point.tensors[space], atol=1e-5)
    assert encoded["end"].tolist() == [point.segments[0].end, model.segments("a cat")[0].end]


def test_the_points_of_several_seeds_are_those_of_each_and_their_text_is_encoded_once(model: Any, family: str) -> None:
    calls: list[int] = []
    name = row(family).texts[0].tokenizer.replace("tokenizer", "text_encoder")
    handle = getattr(model.pipe, name).register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        each = [made(model, family, seed=seed) for seed in (5, 6, 7)]
        alone, calls[:] = len(calls) // 3, []
        points = model.points(PROMPT, (5, 6, 7), height=SIZE[family], width=SIZE[family])
        assert len(calls) == alone
    finally:
        handle.remove()
    for one, other in zip(points, each, strict=True):
        assert (one.seed, one.origin, one.segments, one.model) == (
            other.seed,
            other.origin,
            other.segments,
            other.model,
        )
        assert all(torch.equal(one.tensors[space], other.tensors[space]) for space in model.spaces)
    assert not torch.equal(points[0].tensors["latents"], points[1].tensors["latents"])


def test_spans_are_the_same_before_and_after_a_pipeline_has_encoded(tiny_folders: Folders, family: str) -> None:
    """Some say only then on which side their tokenizer pads."""
    model = load(str(tiny_folders(family)), device="cpu")
    before = model.segments(PROMPT)
    model.encode([PROMPT])
    assert model.segments(PROMPT) == before


@pytest.mark.parametrize("family", [name for name in FAMILIES if row(name).short])
def test_states_up_to_the_end_need_no_padding(model: Model, family: str) -> None:
    prompts = ["a dog", "a painting of a fat cat"]
    long, short = (model.encode(prompts, padding=padding) for padding in ("max_length", "longest"))
    assert torch.equal(long["end"], short["end"])
    for i, end in enumerate(long["end"].tolist()):
        assert torch.allclose(long["prompt_embeds"][i, : end + 1], short["prompt_embeds"][i, : end + 1], atol=1e-4)
    if not row(family).unpadded:  # those are padded behind the encoder
        assert short["prompt_embeds"].shape[1] < long["prompt_embeds"].shape[1]


def test_segments_cover_the_sequence(model: Model, family: str) -> None:
    point = made(model, family)
    stops = [0, *(segment.stop for segment in point.segments)]
    assert [segment.start for segment in point.segments] == stops[:-1]
    assert stops[-1] == len(point.tensors["prompt_embeds"])
    assert [segment.name for segment in point.segments] == [text.name for text in row(family).texts]
    for segment in point.segments:
        low, high = segment.find("dog")
        assert segment.start < low < high == segment.end


def read_by_the_encoders(model: Any, prompt: str) -> dict[str, list[int]]:
    """The tokens whose states the denoiser gets, by the name of the tokenizer."""
    seen: dict[str, list[int]] = {}

    def watch(name: str, args: Any, kwargs: dict[str, Any]) -> None:
        ids = (kwargs["input_ids"] if "input_ids" in kwargs else args[0])[0]
        mask = kwargs.get("attention_mask")
        seen.setdefault(name, (ids if mask is None or not model.family.unpadded else ids[mask[0].bool()]).tolist())

    texts, handles = model.family.texts, []
    for name in (text.tokenizer for text in texts):
        encoder = getattr(model.pipe, name.replace("tokenizer", "text_encoder"))
        handles.append(
            encoder.register_forward_pre_hook(lambda _, a, k, name=name: watch(name, a, k), with_kwargs=True)
        )
    try:
        model.encode([prompt])
    finally:
        for handle in handles:
            handle.remove()
    for text in texts:
        del seen[text.tokenizer][text.omitted(model.pipe)]
    return seen


def test_spans_hold_their_words_and_nothing_else(model: Any, family: str) -> None:
    """Twenty prompts, among whatever else the encoders read."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        prompt = " ".join(rng.choice(WORDS, int(rng.integers(1, 9))))
        tokens = read_by_the_encoders(model, prompt)
        for text, segment in zip(row(family).texts, model.segments(prompt), strict=True):
            tokenizer, ids = text.reader(model.pipe), tokens[text.tokenizer]
            assert [word for word, _, _ in segment.words] == prompt.split()
            for word, low, high in segment.words:
                assert tokenizer.decode(ids[low - segment.start : high - segment.start]).strip() == word
            assert segment.first == segment.words[0][1]
            assert segment.end == segment.words[-1][2]


@pytest.mark.parametrize("family", [name for name in FAMILIES if row(name).texts[0].lowered])
def test_capitals_and_spaces_around_a_prompt_move_no_span_where_a_pipeline_drops_them(
    model: Model, family: str
) -> None:
    for prompt in ("  A Fat Dog", "a FAT dog\n", "\tA fat DOG  "):
        assert model.segments(prompt) == model.segments("a fat dog")
        ours = made(model, family, prompt).tensors["prompt_embeds"]
        assert torch.equal(ours, made(model, family, "a fat dog").tensors["prompt_embeds"])


@pytest.mark.parametrize("half", ["positive", "negative", "both"])
def test_a_steer_acts_on_its_half_row_and_window(model: Model, family: str, half: Half) -> None:
    """Two rows, the second steered, in the first half of four steps; text states and pooled text alike."""
    point = made(model, family)
    batch = [point, point.apply(steered(model, point, half, window=(0.0, 0.5)))]
    if half == "negative" and not halved(family):
        with pytest.raises(AstrogateError, match="no negative half to steer"):
            model.denoise(batch, Recipe(4))
        return
    seen = watched(model, batch, Recipe(4, **guided(family, 2.0)))
    if in_turn(family):
        assert len(seen) == 8
        seen = [{s: torch.cat([seen[i + 1][s], seen[i][s]]) for s in seen[i]} for i in range(0, 8, 2)]
    elif row(family).guidance.order[0] == "positive":
        seen = [{space: torch.cat([x[2:], x[:2]]) for space, x in states.items()} for states in seen]
    assert len(seen) == 4
    moves = torch.tensor([0, 2.0 * (half != "positive"), 0, 2.0 * (half != "negative")])[0 if halved(family) else 2 :]
    for step, states in enumerate(seen):
        for space, now in states.items():
            halves = (f"negative_{space}", space) if halved(family) else (space,)
            base = torch.stack([point.tensors[name] for name in halves for _ in range(2)])
            moved = (now - base).flatten(1).abs().amax(1)  # of texts without padding, there where they are
            assert torch.allclose(moved, moves * (step < 2), atol=1e-4), (step, space)


@pytest.mark.parametrize("family", able("step"))
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_step_by_step_the_noise_is_what_diffusers_hands_its_scheduler(
    tiny_folders: Folders, model: Any, family: str, guidance: float
) -> None:
    from diffusers import DDIMScheduler

    pipe, seen = pipeline(tiny_folders(family)), []
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    step = pipe.scheduler.step

    def watch(noise: torch.Tensor, t: Any, x: torch.Tensor, **options: Any) -> Any:
        seen.append((int(t), x.clone(), noise.clone()))
        return step(noise, t, x, **options)

    pipe.scheduler.step = watch
    options = {"num_inference_steps": 3, "guidance_scale": guidance, "height": SIZE[family], "width": SIZE[family]}
    pipe([PROMPT], negative_prompt=[NEGATIVE], generator=torch.Generator().manual_seed(5), **options)
    point = made(model, family, negative=NEGATIVE)
    assert torch.equal(seen[0][1][0], point.tensors["latents"])
    assert [t for t, _ in model.levels(3)] == [*(t for t, _, _ in seen), -1]
    for t, x, noise in seen:
        with torch.no_grad():
            assert torch.allclose(model.epsilon([point], x, t, guidance_scale=guidance), noise, atol=1e-5)


def test_what_a_family_cant_do_is_refused_in_one_kind_of_error(model: Any, family: str) -> None:
    point = made(model, family)
    tasks = {
        "step": lambda: model.epsilon([point], point.tensors["latents"][None], 1),
        "pan": lambda: model.denoise([point], Recipe(2, stride=8)),
        "control": lambda: model.denoise([replace(point, extras={"image": torch.zeros(3, 8, 8)})], Recipe(2)),
        "loss": lambda: with_loss(model),
        "pseudo_words": lambda: encoders(model),
        "embeds": lambda: encode(model, torch.zeros(1, 3, 16, 16)),
    }
    for ability in set(tasks) - model.can:
        able = [row.name for row in families() if ability in row.can]
        with pytest.raises(AbilityError, match=f"can't {ABILITIES[ability]}: use a model of {', '.join(able)}"):
            tasks[ability]()


def test_without_guidance_the_negative_half_is_absent(model: Model, family: str) -> None:
    point = made(model, family)
    recipe = Recipe(3, **unguided(family))
    base = model.denoise([point], recipe)
    assert not torch.equal(model.denoise([point.apply(steered(model, point, "both"))], recipe), base)
    with pytest.raises(AstrogateError, match="no negative half to steer"):
        model.denoise([point.apply(steered(model, point, "negative"))], recipe)


def test_what_is_refused_leaves_the_model_as_it_was(model: Any, family: str) -> None:
    point, scheduler, weights = made(model, family), model.pipe.scheduler, model.weights
    elsewhere = edit_of(Steer({"elsewhere": torch.ones(1)}))
    known = {kind.__name__ for kind in scheduler.compatibles} - {model.scheduler}
    name = next((name for name in ("UniPCMultistepScheduler", "DDIMScheduler") if name in known), None)
    for bad in (point.apply(elsewhere), point.apply(toward(model, "a cat"))):
        with pytest.raises(AstrogateError, match=r"no (space|negative half)"):
            model.denoise([bad], Recipe(2, **unguided(family), scheduler=name))
    assert model.pipe.scheduler is scheduler
    assert model.weights == weights


def test_guidance_that_a_family_does_not_take_is_refused(model: Model, family: str) -> None:
    point, recipe = made(model, family), Recipe(2, true_cfg_scale=2.0)
    if row(family).guidance.scale == "true_cfg_scale":
        model.denoise([point], recipe)
        return
    with pytest.raises(AstrogateError, match=r"true_cfg_scale 2 does nothing in .*: use guidance_scale"):
        model.denoise([point], recipe)


@pytest.mark.parametrize("family", [name for name in FAMILIES if row(name).samplers])
def test_a_sampler_that_a_pipeline_cant_use_is_refused(model: Model, family: str) -> None:
    (own,) = row(family).samplers
    with pytest.raises(AstrogateError, match=f"'DDIM' is not one that this model draws by: choose one of {own}"):
        model.denoise([made(model, family)], Recipe(2, scheduler="DDIM"))
    assert model.denoise([made(model, family)], Recipe(2, scheduler=own)).isfinite().all()


def test_a_processor_is_not_needed_for_its_tokenizer(tiny_folders: Folders, tmp_path: Path) -> None:
    """The published FLUX.2 names one that asks for torchvision."""
    folder = tmp_path / "processor"
    shutil.copytree(tiny_folders("flux2"), folder)
    index = json.loads((folder / "model_index.json").read_text())
    processor = {"tokenizer": ["transformers", "PixtralProcessor"]}
    (folder / "model_index.json").write_text(json.dumps({**index, **processor}))
    ours, plain = (load(str(path), device="cpu") for path in (folder, tiny_folders("flux2")))
    assert ours.segments(PROMPT) == plain.segments(PROMPT)
    assert torch.equal(ours.encode([PROMPT])["prompt_embeds"], plain.encode([PROMPT])["prompt_embeds"])


def test_a_distilled_checkpoint_goes_without_guidance(tiny_folders: Folders, tmp_path: Path) -> None:
    folder = tmp_path / "distilled"
    shutil.copytree(tiny_folders("flux2_klein"), folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "is_distilled": True}))
    model = load(str(folder), device="cpu")
    assert model.recipe == Recipe(4, 1.0)
    point = made(model, "flux2_klein")
    with pytest.raises(AstrogateError, match="guidance_scale 4 does nothing in a distilled checkpoint: use 1"):
        model.denoise([point], Recipe(2))
    assert model.denoise([point], model.recipe).isfinite().all()


#: By what the published checkpoints' schedulers say.
@pytest.mark.parametrize(
    ("family", "kind", "settings", "recipe"),
    [
        ("stable_diffusion", "PNDM", {"timestep_spacing": "leading"}, Recipe(30, 7.5)),
        ("stable_diffusion", "DDIM", {"timestep_spacing": "trailing"}, Recipe(30, 7.5)),
        ("stable_diffusion", "EulerDiscrete", {"timestep_spacing": "trailing"}, Recipe(4, 1.0)),
        ("stable_diffusion", "LCM", {}, Recipe(4, 1.0)),
        ("stable_diffusion_xl", "EulerDiscrete", {"timestep_spacing": "leading"}, Recipe(30, 5.0)),
        ("stable_diffusion_xl", "EulerAncestralDiscrete", {"timestep_spacing": "trailing"}, Recipe(4, 1.0)),
        ("stable_diffusion_xl", "TCD", {}, Recipe(4, 1.0)),
        (
            *("stable_diffusion_xl", "EulerDiscrete"),
            {"timestep_spacing": "trailing", "prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
            Recipe(30, 5.0),
        ),
        ("stable_diffusion_3", "FlowMatchEulerDiscrete", {"shift": 3.0}, Recipe(28, 7.0)),
        ("z_image", "FlowMatchEulerDiscrete", {"shift": 6.0}, Recipe(50, 5.0)),
        ("z_image", "FlowMatchEulerDiscrete", {"shift": 3.0}, Recipe(9, 0.0)),
        ("z_image", "UniPCMultistep", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}, Recipe(50, 5.0)),
    ],
)
def test_few_step_checkpoints_are_drawn_in_few_steps(
    tiny_folders: Folders, family: str, kind: str, settings: dict[str, Any], recipe: Recipe
) -> None:
    import diffusers

    pipe = pipeline(tiny_folders(family))
    pipe.scheduler = getattr(diffusers, f"{kind}Scheduler")(**settings)
    assert PipelineModel(row(family), pipe, "x").recipe == recipe


def test_flux_schnell_is_drawn_in_four_steps(tiny_folders: Folders) -> None:
    pipe = pipeline(tiny_folders("flux"))
    assert PipelineModel(row("flux"), pipe, "x").recipe == Recipe(28, 3.5)
    pipe.transformer.register_to_config(guidance_embeds=False)
    assert PipelineModel(row("flux"), pipe, "x").recipe == Recipe(4, 0.0)


def test_what_is_asked_of_the_scheduler_waits_for_its_turn(model: Any, family: str) -> None:
    """While another thread works with the model, its scheduler may be another one."""
    asked = {"weights": lambda: model.weights, "scheduler": lambda: model.scheduler}
    if "step" in model.can:
        asked |= {"levels": lambda: model.levels(2), "predicts_v": lambda: model.predicts_v}
    with ThreadPoolExecutor(len(asked)) as pool:
        with model.lock:
            waiting = {name: pool.submit(ask) for name, ask in asked.items()}
            assert not wait(waiting.values(), 0.1).done
        for name, ask in asked.items():
            assert waiting[name].result(60) == ask(), name


def test_hooks_leave_no_trace(model: Model, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = model.denoiser
    point = made(model, family)
    point = point.apply(steered(model, point))
    before, forward = module.state_dict(), module.forward
    counts: list[int] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        counts.append(len(module._forward_pre_hooks))
        return forward(*args, **kwargs)

    monkeypatch.setattr(module, "forward", counted)
    model.denoise([point], Recipe(3))
    assert set(counts) == {1}
    assert not module._forward_pre_hooks
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_prompts_of_other_lengths_leave_a_row_alone(model: Model, family: str) -> None:
    """Neither a longer prompt beside it, nor a longer phrase that guides it, nor a shorter one."""
    short, long = (made(model, family, prompt) for prompt in ("a dog", "a painting of a fat happy dog of a thin cat"))
    guides = [by_phrase(short, long), by_phrase(long, short)]
    points = [short, long, *(p.apply(edit, 1.5) for p, edit in zip((short, long), guides, strict=True))]
    together = model.denoise(points, Recipe(2))
    for point, drawn in zip(points, together, strict=True):
        assert torch.allclose(model.denoise([point], Recipe(2))[0], drawn, atol=1e-3)
    assert not torch.allclose(together[0], together[2], atol=1e-3)


def by_phrase(point: Point, other: Point) -> Edit:
    """A guide by what another point says."""
    tensors = {space: t for space, t in other.tensors.items() if space != "latents" and not space.startswith("neg")}
    return Edit(Parts(guides=(Guide(tensors, window=(0.0, 1.0)),)), model=point.model)


def test_batch_size_hardly_changes_a_picture(model: Model, family: str) -> None:
    points = [made(model, family, seed=s) for s in range(3)]
    points[1] = points[1].apply(steered(model, points[1]))
    pictures = [model.decode(torch.cat([model.denoise(b, Recipe(3)) for b in bs])) for bs in
                ([points], [[p] for p in points])]  # fmt: skip
    assert (pictures[0] - pictures[1]).abs().max() <= 1e-3


def test_a_direction_moves_each_role_of_each_segment(model: Model, family: str) -> None:
    point = made(model, family)
    width = point.tensors["prompt_embeds"].shape[-1]
    vectors = {"subject": torch.full((width,), 1.0), "end": torch.full((width,), 2.0)}
    others = {segment.name: 3.0 + i for i, segment in enumerate(point.segments[1:])}
    for name, value in others.items():
        vectors[f"{name}.subject"] = torch.full((width,), value)
    if "pooled_prompt_embeds" in model.spaces:
        vectors["pooled"] = torch.ones_like(point.tensors["pooled_prompt_embeds"])
    direction = Direction(vectors, model.fingerprint)
    moved = direction.at(point).above.steers[0].vectors
    states, clip = moved["prompt_embeds"][:, 0], point.segments[0]
    assert states[: clip.first].eq(0).all()
    assert states[clip.first : clip.end].eq(1).all()
    assert states[clip.end : clip.stop].eq(2).all()
    for segment in point.segments[1:]:
        assert states[segment.first : segment.end].eq(others[segment.name]).all()
        assert states[segment.end : segment.stop].eq(0).all()
    assert ("pooled_prompt_embeds" in moved) == ("pooled" in vectors)
    word = direction.at(point, on="dog").above.steers[0].vectors
    assert list(word) == ["prompt_embeds"]
    low, high = clip.find("dog")
    assert word["prompt_embeds"][: clip.stop, 0].nonzero().flatten().tolist() == list(range(low, high))
    assert not torch.equal(
        to_tensor(render(model, point.apply(direction.at(point)), recipe=Recipe(3))),
        to_tensor(render(model, point, recipe=Recipe(3))),
    )


def test_sizes_that_a_family_cannot_draw_are_refused(model: Model, family: str) -> None:
    with pytest.raises(AstrogateError, match="multiples of"):
        model.point(PROMPT, height=17, width=16)
    small, large = (made(model, family), model.point(PROMPT, height=2 * SIZE[family], width=SIZE[family]))
    with pytest.raises(AstrogateError, match="different sizes"):
        model.denoise([small, large], Recipe(2))


def test_long_prompts_are_cut_and_said_so(model: Model, family: str) -> None:
    prompt = "dog " * 600
    with pytest.warns(UserWarning, match="too long"):
        point = made(model, family, prompt)
    rest = point.segments[0].stop - point.segments[0].end - row(family).texts[0].tail
    assert rest in (0, 1)  # some write an end behind it


def test_offloaded_models_draw_the_same(tiny_folders: Folders, model: Model, family: str) -> None:
    """On the CPU the hooks of offloading move nothing, but run."""
    with pytest.warns(AstrogateWarning, match="does nothing on the CPU"):
        offloaded = load(str(tiny_folders(family)), device="cpu", offload=True)
    point = made(offloaded, family)
    for p in (point, point.apply(steered(offloaded, point))):
        ours, theirs = (m.decode(m.denoise([p], Recipe(3))) for m in (offloaded, model))
        assert torch.allclose(ours, theirs, atol=1e-5)
    encoded = offloaded.encode([PROMPT])["prompt_embeds"]
    assert torch.allclose(encoded, model.encode([PROMPT])["prompt_embeds"], atol=1e-5)
