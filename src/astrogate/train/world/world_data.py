"""Menagerie's pictures and captions as a data set; combinations that are held out never enter it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrogate.core.keys import key_of
from astrogate.menagerie.captions import caption
from astrogate.menagerie.drawing import draw_with_mask
from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS
from astrogate.menagerie.world import Scene, scene_at, visible
from astrogate.models.loading.checks import digest
from astrogate.train.kit.data import Arrays, PictureData, build_data, chunk_of, keep_rows
from astrogate.train.kit.denoising import cache_moments, load_vae
from astrogate.train.kit.pairs import Pairs

MAX_LENGTH = 32
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
        drawn = [draw_with_mask(scene, self.size) for scene in scenes]
        return {
            "images": np.stack([picture for picture, _ in drawn]),
            "masks": np.packbits(np.stack([mask for _, mask in drawn]) > 0, axis=2),
            "tokens": _tokens(self.items, self.seed, self.captions, self.tokenizer),
            **labels(scenes),
        }


def _tokens(
    items: range, seed: int, captions: int, tokenizer: Any, named: Mapping[str, float] | None = None
) -> NDArray[np.uint16]:
    """The tokens [items, captions, length] of items' captions."""
    texts = [text for i in items for text in captions_of(i, seed, captions, named)]
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=MAX_LENGTH)["input_ids"]
    return np.array(ids, np.uint16).reshape(len(items), captions, MAX_LENGTH)


def captions_of(item: int, seed: int, captions: int, named: Mapping[str, float] | None = None) -> list[str]:
    """An item's captions."""
    scene, rng = scene_at(seed, item), np.random.default_rng((seed, item, 1))
    return [caption(scene, rng, named=named).text for _ in range(captions)]


def named_more(
    data: PictureData, named: Mapping[str, float], *, seed: int, captions: int, tokenizer: Any
) -> PictureData:
    """The pictures of `world_data`, with captions that name factors with the given probabilities."""
    mark = key_of([dict(named), seed, captions, tokenizer.get_vocab()])[:8]
    chunks = [range(start, min(start + 1000, len(data))) for start in range(0, len(data), 1000)]
    parts = (_tokens(items, seed, captions, tokenizer, named) for items in chunks)
    tokens = keep_rows(data.folder / f"tokens-{mark}.npy", len(data), parts)
    return replace(data, arrays={**data.arrays, "tokens": tokens})


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
    recipe: dict[str, object] = {
        "world": _VERSION,
        "count": count,
        "size": size,
        "seed": seed,
        "captions": captions,
        "words": key_of(tokenizer.get_vocab()),
    }

    def work(items: range) -> _Chunk:
        return _Chunk(items, size, seed, captions, tokenizer)

    return build_data(folder, count, recipe, work, workers=workers, chunk=chunk_of(size))


def world_pairs(
    folder: Path, vae: Path, count: int, *, size: int, seed: int, captions: int, tokenizer: Any, workers: int
) -> Pairs:
    """Pictures of the world as latents of the autoencoder in the folder `vae`, with their captions as strings."""
    data = world_data(folder, count, size=size, seed=seed, captions=captions, tokenizer=tokenizer, workers=workers)
    moments = cache_moments(load_vae(vae, "cpu"), data, key=digest(vae)[:8], device="cpu")
    return Pairs(moments, [captions_of(i, seed, captions) for i in range(count)])
