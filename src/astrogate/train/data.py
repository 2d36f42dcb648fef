"""Pictures with captions as memory-mapped arrays: what every training loop reads.

A data set is a folder of `.npy` files: `images` uint8 [n, h, w, 3] and `tokens` [n, captions, length]; Menagerie's own
adds `masks` uint8 [n, h, w / 8] (packed bits), `classes` int8, `values` float32 and `shown` bool, all [n, factors].
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class PictureData:
    """A folder of arrays, opened lazily; `folder/done.json` says that it is whole and from what it was made."""

    folder: Path
    arrays: Arrays

    def __len__(self) -> int:
        return len(self.arrays["images"])

    def images(self, index: NDArray[np.int64], device: str = "cpu") -> Tensor:
        """Pictures as float32 [b, 3, h, w] in [-1, 1], channels last in memory."""
        batch = torch.from_numpy(np.asarray(self.arrays["images"][index])).to(device)
        return batch.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def masks(self, index: NDArray[np.int64]) -> Tensor:
        """Subject masks as float32 [b, 1, h, w] in {0, 1}; all zero where the data set has none."""
        if "masks" not in self.arrays:
            return torch.zeros(len(index), 1, *self.arrays["images"].shape[1:3])
        packed = np.asarray(self.arrays["masks"][index])
        return torch.from_numpy(np.unpackbits(packed, axis=2)).float()[:, None]

    def tokens(self, index: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """One caption a picture, drawn from those there are: int64 [b, length]."""
        tokens = self.arrays["tokens"]
        picked = tokens[index, rng.integers(tokens.shape[1], size=len(index))]
        return torch.from_numpy(picked.astype(np.int64))


def open_data(folder: Path) -> PictureData:
    """Open a finished data set; raises FileNotFoundError if it is not whole."""
    if not (folder / "done.json").exists():
        raise FileNotFoundError(f"{folder} holds no finished data set: build it first")
    arrays = {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
    return PictureData(folder, arrays)


def build_data(
    folder: Path,
    count: int,
    recipe: dict[str, object],
    make: Callable[[int], Arrays],
    *,
    workers: int,
    chunk: int = 1000,
) -> PictureData:
    """Fill a data set by calling `make(start)` for every chunk, in processes; what is there for `recipe` is kept."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from tqdm import tqdm

    done = folder / "done.json"
    if done.exists() and json.loads(done.read_text()) == recipe:
        return open_data(folder)
    done.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.memmap[tuple[int, ...], np.dtype[np.generic]]] = {}
    starts = range(0, count, chunk)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for start, part in zip(starts, tqdm(pool.map(make, starts), total=len(starts), desc="data"), strict=True):
            for name, values in part.items():
                if name not in arrays:
                    shape = (count, *values.shape[1:])
                    arrays[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", values.dtype, shape)
                size = min(chunk, count - start)
                arrays[name][start : start + size] = values[:size]
    for array in arrays.values():
        array.flush()
    temporary = done.with_suffix(".tmp")
    temporary.write_text(json.dumps(recipe))
    os.replace(temporary, done)
    return open_data(folder)


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Indices of one batch after another, every item once an epoch, without end."""
    while True:
        order = rng.permutation(count)
        for start in range(0, count - size + 1, size):
            yield np.sort(order[start : start + size])
