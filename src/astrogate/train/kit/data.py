"""Pictures with captions as memory-mapped arrays: what every training loop reads.

A data set is a folder of `.npy` files: `images` uint8 [n, h, w, 3] and `tokens` [n, captions, length]; Menagerie's own
adds `masks` uint8 [n, h, w / 8] (packed bits), `classes` int8, `values` float32 and `shown` bool, all [n, factors].
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astrogate.core.errors import AstrogateError

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

    def crop(self, item: int, top: int, left: int, side: int) -> Tensor:
        """A square of one picture as float32 [3, side, side] in [-1, 1]; the rest of it is not read."""
        square = np.array(self.arrays["images"][item, top : top + side, left : left + side])
        return torch.from_numpy(square).permute(2, 0, 1).float().div_(127.5).sub_(1)

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


def finished(folder: Path, recipe: Mapping[str, object]) -> PictureData | None:
    """The data set that was made by `recipe`; None where there is none, or another."""
    done = folder / "done.json"
    return open_data(folder) if done.exists() and json.loads(done.read_text()) == recipe else None


def build_data(
    folder: Path,
    count: int,
    recipe: dict[str, object],
    make: Callable[[range], Arrays],
    *,
    workers: int,
    chunk: int = 1000,
) -> PictureData:
    """Fill a data set by calling `make(items)` for every chunk, in processes; what is there for `recipe` is kept.

    `make` travels to each process once.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from tqdm import tqdm

    if (kept := finished(folder, recipe)) is not None:
        return kept
    done = folder / "done.json"
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (done, *folder.glob("*.npy")):
        stale.unlink(missing_ok=True)
    arrays: dict[str, np.memmap[tuple[int, ...], np.dtype[np.generic]]] = {}
    chunks = [range(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_take, initargs=(make,)) as pool:
        for items, part in zip(chunks, tqdm(pool.map(_made, chunks), total=len(chunks), desc="data"), strict=True):
            for name, values in part.items():
                if name not in arrays:
                    shape = (count, *values.shape[1:])
                    arrays[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", values.dtype, shape)
                arrays[name][items.start : items.stop] = values
    for array in arrays.values():
        array.flush()
    temporary = done.with_suffix(".tmp")
    temporary.write_text(json.dumps(recipe))
    os.replace(temporary, done)
    return open_data(folder)


def _take(make: Callable[[range], Arrays]) -> None:
    """In a process of the pool: what to call for each chunk."""
    global _make
    _make = make


def _made(items: range) -> Arrays:
    assert _make is not None
    return _make(items)


_make: Callable[[range], Arrays] | None = None


def chunk_of(size: int) -> int:
    """How many pictures of `size` pixels a process makes at once: some 60 MB of them, 1,000 at most."""
    return max(4, min(1000, 60_000_000 // (3 * size * size)))


@dataclass(frozen=True, slots=True)
class Batches:
    """Which items a step shows: every one once an epoch, in an order that depends on seed and epoch alone."""

    count: int
    size: int
    seed: int

    def __post_init__(self) -> None:
        if self.count < self.size:
            raise AstrogateError(
                f"{self.count} items do not fill a batch of {self.size}", "train on more, or with a smaller --batch"
            )

    def at(self, step: int) -> NDArray[np.int64]:
        """Sorted indices [size] of a step."""
        epoch, place = divmod(step, self.count // self.size)
        return np.sort(_order(self.count, self.seed, epoch)[place * self.size : (place + 1) * self.size])


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)
