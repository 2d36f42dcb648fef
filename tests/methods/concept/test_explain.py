"""Conceptor on tiny checkpoints: what is learnt, kept, resumed and refused; its parts against their formulae."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn import functional as F

from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.measure.clip import Clip
from astrogate.methods.concept import explain as conceptor
from astrogate.methods.concept import run as optimisation
from astrogate.methods.concept import vocabulary as words_of_clip
from astrogate.methods.concept.cutoffs import Cutoffs, alike, cutoffs
from astrogate.methods.concept.dictionary import dictionary
from astrogate.methods.concept.explain import RESULT, concepts, explain
from astrogate.methods.concept.judges import by_loss, by_pictures
from astrogate.methods.concept.plan import Plan
from astrogate.methods.concept.pseudo_point import Place, basis_place, basis_points, concept_points, place_of
from astrogate.methods.concept.run import Weights, pseudo_words, sparsity
from astrogate.methods.concept.starts import convex, toward
from astrogate.methods.concept.vocabulary import vocabulary
from astrogate.models.loading.load import load
from astrogate.models.prediction import denoising_loss, moments, still, timesteps
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

_SMALL = Plan(fit_steps=6, fit_batch=2, pictures=6, validation=3, every=2, recipe=Recipe(2))
FEW = replace(_SMALL, dictionary=8, tokens=3, rate=1e-2, hidden=8)
PROMPT = "a photo of a happy dog"


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
def test_a_concept_is_taken_apart(model: Model, clip: Clip, tmp_path: Path) -> None:
    """On one text encoder and on two."""
    told: list[str] = []
    basis = explain(model, PROMPT, plan=FEW, clip=clip, folder=tmp_path, tell=told.append)
    assert (basis.name, basis.used, basis.model) == ("dog", 3, model.fingerprint)
    assert "dog" not in basis.names
    assert len(basis.names) <= 8
    looks = basis.origin["history"]
    assert [look["step"] for look in looks] == [2, 4, 6]
    place = basis_place(basis)
    assert (place.prompt, place.text) == (PROMPT, f"a photo of a happy {place.standin}")
    assert place.standin not in PROMPT
    assert f"kept in {next(tmp_path.glob('dog-*'))}" in told
    (run,) = tmp_path.glob("dog-*")
    back = Basis.load(run / RESULT)
    assert torch.equal(back.weights, basis.weights)
    coefficients = load_file(run / "coefficients.safetensors")["coefficients"]
    assert sorted(coefficients[coefficients > 0].tolist()) == pytest.approx(sorted(basis.weights.tolist()))
    assert json.loads((run / "explanation.json").read_text())["support"] == pytest.approx(basis.support)
    assert not list(run.glob("state*"))
    again = explain(model, PROMPT, plan=FEW, clip=clip, folder=tmp_path, tell=told.append)
    assert "is finished" in told[-1]
    assert torch.equal(again.weights, basis.weights)


def test_the_same_seed_gives_the_same_weights(tiny: Model, clip: Clip) -> None:
    first, same, other = (explain(tiny, PROMPT, plan=replace(FEW, fit_seed=s), clip=clip) for s in (1, 1, 2))
    assert torch.equal(first.weights, same.weights)
    assert not torch.equal(first.weights, other.weights)


def test_nothing_is_left_in_the_model(tiny: Model, clip: Clip) -> None:
    pipe: Any = tiny.pipe  # type: ignore[attr-defined]
    before = {name: p.clone() for name, p in pipe.text_encoder.named_parameters()}
    processors = {name: type(p) for name, p in pipe.unet.attn_processors.items()}
    explain(tiny, PROMPT, plan=FEW, clip=clip)
    assert all(torch.equal(p, before[name]) for name, p in pipe.text_encoder.named_parameters())
    assert {name: type(p) for name, p in pipe.unet.attn_processors.items()} == processors
    assert all(p.requires_grad and p.grad is None for p in pipe.unet.parameters())
    assert not pipe.text_encoder.get_input_embeddings()._forward_hooks


def test_a_run_that_was_cut_off_goes_on_as_it_would_have(
    tiny: Model, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = explain(tiny, PROMPT, plan=FEW, clip=clip, folder=tmp_path / "whole")
    own, steps = optimisation.denoising_loss, iter(range(100))

    def cut_off(*args: Any, **options: Any) -> Any:
        if next(steps) == 5:
            raise KeyboardInterrupt
        return own(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(optimisation, "denoising_loss", cut_off)
        with pytest.raises(KeyboardInterrupt):
            explain(tiny, PROMPT, plan=FEW, clip=clip, folder=tmp_path / "cut")
    assert list((tmp_path / "cut").glob("dog-*/state.safetensors"))
    told: list[str] = []
    after = explain(tiny, PROMPT, plan=FEW, clip=clip, folder=tmp_path / "cut", tell=told.append)
    assert next(line for line in told if line.startswith("step")).startswith("step 6")
    assert torch.equal(after.weights, whole.weights)
    assert after.origin["history"] == whole.origin["history"]


def test_a_run_that_diverges_keeps_its_best_state(tiny: Model, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    own, steps = optimisation.denoising_loss, iter(range(100))

    def diverging(*args: Any, **options: Any) -> Any:
        return own(*args, **options) * (float("nan") if next(steps) >= bound else 1.0)

    monkeypatch.setattr(optimisation, "denoising_loss", diverging)
    bound = 3
    with pytest.warns(
        AstrogateWarning, match="diverged by step 4; the best state before is kept: lower the plan's rate"
    ):
        basis = explain(tiny, PROMPT, plan=FEW, clip=clip)
    assert basis.origin["stopped"] == "diverged by step 4"
    assert [look["step"] for look in basis.origin["history"]] == [2]
    steps, bound = iter(range(100)), 0
    with pytest.raises(AstrogateError, match="diverged within 2 steps: lower the plan's rate"):
        explain(tiny, PROMPT, plan=replace(FEW, fit_seed=9), clip=clip)


def test_a_settled_run_stops_early(tiny: Model, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conceptor, "_judge", lambda *args: lambda vectors: 0.5)
    plan = replace(FEW, fit_steps=40, rate=1e-9)
    assert explain(tiny, PROMPT, plan=plan, clip=clip).origin["history"][-1]["step"] == 40
    early = explain(tiny, PROMPT, plan=replace(plan, early=True), clip=clip)
    assert early.origin["stopped"] == "settled at step 8"
    scores = iter(0.5 * 1.01**i for i in range(100))
    monkeypatch.setattr(conceptor, "_judge", lambda *args: lambda vectors: next(scores))
    growing = explain(tiny, PROMPT, plan=replace(plan, early=True, fit_seed=1), clip=clip)
    assert (growing.origin["stopped"], growing.origin["history"][-1]["step"]) == ("", 40)


@pytest.mark.parametrize("judge", ["pictures", "loss"])
@pytest.mark.parametrize("start", ["convex", "text"])
def test_starts_and_judges(tiny: Model, clip: Clip, start: Any, judge: Any) -> None:
    basis = explain(tiny, PROMPT, plan=replace(FEW, start=start, judge=judge), clip=clip)
    assert [look["step"] for look in basis.origin["history"]] == [0, 2, 4, 6]
    assert (basis.origin["history"][0]["score"] < 0) == (judge == "loss")


def test_the_text_start_finds_the_prompts_own_states(tiny: Model, clip: Clip) -> None:
    """With the concept itself in the dictionary, its weight grows."""
    from astrogate.methods.concept.starts import from_text

    words = vocabulary(tiny, clip)
    place = place_of(PROMPT, None, words.words)
    goals = {"prompt_embeds": tiny.encode([PROMPT])["prompt_embeds"]}
    torch.manual_seed(0)
    inputs = torch.cat(words.embeddings, 1)
    network = Weights(inputs.shape[1], 32)

    def states() -> Any:
        return conceptor.states(tiny, place, pseudo_words(words, network(inputs)), gradient=True)

    first = from_text(network, states, goals, steps=1)
    assert from_text(network, states, goals, steps=150, rate=1e-2) < 0.5 * first


def test_a_start_brings_the_network_to_its_weights() -> None:
    torch.manual_seed(0)
    network, inputs, goal = Weights(16, 50), torch.randn(12, 16), torch.rand(12)
    toward(network, inputs, goal)
    assert torch.corrcoef(torch.stack([network(inputs).detach(), goal]))[0, 1] > 0.98


def test_the_convex_start_finds_what_features_are_made_of() -> None:
    torch.manual_seed(0)
    atoms = F.normalize(torch.randn(30, 64), dim=1)
    weights = convex(atoms, F.normalize(atoms[4] + atoms[9], dim=0)[None])
    assert set(weights.topk(2).indices.tolist()) == {4, 9}
    assert float(weights.sum()) == pytest.approx(1)
    assert convex(atoms[:1], -atoms[:1]).tolist() == [1]
    assert convex(atoms[:2], -atoms[:2].sum(0, keepdim=True)).tolist() == [0.5, 0.5]


def test_the_convex_start_takes_every_picture_apart_by_itself() -> None:
    torch.manual_seed(0)
    atoms = F.normalize(torch.randn(30, 64), dim=1)
    weights = convex(atoms, atoms[[4, 9, 9, 9]])
    assert weights.topk(2).indices.tolist() == [9, 4]
    assert float(weights[9] / weights[4]) == pytest.approx(3, rel=0.1)


def test_the_pseudo_word_and_its_sparsity(tiny: Model, clip: Clip) -> None:
    words, weights = vocabulary(tiny, clip), torch.rand(len(vocabulary(tiny, clip).words))
    (vector,) = pseudo_words(words, weights)
    assert float(vector.norm()) == pytest.approx(words.lengths[0], rel=1e-5)
    total = (weights[:, None] * words.embeddings[0]).sum(0)
    assert F.cosine_similarity(vector, total, dim=0) == pytest.approx(1)
    assert float(sparsity(words, weights, len(words.words))) == pytest.approx(0, abs=1e-6)
    one = torch.zeros_like(weights).index_fill(0, weights.argmax(), float(weights.max()))
    wanted = 1 - F.cosine_similarity(pseudo_words(words, one)[0], vector, dim=0)
    assert float(sparsity(words, weights, 1)) == pytest.approx(float(wanted), abs=1e-6)


def test_the_dictionary_is_near_the_pictures_and_without_the_concept(tiny: Model, clip: Clip) -> None:
    words = vocabulary(tiny, clip)
    pictures = F.normalize(torch.randn(5, words.features.shape[1], generator=torch.Generator().manual_seed(0)), dim=1)
    chosen = dictionary(clip, words, pictures, "dog", FEW, 1.0)
    scores = words.features @ pictures.mean(0)
    ranked = [words.words[int(i)] for i in scores.argsort(descending=True)]
    assert list(chosen.words) == [word for word in ranked if word != "dog"][:8]
    kept = dictionary(clip, words, pictures, "dog", replace(FEW, keep_concept=True, dictionary=99), -1.0)
    assert list(kept.words) == ranked
    least = replace(FEW, include=(ranked[-1], "dog"), dictionary=3)
    assert set(dictionary(clip, words, pictures, "dog", least, 1.0).words) == {ranked[-1], "dog", chosen.words[0]}
    with pytest.raises(AstrogateError, match="the vocabulary has no moon"):
        explain(tiny, PROMPT, plan=replace(FEW, include=("moon",)), clip=clip, words=words)
    with pytest.raises(AstrogateError, match="0 words are left for 'dog'"):
        dictionary(clip, words, pictures, "dog", FEW, -1.0)


def test_cutoffs_are_those_of_vit_b_32_or_quantiles(clip: Clip) -> None:
    words = F.normalize(torch.randn(200, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    found = cutoffs(clip, alike(words), words[:20])
    pairs = (words @ words.T)[tuple(torch.triu_indices(200, 200, 1))]
    assert float((pairs > found.concept).float().mean()) == pytest.approx(0.001, abs=2e-4)
    assert found.concept < found.concept_of_one < found.words
    own = (words[:20] @ words[:20].T)[tuple(torch.triu_indices(20, 20, 1))].sort().values
    assert own[-2] < found.pictures < own[-1]
    assert alike(words[:10])[0] == pytest.approx(float((words[:10] @ words[:10].T).fill_diagonal_(-1).max()), abs=1e-6)

    for act, own in (("quick_gelu", True), ("gelu", False)):
        vision = SimpleNamespace(patch_size=32, hidden_size=768, hidden_act=act)
        as_base: Any = SimpleNamespace(
            model=SimpleNamespace(config=SimpleNamespace(vision_config=vision, projection_dim=512))
        )
        assert (cutoffs(as_base, alike(words), words) == Cutoffs(0.90, 0.92, 0.95, 0.93)) == own


def test_the_pictures_judge_is_the_paired_cosine(tiny: Model, clip: Clip) -> None:
    words = vocabulary(tiny, clip)
    place = place_of(PROMPT, None, words.words)
    vectors = pseudo_words(words, torch.ones(len(words.words)))
    points, recipe = concept_points(tiny, place, vectors, [3, 4]), Recipe(2)
    own = clip.images(to_tensor(render(tiny, points, recipe=recipe)))
    assert by_pictures(tiny, clip, place, own, [3, 4], recipe)(vectors) == pytest.approx(1, abs=1e-5)
    other = own.roll(1, 0)
    expected = float((own * other).sum(1).mean())
    assert by_pictures(tiny, clip, place, other, [3, 4], recipe)(vectors) == pytest.approx(expected, abs=1e-5)


def test_the_loss_judge_always_looks_at_the_same(tiny: Model, clip: Clip) -> None:
    words = vocabulary(tiny, clip)
    place = place_of(PROMPT, None, words.words)
    pictures = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    own, other = (
        pseudo_words(words, weights) for weights in (torch.ones(len(words.words)), torch.rand(len(words.words)))
    )
    judge = by_loss(tiny, place, pictures, seed=0, dtype=None)
    assert judge(own) == judge(own)
    assert by_loss(tiny, place, pictures, seed=0, dtype=None, batch_size=5)(own) == pytest.approx(judge(own), rel=1e-4)
    assert judge(own) != judge(other)
    assert by_loss(tiny, place, pictures, seed=1, dtype=None)(own) != judge(own)


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
@torch.no_grad()
def test_the_denoising_loss_is_diffusers_own(model: Model) -> None:
    pipe: Any = model.pipe  # type: ignore[attr-defined]
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mean, deviation = moments(model, pictures)
    posterior = pipe.vae.encode(2 * pictures - 1).latent_dist
    assert torch.allclose(mean, posterior.mean * pipe.vae.config.scaling_factor, atol=1e-6)
    assert torch.allclose(deviation, posterior.std * pipe.vae.config.scaling_factor, atol=1e-6)
    noise, t = torch.randn_like(mean), torch.tensor([3, 700])
    assert timesteps(model) == 1000
    states = {space: value for space, value in model.encode([PROMPT]).items() if space != "end"}
    from diffusers import DDPMScheduler

    noisy = DDPMScheduler.from_config(pipe.scheduler.config).add_noise(mean, noise, t)
    more = {}
    if "pooled_prompt_embeds" in states:
        ids = torch.tensor([[16.0, 16, 0, 0, 16, 16]] * 2)
        more = {"added_cond_kwargs": {"text_embeds": states["pooled_prompt_embeds"].expand(2, -1), "time_ids": ids}}
    wanted = (
        (pipe.unet(noisy, t, states["prompt_embeds"].expand(2, -1, -1), **more).sample - noise).square().mean((1, 2, 3))
    )
    assert torch.allclose(denoising_loss(model, states, mean, noise, t), wanted, rtol=1e-4)
    before = pipe.unet.attn_processors
    with still(model):
        assert torch.allclose(denoising_loss(model, states, mean, noise, t), wanted, rtol=1e-4)
    assert pipe.unet.attn_processors == before


def test_a_model_that_predicts_v_is_asked_for_v(tiny_folder: Path) -> None:
    model: Any = load(str(tiny_folder), device="cpu")
    states = {"prompt_embeds": model.encode([PROMPT])["prompt_embeds"]}
    latents, noise, t = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([100, 800])
    with torch.no_grad():
        plain = denoising_loss(model, states, latents, noise, t)
        model.pipe.scheduler.register_to_config(prediction_type="v_prediction")
        a = model.pipe.scheduler.alphas_cumprod[t][:, None, None, None]
        out = model.pipe.unet(a.sqrt() * latents + (1 - a).sqrt() * noise, t, states["prompt_embeds"].expand(2, -1, -1))
        wanted = (out.sample - (a.sqrt() * noise - (1 - a).sqrt() * latents)).square().mean((1, 2, 3))
        assert torch.allclose(denoising_loss(model, states, latents, noise, t), wanted, rtol=1e-4)
        assert not torch.allclose(plain, wanted)
        model.pipe.scheduler.register_to_config(prediction_type="sample")
        with pytest.raises(AstrogateError, match="predicts 'sample'"):
            denoising_loss(model, states, latents, noise, t)


def test_the_exported_token_draws_the_same_in_plain_diffusers(tiny_folder: Path, clip: Clip, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    model = load(str(tiny_folder), device="cpu")
    basis = explain(model, PROMPT, plan=FEW, clip=clip, folder=tmp_path)
    recipe = Recipe(4)
    ours = to_tensor(render(model, basis_points(model, basis, [5]), recipe=recipe))
    pipe: Any = StableDiffusionPipeline.from_pretrained(tiny_folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion(str(next(tmp_path.glob("dog-*")) / "pseudo-word.safetensors"), token="<concept>")
    theirs = pipe(
        "a photo of a happy <concept>",
        num_inference_steps=4,
        guidance_scale=recipe.guidance_scale,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).images
    assert np.abs(ours.permute(0, 2, 3, 1).numpy() - theirs).max() <= 1.01 / 255


def test_where_the_pseudo_word_goes(tiny: Model, clip: Clip) -> None:
    words = ("dog", "cat", "happy")
    assert place_of("a Dog", None, words) == Place("a ", "Dog", "", "cat")
    assert place_of("a happy dog, a dog", "dog", words).text == "a happy dog, a cat"
    assert place_of("a photo of a zebra horse at 3", "zebra horse", words).text == "a photo of a dog at 3"
    assert place_of("a photo of a pet.", None, words).text == "a photo of a dog."
    assert place_of("a painting of the ing", None, ["the", "ing", "in"]).saying("cat") == "a painting of the cat"
    for wrong, concept, reason in (
        ("a happy dog", "fish", "does not contain 'fish': choose of its words: a happy dog"),
        (" 3.", None, "has no word"),
        ("dog cat happy", "dog", "says every word"),
    ):
        with pytest.raises(AstrogateError, match=reason):
            place_of(wrong, concept, words)
    long = place_of("a " * 20 + "dog", None, words)
    with pytest.raises(AstrogateError, match="is cut off before 'dog': write a shorter prompt"):
        concept_points(tiny, long, pseudo_words(vocabulary(tiny, clip, words=["dog", "cat"]), torch.ones(2)), [0])


@pytest.mark.parametrize("widths", [(1,), (31,), (33,), (32, 32), ()])
def test_a_pseudo_word_of_another_model_is_refused(tiny: Model, widths: tuple[int, ...]) -> None:
    place = place_of("a happy dog", "dog", ("dog", "cat"))
    with pytest.raises(AstrogateError, match="use one of this model"):
        concept_points(tiny, place, [torch.ones(width) for width in widths], [0])


def test_a_concept_of_several_tokens_is_said_so(tiny: Model, clip: Clip) -> None:
    told: list[str] = []
    basis = explain(tiny, "a photo of a fat cat", "fat cat", plan=FEW, clip=clip, tell=told.append)
    assert any(line.startswith("'fat cat' is 2 tokens") for line in told)
    assert basis_place(basis).prompt == "a photo of a fat cat"
    assert not {"fat", "cat"} & set(basis.names)


def own_pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), np.uint8)).save(folder / f"{i}.png")
    return folder


def test_own_pictures(tiny: Model, clip: Clip, tmp_path: Path) -> None:
    mine = own_pictures(tmp_path / "mine", 8)
    (mine / "broken.png").write_bytes(b"no picture")
    with pytest.warns(AstrogateWarning, match="1 of .* are no whole pictures and left out: broken.png"):
        basis = explain(tiny, PROMPT, plan=FEW, clip=clip, pictures=mine)
    other = explain(tiny, PROMPT, plan=FEW, clip=clip, pictures=mine, validation=own_pictures(tmp_path / "val", 4))
    assert isinstance(basis, Basis)
    assert not torch.equal(basis.weights, other.weights)
    with pytest.raises(AstrogateError, match="holds 3 whole pictures: give 4 or more"):
        explain(tiny, PROMPT, plan=FEW, clip=clip, pictures=own_pictures(tmp_path / "few", 3))


def test_folders_of_pictures_are_filled_up_and_used_again(
    tiny: Model, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: Any = {"pictures": tmp_path / "train", "validation": tmp_path / "val"}
    first = explain(tiny, PROMPT, plan=FEW, clip=clip, **folders)
    assert len(list((tmp_path / "train").glob("*.png"))) == 6
    assert len(list((tmp_path / "val").glob("*.png"))) == 3
    marks = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    gone = tmp_path / "train" / "0002.png"
    gone.unlink()
    (tmp_path / "train" / "0004.png").write_bytes(b"cut off")
    assert torch.equal(explain(tiny, PROMPT, plan=FEW, clip=clip, **folders).weights, first.weights)
    drawn = {path.name for path, mark in marks.items() if path.stat().st_mtime_ns != mark}
    assert drawn == {"0002.png", "0004.png"}
    with pytest.raises(AstrogateError, match="pictures of another prompt, model, number or seed"):
        explain(tiny, PROMPT, plan=replace(FEW, seed=1), clip=clip, **folders)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "0.bmp").write_bytes(b"a picture")
    for odd, reason in ((tmp_path / "odd", "holds no picture of .png"), (tmp_path / "odd" / "0.bmp", "is no folder")):
        with pytest.raises(AstrogateError, match=reason):
            explain(tiny, PROMPT, plan=FEW, clip=clip, pictures=odd)
    with pytest.raises(AstrogateError, match="holds none of your pictures"):
        explain(tiny, PROMPT, plan=FEW, clip=clip, pictures=own_pictures(tmp_path / "m", 5), validation=tmp_path / "e")


def test_many_concepts_share_words_and_pictures(
    tiny: Model, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = concepts(tiny, {"dog": PROMPT, "happy": PROMPT}, clip=clip, plan=FEW, folder=tmp_path)
    assert list(found) == ["dog", "happy"]
    assert basis_place(found["happy"]).text.endswith("dog")
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    assert len(list(tmp_path.glob("vocabulary-*"))) == 1


def test_a_vocabulary_that_was_cut_off_goes_on_and_is_the_same(
    tiny: Model, clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, templates = (
        ["dog", "cat", "horse"],
        [f"{head} {{}}" for head in ("a", "of a", "painting of", "a photo", "3 d")],
    )
    whole = vocabulary(tiny, clip, words=words, templates=templates).features
    monkeypatch.setattr(words_of_clip, "_TEXTS", 6)  # two templates at once
    told: list[str] = []

    def cut(text: str) -> None:
        told.append(text)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vocabulary(tiny, clip, words=words, templates=templates, folder=tmp_path, tell=cut)
    (begun,) = tmp_path.iterdir()
    again = vocabulary(tiny, clip, words=words, templates=templates, folder=tmp_path, tell=told.append)
    assert [text.split(",")[0] for text in told] == [f"3 words in {n} of 5 templates" for n in (2, 4, 5)]
    assert torch.allclose(again.features, whole, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == [begun.name.replace("-begun", "")]
    begun.write_bytes(b"no tensors")  # a broken one is not gone on from
    vocabulary(tiny, clip, words=words, templates=templates[::-1], folder=tmp_path, tell=told.append)
    assert told[3].startswith("3 words in 2 of 5")


def test_what_cannot_be_explained_is_refused(tiny: Model, tiny_folders: Any, clip: Clip) -> None:
    other = load(str(tiny_folders("flux")), device="cpu")
    with pytest.raises(
        AstrogateError, match="can't learn a concept by its denoising loss: use a model of Stable Diffusion"
    ):
        explain(other, PROMPT, clip=clip)
    for wrong, reason in (
        ({"fit_steps": 0}, "fit_steps 0"),
        ({"rate": float("nan")}, "rate nan"),
        ({"start": "warm"}, "start 'warm' is unknown"),
        ({"judge": "me"}, "judge 'me' is unknown"),
        ({"pictures": 1}, "learn from 4 or more"),
    ):
        with pytest.raises(AstrogateError, match=reason):
            Plan(**wrong)
    words = vocabulary(tiny, clip)
    for stray, reason in ((replace(words, model="x"), "another model's"), (replace(words, clip="x"), "another CLIP's")):
        with pytest.raises(AstrogateError, match=reason):
            explain(tiny, PROMPT, clip=clip, words=stray)
    basis = explain(tiny, PROMPT, plan=FEW, clip=clip)
    with pytest.raises(AstrogateError, match="in another model"):
        basis_points(tiny, replace(basis, model="other"), [0])
    with pytest.raises(AstrogateError, match="not found in a prompt"):
        basis_points(tiny, replace(basis, origin={}), [0])


def test_a_plan_fits_the_vocabulary() -> None:
    assert Plan().for_words(49_000) == Plan()
    fitted = Plan().for_words(107)
    assert (fitted.dictionary, fitted.tokens) == (53, 26)
    assert Plan().for_words(40, whole=True).dictionary == 40


def test_a_run_is_named_by_all_that_its_words_say(tiny: Model, clip: Clip, tmp_path: Path) -> None:
    words = vocabulary(tiny, clip)
    longer = replace(words, lengths=tuple(2 * length for length in words.lengths))
    for known in (words, longer, replace(words, alike=(0.99, 0.99, 0.99))):
        explain(tiny, PROMPT, plan=replace(FEW, fit_steps=2), clip=clip, words=known, folder=tmp_path)
    assert len(list(tmp_path.glob("dog-*"))) == 3


def test_a_prompt_cut_off_before_its_concept_is_refused_before_it_is_drawn(
    tiny: Model, clip: Clip, tmp_path: Path
) -> None:
    long = "a photo of " * 6 + "a dog"
    with pytest.raises(AstrogateError, match=f"the prompt '{long}' is cut off before 'dog': write a shorter prompt"):
        explain(tiny, long, plan=FEW, clip=clip, folder=tmp_path)
    assert not list(tmp_path.rglob("*.png"))
    basis = explain(tiny, PROMPT, plan=replace(FEW, fit_steps=2), clip=clip)
    with pytest.raises(AstrogateError, match="is cut off before 'dog'"):
        basis_points(tiny, basis, [0], prompt=long)


def test_a_broken_result_is_made_again(tiny: Model, clip: Clip, tmp_path: Path) -> None:
    first = explain(tiny, PROMPT, plan=FEW, clip=clip, folder=tmp_path)
    (path,) = tmp_path.glob(f"dog-*/{RESULT}")
    path.write_bytes(path.read_bytes()[:100])
    assert torch.equal(explain(tiny, PROMPT, plan=FEW, clip=clip, folder=tmp_path).weights, first.weights)


def test_half_precision_learns(tiny_folder: Path, clip: Clip) -> None:
    """In float16 the loss is scaled, so that its gradient is not lost on the way."""
    model = load(str(tiny_folder), device="cpu", dtype="float16")
    basis = explain(model, PROMPT, plan=replace(FEW, start="text"), clip=clip)
    first, *_, last = basis.origin["history"]
    assert np.isfinite([first["score"], last["loss"]]).all()
    still_there = explain(model, PROMPT, plan=replace(FEW, fit_steps=1, rate=1e-20), clip=clip)
    assert not torch.equal(basis.weights, still_there.weights)


def test_callers_random_numbers_stay_as_they_were(tiny: Model, clip: Clip) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    explain(tiny, PROMPT, plan=FEW, clip=clip)
    assert torch.equal(torch.rand(3), expected)


def test_two_encoders_words_load_in_plain_diffusers(tiny_folders: Any, clip: Clip, tmp_path: Path) -> None:
    """As docs/conceptor.md has it: one call an encoder."""
    from diffusers import StableDiffusionXLPipeline

    folder = tiny_folders("stable_diffusion_xl")
    model = load(str(folder), device="cpu")
    basis = explain(model, PROMPT, plan=FEW, clip=clip, folder=tmp_path)
    ours = to_tensor(render(model, basis_points(model, basis, [5]), recipe=Recipe(4)))
    pipe: Any = StableDiffusionXLPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    found = load_file(next(tmp_path.glob("dog-*")) / "pseudo-word.safetensors")
    for key, tower in (("clip_l", ""), ("clip_g", "_2")):
        parts = {"text_encoder": getattr(pipe, f"text_encoder{tower}"), "tokenizer": getattr(pipe, f"tokenizer{tower}")}
        pipe.load_textual_inversion(found[key], token="<dog>", **parts)
    given = {"num_inference_steps": 4, "guidance_scale": Recipe().guidance_scale, "output_type": "np"}
    theirs = pipe("a photo of a happy <dog>", generator=torch.Generator().manual_seed(5), **given).images
    assert np.abs(ours.permute(0, 2, 3, 1).numpy() - theirs).max() <= 1.01 / 255
