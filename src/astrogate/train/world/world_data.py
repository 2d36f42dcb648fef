"""Menagerie's pictures and captions as a data set; combinations that are held out never enter it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from astrogate.core.keys import key_of
from astrogate.menagerie.captions import WORDS, caption
from astrogate.menagerie.drawing import draw_with_mask
from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS
from astrogate.menagerie.world import Scene, scene_at, visible
from astrogate.train.kit.data import Arrays, PictureData, build_data, chunk_of
from astrogate.train.world.tokenizer import build_tokenizer

MAX_LENGTH = 32
_VERSION = 4


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some items of the world, drawn and described."""

    items: range
    size: int
    seed: int
    captions: int

    def __call__(self) -> Arrays:
        tokenizer = build_tokenizer(WORDS, max_length=MAX_LENGTH)
        scenes = [scene_at(self.seed, i) for i in self.items]
        drawn = [draw_with_mask(scene, self.size) for scene in scenes]
        texts: list[str] = []
        for i, scene in zip(self.items, scenes, strict=True):
            rng = np.random.default_rng((self.seed, i, 1))
            texts += [caption(scene, rng).text for _ in range(self.captions)]
        ids = tokenizer(texts, padding="max_length", truncation=True, max_length=MAX_LENGTH)["input_ids"]
        return {
            "images": np.stack([picture for picture, _ in drawn]),
            "masks": np.packbits(np.stack([mask for _, mask in drawn]) > 0, axis=2),
            "tokens": np.array(ids, np.uint16).reshape(len(self.items), self.captions, MAX_LENGTH),
            **labels(scenes),
        }


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


def world_data(folder: Path, count: int, *, size: int, seed: int, captions: int, workers: int) -> PictureData:
    """`count` pictures of the world at `size` pixels, rendered in `workers` processes."""
    recipe: dict[str, object] = {
        "world": _VERSION,
        "count": count,
        "size": size,
        "seed": seed,
        "captions": captions,
        "words": key_of(list(WORDS)),
    }

    def work(items: range) -> _Chunk:
        return _Chunk(items, size, seed, captions)

    return build_data(folder, count, recipe, work, workers=workers, chunk=chunk_of(size))
