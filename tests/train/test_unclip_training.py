"""Priors and decoders on a planted set: each caption has its own embedding, and each embedding its own latents."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from astrogate.measure.clip import Clip
from astrogate.models.unclip.conditions import LEVELS, ImageConditions
from astrogate.models.unclip.priors import dot_level, prefix
from astrogate.ops.quantise import fit_codebook
from astrogate.train.kit.data import PictureData
from astrogate.train.kit.loop import Schedule
from astrogate.train.parts.ar_prior import train_ar_prior
from astrogate.train.parts.decoder import train_decoder
from astrogate.train.parts.embeddings import Embedded, cache_embeddings, encode_texts
from astrogate.train.parts.prior import prior_scheduler, train_prior
from astrogate.train.world.presets import build_scheduler
from tests.checkpoints import clip_model
from tests.checkpoints.parts import LENGTH, clip_tokenizer, unet

WIDTH, CAPTIONS = 16, ("a fat dog", "a thin cat", "a happy man", "a sad woman")
QUICK = Schedule(steps=150, batch=32, lr=3e-3, warmup=10, ema=0.9)


@pytest.fixture(scope="module")
def clip() -> Any:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    shared = {"hidden_size": WIDTH, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {**shared, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    vision = {**shared, "image_size": 16, "patch_size": 4}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)).eval()


@pytest.fixture(scope="module")
def empty() -> torch.Tensor:
    return tokens([""])[0]


def tokens(texts: list[str]) -> torch.Tensor:
    return clip_tokenizer()(
        texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt"
    ).input_ids


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[PictureData, NDArray[np.float16]]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(len(CAPTIONS), WIDTH))
    which = rng.integers(len(CAPTIONS), size=256)
    z = centres[which] + 0.1 * rng.normal(size=(256, WIDTH))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    ids = tokens(list(CAPTIONS)).numpy()[which][:, None]
    images = rng.integers(0, 255, (256, 16, 16, 3), np.uint8)
    return PictureData(tmp_path_factory.mktemp("data"), {"images": images, "tokens": ids}), z.astype(np.float16)


def source(data: PictureData, z: NDArray[np.float16], clip: Any, empty: torch.Tensor, folder: Path) -> Embedded:
    end = clip_tokenizer().eos_token_id
    none = encode_texts(clip, empty[None], end)
    return Embedded(data, clip, torch.from_numpy(z.astype(np.float32)), none, end, folder, 0, "cpu")


def curve(folder: Path, name: str) -> list[float]:
    return [float(row.split(",")[2]) for row in (folder / f"{name}-loss.csv").read_text().splitlines()[1:]]


def test_embeddings_are_cached_by_the_clip_that_made_them(planted: Any, tmp_path: Path) -> None:
    data, _ = planted
    clip_model(tmp_path)
    made = Clip(tmp_path)
    first = cache_embeddings(made, data, key="a")
    assert np.linalg.norm(first.astype(np.float32), axis=1) == pytest.approx(np.ones(256), abs=2e-3)
    expected = made.images((data.images(np.arange(5)) + 1) / 2).numpy()
    assert np.allclose(first[:5], expected, atol=1e-3)
    assert np.array_equal(cache_embeddings(None, data, key="a"), first)


def test_texts_and_no_texts(clip: Any, planted: Any, empty: torch.Tensor, tmp_path: Path) -> None:
    ids, end = tokens(["a dog", "a fat dog"]), clip_tokenizer().eos_token_id
    text = encode_texts(clip, ids, end)
    assert text.mask.sum(1).tolist() == [4, 5]
    assert torch.allclose(text.embeds.norm(dim=1), torch.ones(2))
    on = source(*planted, clip, empty, tmp_path)
    same, gone = on.dropped(text, 0.0), on.dropped(text, 1.0)
    assert torch.equal(same.states, text.states)
    assert torch.equal(same.mask, text.mask)
    assert torch.equal(gone.states, on.none.states.expand_as(text.states))
    assert torch.equal(gone.embeds, on.none.embeds.expand_as(text.embeds))
    assert gone.mask.sum(1).tolist() == [2, 2]


def test_the_end_of_a_text_is_the_tokenizers(clip: Any) -> None:
    """OpenAI's configurations name token 2 as the end; captions would be hidden whole."""
    from copy import deepcopy

    odd = deepcopy(clip)
    odd.config.text_config.eos_token_id = 2
    assert encode_texts(odd, tokens(["a fat dog"]), clip_tokenizer().eos_token_id).mask.sum() == 5


def test_the_diffusion_prior_finds_the_embedding_of_a_caption(
    clip: Any, planted: Any, empty: torch.Tensor, tmp_path: Path
) -> None:
    from diffusers import PriorTransformer

    data, z = planted
    torch.manual_seed(0)
    prior = PriorTransformer(2, 16, 2, embedding_dim=WIDTH, num_embeddings=LENGTH, additional_embeddings=4)
    on = source(data, z, clip, empty, tmp_path)
    prior = train_prior(prior, on, QUICK)
    text = encode_texts(clip, tokens(list(CAPTIONS)), clip_tokenizer().eos_token_id)
    scheduler = prior_scheduler()
    with torch.no_grad():
        found = (
            prior(torch.randn(4, WIDTH), 999, text.embeds, text.states, text.mask).predicted_image_embedding
            * prior.clip_std
            + prior.clip_mean
        )
    ids = data.arrays["tokens"][:, 0]
    truth = torch.stack(
        [torch.from_numpy(z[(ids == t).all(1)].astype(np.float32)).mean(0) for t in tokens(list(CAPTIONS)).numpy()]
    )
    cosines = torch.nn.functional.cosine_similarity(found[:, None], truth, dim=-1)
    assert cosines.argmax(1).tolist() == [0, 1, 2, 3]
    assert float(cosines.diagonal().min()) > 0.9
    assert scheduler.config.prediction_type == "sample"


