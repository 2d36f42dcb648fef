"""Menagerie's pictures and captions as a data set; combinations that are held out never enter it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrogate.core.keys import key_of
from astrogate.menagerie.captions import PATTERN_WORDS, caption
from astrogate.menagerie.drawing import draw_with_mask
from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS, PATTERNS
from astrogate.menagerie.facts import FACTS
from astrogate.menagerie.world import Scene, scene_at, visible
from astrogate.models.loading.checks import digest
from astrogate.train.kit.data import Arrays, PictureData, build_data, chunk_of
from astrogate.train.kit.denoising import cache_moments, load_vae
from astrogate.train.kit.pairs import Pairs

MAX_LENGTH = 32
#: How often a student's captions name the factors that it is slowest to learn.
NAMED = {"pattern": 0.6, "hat": 0.6, "style": 0.8}
_VERSION = 5


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some items of the world, drawn and described."""

    items: range
    size: int
    seed: int
    captions: int
    tokenizer: Any

    def __call__(self) -> Arrays:
        scenes = [scene_at(self.seed, i) for i in self.items]
        texts = [captions_of(i, self.seed, self.captions) for i in self.items]
        return {**_drawn(scenes, self.size), "tokens": _tokens(texts, self.tokenizer), **labels(scenes)}


@dataclass(frozen=True, slots=True)
class _Twins(_Chunk):
    """Some items of the world in groups that differ in their pattern alone, drawn and described."""

    def __call__(self) -> Arrays:
        found = [twin_at(self.seed, i, self.captions) for i in self.items]
        texts = [texts for _, texts in found]
        return {**_drawn([scene for scene, _ in found], self.size), "tokens": _tokens(texts, self.tokenizer)}


def _drawn(scenes: list[Scene], size: int) -> Arrays:
    drawn = [draw_with_mask(scene, size) for scene in scenes]
    return {
        "images": np.stack([picture for picture, _ in drawn]),
        "masks": np.packbits(np.stack([mask for _, mask in drawn]) > 0, axis=2),
    }


def _tokens(texts: list[list[str]], tokenizer: Any) -> NDArray[np.uint16]:
    """The tokens [items, captions, length] of items' captions."""
    flat = [text for of_one in texts for text in of_one]
    ids = tokenizer(flat, padding="max_length", truncation=True, max_length=MAX_LENGTH)["input_ids"]
    return np.array(ids, np.uint16).reshape(len(texts), -1, MAX_LENGTH)


def captions_of(item: int, seed: int, captions: int, named: dict[str, float] | None = None) -> list[str]:
    """An item's captions; `named` gives factors a probability of their own to be in them."""
    scene, rng = scene_at(seed, item), np.random.default_rng((seed, item, 1))
    return [caption(scene, rng, named=named).text for _ in range(captions)]


def twin_at(seed: int, item: int, captions: int) -> tuple[Scene, list[str]]:
    """An item of `twin_data` and its captions: those of its group are alike, but for the pattern's word."""
    group, which = divmod(item, len(PATTERNS))
    scene, rng = scene_at(seed, group), np.random.default_rng((seed, group, 2))
    if scene.concept and "pattern" in FACTS[scene.concept].fixed:
        scene = replace(scene, concept=None)
    plain = replace(scene, pattern="plain")
    texts = [caption(plain, rng, named={"pattern": 0.9}).text for _ in range(captions)]
    words, own = PATTERN_WORDS[PATTERNS[which]], np.random.default_rng((seed, item, 3))
    texts = [re.sub(r"\bplain\b", words[int(own.integers(len(words)))], text) for text in texts]
    return replace(plain, pattern=PATTERNS[which]), texts


def labels(scenes: list[Scene]) -> Arrays:
    """What is true of scenes: class indices [n, categorical], values [n, continuous], shown [n, factors]."""
    names = [*CATEGORICAL, *CONTINUOUS]
    return {
        "classes": np.array(
            [[values.index(getattr(s, name)) for name, values in CATEGORICAL.items()] for s in scenes], np.int8
        ),
        "values": np.array([[getattr(s, name) for name in CONTINUOUS] for s in scenes], np.float32),
        "shown": np.array([[name in shown for name in names] for shown in map(visible, scenes)]),
    }


def world_data(
    folder: Path, count: int, *, size: int, seed: int, captions: int, tokenizer: Any, workers: int
) -> PictureData:
    """`count` pictures of the world at `size` pixels, rendered in `workers` processes, and captions in tokens."""
    return _data(_Chunk, folder, count, size, seed, captions, tokenizer, workers)


def twin_data(
    folder: Path, groups: int, *, size: int, seed: int, captions: int, tokenizer: Any, workers: int
) -> PictureData:
    """Pictures in groups, one of each pattern in the order of `PATTERNS`, which are alike in all else.

    The pattern is named in 90 % of the captions.
    """
    return _data(_Twins, folder, groups * len(PATTERNS), size, seed, captions, tokenizer, workers)


def _data(
    kind: type[_Chunk],
    folder: Path,
    count: int,
    size: int,
    seed: int,
    captions: int,
    tokenizer: Any,
    workers: int,
) -> PictureData:
    recipe: dict[str, object] = {
        "world": _VERSION,
        "count": count,
        "size": size,
        "seed": seed,
        "captions": captions,
        "words": key_of(tokenizer.get_vocab()),
    }

    def work(items: range) -> _Chunk:
        return kind(items, size, seed, captions, tokenizer)

    return build_data(folder, count, recipe, work, workers=workers, chunk=chunk_of(size))


def world_pairs(
    folder: Path, vae: Path, count: int, *, size: int, seed: int, captions: int, tokenizer: Any, workers: int
) -> Pairs:
    """Pictures of the world as latents of the autoencoder in the folder `vae`, with their captions as strings."""
    data = world_data(folder, count, size=size, seed=seed, captions=captions, tokenizer=tokenizer, workers=workers)
    moments = cache_moments(load_vae(vae, "cpu"), data, key=digest(vae)[:8], device="cpu")
    return student_pairs(moments, seed, captions)


def student_pairs(moments: NDArray[np.float16], seed: int, captions: int) -> Pairs:
    """Latents of the world's pictures, with the captions that a student learns from."""
    return Pairs(moments, [captions_of(i, seed, captions, NAMED) for i in range(len(moments))])
