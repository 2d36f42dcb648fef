"""Priors learn what a caption says about an embedding, on a planted set: each caption has its own embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from astrogate.ops.quantise import fit_codebook
from astrogate.train.ar_prior import dot_level, prefix, train_ar_prior
from astrogate.train.data import PictureData
from astrogate.train.embeddings import cache_embeddings, dropped, encode_texts
from astrogate.train.loop import Schedule
from astrogate.train.prior import prior_scheduler, train_prior
from tests.checkpoints import LENGTH, clip_tokenizer

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


def curve(folder: Path, name: str) -> list[float]:
    return [float(row.split(",")[2]) for row in (folder / f"{name}-loss.csv").read_text().splitlines()[1:]]


def test_embeddings_are_cached_by_the_clip_that_made_them(clip: Any, planted: Any) -> None:
    data, _ = planted
    first = cache_embeddings(clip, data, key="a", device="cpu")
    assert first.shape == (256, WIDTH)
    assert np.linalg.norm(first.astype(np.float32), axis=1) == pytest.approx(np.ones(256), abs=2e-3)
    assert np.array_equal(cache_embeddings(None, data, key="a", device="cpu"), first)


def test_texts_and_no_texts(clip: Any, empty: torch.Tensor) -> None:
    ids = tokens(["a dog", "a fat dog"])
    text = encode_texts(clip, ids)
    assert text.mask.sum(1).tolist() == [4, 5]
    assert torch.allclose(text.embeds.norm(dim=1), torch.ones(2))
    assert torch.equal(dropped(ids, empty, 0.0), ids)
    assert torch.equal(dropped(ids, empty, 1.0), empty.expand(2, -1))


def test_the_diffusion_prior_finds_the_embedding_of_a_caption(
    clip: Any, planted: Any, empty: torch.Tensor, tmp_path: Path
) -> None:
    from diffusers import PriorTransformer

    data, z = planted
    torch.manual_seed(0)
    prior = PriorTransformer(2, 16, 2, embedding_dim=WIDTH, num_embeddings=LENGTH, additional_embeddings=4)
    given = {"empty": empty, "folder": tmp_path, "seed": 0, "device": "cpu"}
    prior = train_prior(prior, clip, data, z, QUICK, **given)
    text = encode_texts(clip, tokens(list(CAPTIONS)))
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
    given = {"empty": empty, "folder": tmp_path, "seed": 0, "device": "cpu"}
    model = train_ar_prior(model, clip, book, edges, data, z, QUICK, **given)
    assert curve(tmp_path, "ar_prior")[-1] < 0.6 * np.log(8)
    text = encode_texts(clip, tokens(list(CAPTIONS)))
    dot = dot_level(torch.zeros(4), edges, 8)
    assert dot.tolist() == [9] * 4
    with torch.no_grad():
        logits = model(inputs_embeds=prefix(model, text, dot)).logits[:, -1, :8]
    ids = data.arrays["tokens"][:, 0]
    symbols = book.encode(torch.from_numpy(z.astype(np.float32)))[:, 0]
    usual = [int(symbols[(ids == t).all(1)].mode().values) for t in tokens(list(CAPTIONS)).numpy()]
    assert sum(abs(a - b) <= 1 for a, b in zip(logits.argmax(1).tolist(), usual, strict=True)) >= 3