def test_the_ar_prior_predicts_the_symbols_of_a_caption(
    clip: Any, planted: Any, empty: torch.Tensor, tmp_path: Path
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    data, z = planted
    book = fit_codebook(torch.from_numpy(z.astype(np.float32)), rank=3, buckets=8)
    edges = torch.linspace(-0.5, 0.5, 3)
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8 + 4, n_embd=WIDTH, n_layer=2, n_head=2, n_positions=64))
    on = source(data, z, clip, empty, tmp_path)
    model = train_ar_prior(model, book, edges, on, QUICK)
    assert curve(tmp_path, "ar_prior")[-1] < 0.6 * np.log(8)
    text = encode_texts(clip, tokens(list(CAPTIONS)), clip_tokenizer().eos_token_id)
    dot = dot_level(torch.zeros(4), edges, 8)
    assert dot.tolist() == [9] * 4
    with torch.no_grad():
        logits = model(inputs_embeds=prefix(model, text, dot)).logits[:, -1, :8]
    ids = data.arrays["tokens"][:, 0]
    symbols = book.encode(torch.from_numpy(z.astype(np.float32)))[:, 0]
    usual = [int(symbols[(ids == t).all(1)].mode().values) for t in tokens(list(CAPTIONS)).numpy()]
    assert sum(abs(a - b) <= 1 for a, b in zip(logits.argmax(1).tolist(), usual, strict=True)) >= 3


@pytest.fixture
def conditions() -> ImageConditions:
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import StableUnCLIPImageNormalizer

    torch.manual_seed(0)
    projection = UnCLIPTextProjModel(clip_embeddings_dim=WIDTH, time_embed_dim=WIDTH, cross_attention_dim=WIDTH)
    return ImageConditions(projection.eval(), StableUnCLIPImageNormalizer(WIDTH))


def test_noise_levels_run_from_the_embedding_to_noise(conditions: ImageConditions) -> None:
    z, noise = torch.randn(3, WIDTH), torch.randn(3, WIDTH)
    assert torch.equal(conditions.noised(z, torch.zeros(3, dtype=torch.long), noise), z)
    most = conditions.noised(z, torch.full((3,), LEVELS), noise)
    assert torch.nn.functional.cosine_similarity(most, noise).min() > 0.99
    mixed = conditions.noised(z, torch.tensor([0, 300, 0]), noise)
    assert torch.equal(mixed[[0, 2]], z[[0, 2]])
    assert not torch.allclose(mixed[1], z[1], atol=0.1)


def test_conditions_are_four_tokens_before_the_text_and_labels_that_know_the_level(conditions: ImageConditions) -> None:
    z, states = torch.randn(2, WIDTH), torch.randn(2, LENGTH, WIDTH)
    context, labels = conditions(z, torch.tensor([0, 5]), torch.randn(2, WIDTH), states)
    assert context.shape == (2, 4 + LENGTH, WIDTH)
    assert labels.shape == (2, 2 * WIDTH)
    other, _ = conditions(conditions.missing(2), torch.tensor([0, 5]), torch.randn(2, WIDTH), states)
    assert torch.equal(context[:, 4:], other[:, 4:])
    assert not torch.allclose(context[:, :4], other[:, :4])


def test_the_decoder_draws_what_the_embedding_says(
    clip: Any, planted: Any, empty: torch.Tensor, conditions: ImageConditions, tmp_path: Path
) -> None:
    data, z = planted
    kinds = np.unique(data.arrays["tokens"][:, 0], axis=0, return_inverse=True)[1].ravel()
    colours = np.random.default_rng(1).normal(size=(4, 4, 1, 1)).astype(np.float16)
    pictures = np.broadcast_to(colours, (4, 4, 8, 8))
    moments = np.stack([pictures[kinds], np.full_like(pictures[kinds], 0.01)], 1)
    torch.manual_seed(0)
    net = unet(WIDTH, class_embed_type="projection", projection_class_embeddings_input_dim=2 * WIDTH)
    scheduler = build_scheduler()
    on = source(data, z, clip, empty, tmp_path)
    net, conditions = train_decoder(net, conditions, scheduler, moments, on, replace(QUICK, steps=320))
    assert torch.allclose(conditions.normalizer.mean, torch.from_numpy(z.astype(np.float32)).mean(0), atol=1e-4)
    own = torch.stack([torch.from_numpy(z[kinds == k].astype(np.float32)).mean(0) for k in range(4)])
    text, t = encode_texts(clip, empty.expand(4, -1), clip_tokenizer().eos_token_id), torch.full((4,), 700)
    x, noise = torch.from_numpy(pictures.astype(np.float32)), torch.randn(4, 4, 8, 8)
    noisy = scheduler.add_noise(x, noise, t)

    def error(embeddings: torch.Tensor) -> float:
        context, labels = conditions(embeddings, torch.zeros(4, dtype=torch.long), text.embeds, text.states)
        return float((net(noisy, t, context, class_labels=labels).sample - noise).square().mean())

    with torch.no_grad():
        assert error(own) < 0.85 * error(own.roll(1, 0))
        assert error(own) < error(conditions.missing(4))
