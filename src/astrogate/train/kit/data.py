"""Pictures with captions as memory-mapped arrays: what every training loop reads.

A data set is a folder of `.npy` files: `images` uint8 [n, h, w, 3] and `tokens` [n, captions, length]; Menagerie's own
adds `masks` uint8 [n, h, w / 8] (packed bits), `classes` int8, `values` float32 and `shown` bool, all [n, factors].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_file, whole_folder, write_text
from astrogate.core.keys import running
from astrogate.core.progress import unseen
from astrogate.models.loading.trust import read_settings
from astrogate.ops.pixels import to_pictures
from astrogate.train.kit.processes import in_processes

Arrays = dict[str, NDArray[Any]]
#: The file that says from what a data set was made; it is written last.
_DONE = "done.json"


@dataclass(frozen=True, slots=True)
class PictureData:
    """A folder of arrays, opened lazily; `folder/done.json` says that it is whole and from what it was made."""

    folder: Path
    arrays: Arrays

    def __len__(self) -> int:
        return len(self.arrays["images"])

    @property
    def recipe(self) -> Any:
        """From what it was made."""
        return read_settings(self.folder / _DONE)

    def images(self, index: NDArray[np.int64], device: str = "cpu") -> Tensor:
        """Pictures as float32 [b, 3, h, w] in [-1, 1], channels last in memory."""
        return to_pictures(self.arrays["images"][index], device).mul_(2).sub_(1)

    def crop(self, item: int, top: int, left: int, side: int) -> Tensor:
        """A square of one picture as float32 [3, side, side] in [-1, 1]; the rest of it is not read."""
        return to_pictures(self.arrays["images"][item, top : top + side, left : left + side]).mul_(2).sub_(1)

    def masks(self, index: NDArray[np.int64]) -> Tensor:
        """Subject masks as float32 [b, 1, h, w] in {0, 1}; all zero where the data set has none."""
        if "masks" not in self.arrays:
            return torch.zeros(len(index), 1, *self.arrays["images"].shape[1:3])
        packed = np.asarray(self.arrays["masks"][index])
        return torch.from_numpy(np.unpackbits(packed, axis=2)).float()[:, None]

    def tokens(self, index: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """One caption per picture, drawn at random: int64 [b, length]."""
        tokens = self.arrays["tokens"]
        picked = tokens[index, rng.integers(tokens.shape[1], size=len(index))]
        return torch.from_numpy(picked.astype(np.int64))


def open_data(folder: Path) -> PictureData:
    """Open a finished data set. Raises AstrogateError for one that is not whole."""
    if not (folder / _DONE).exists():
        raise AstrogateError(f"{folder} holds no finished data set", "build it first")
    try:
        arrays = {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
    except (OSError, ValueError, EOFError) as error:
        raise AstrogateError(f"the data set in {folder} is damaged ({error})", "delete it") from error
    return PictureData(folder, arrays)


def finished(folder: Path, recipe: Mapping[str, object]) -> PictureData | None:
    """The data set that was made by `recipe`; None where there is none, a broken one, or another."""
    try:
        found = open_data(folder)
        return found if found.recipe == recipe else None
    except AstrogateError:
        return None


def build_data(
    folder: Path,
    count: int,
    recipe: dict[str, object],
    work: Callable[[range], Callable[[], Arrays]],
    *,
    workers: int,
    chunk: int = 1000,
    notes: Mapping[str, str] | None = None,
) -> PictureData:
    """Fill a data set chunk by chunk, in processes; what is there for `recipe` is kept.

    `work(items)` makes a chunk's arrays when it is called. It is pickled: it should hold what its items need, no more.
    `notes` are text files, by name, that are kept in the data set.
    """
    from tqdm import tqdm

    if (kept := finished(folder, recipe)) is not None:
        return kept
    chunks = [range(start, min(start + chunk, count)) for start in range(0, count, chunk)]
    with whole_folder(folder, _DONE) as fresh:
        arrays: dict[str, np.memmap[tuple[int, ...], np.dtype[np.generic]]] = {}
        parts = in_processes(_called, map(work, chunks), workers)
        for items, part in zip(chunks, tqdm(parts, total=len(chunks), desc="data", disable=unseen()), strict=True):
            for name, values in part.items():
                if name not in arrays:
                    shape = (count, *values.shape[1:])
                    arrays[name] = np.lib.format.open_memmap(fresh / f"{name}.npy", "w+", values.dtype, shape)
                arrays[name][items.start : items.stop] = values
        for array in arrays.values():
            array.flush()
        for name, text in {**(notes or {}), _DONE: json.dumps(recipe)}.items():
            write_text(fresh / name, text)
    return open_data(folder)


def _called(work: Callable[[], Arrays]) -> Arrays:
    return work()


def keep_rows(path: Path, count: int, parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
    """Write parts of an array of `count` rows one after the other into one `.npy` file, whole or not at all; open it.

    Nothing is made where the file is there, and is what was written: behind the array stands SHA-256 of all before.
    """
    with suppress(OSError, ValueError, EOFError):
        if path.is_file() and _is_sealed(path) and len(kept := np.load(path, mmap_mode="r")) == count:
            return kept
    with whole_file(path) as file:
        seal = running()
        for i, part in enumerate(parts):
            data = b"" if i else _header_of(part, count)
            data += part.tobytes()
            seal.update(data)
            file.write(data)
        file.write(seal.digest())
    return np.load(path, mmap_mode="r")


def _header_of(part: NDArray[Any], count: int) -> bytes:
    header = {"descr": part.dtype.str, "fortran_order": False, "shape": (count, *part.shape[1:])}
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def _is_sealed(path: Path) -> bool:
    """Whether a file ends in SHA-256 of all before."""
    seal, left = running(), path.stat().st_size - running().digest_size
    with path.open("rb") as file:
        while left > 0 and (data := file.read(min(left, 2**24))):
            seal.update(data)
            left -= len(data)
        return file.read() == seal.digest()


def chunk_of(size: int) -> int:
    """How many pictures of `size` pixels a process makes at once: some 60 MB of them, 1,000 at most."""
    return max(4, min(1000, 60_000_000 // (3 * size * size)))


@dataclass(frozen=True, slots=True)
class Batches:
    """Which items a step shows: each once per epoch, in an order that depends on seed and epoch alone."""

    count: int
    size: int
    seed: int

    def __post_init__(self) -> None:
        if self.count < self.size:
            raise AstrogateError(
                f"{self.count} items do not fill a batch of {self.size}", "train on more, or with a smaller batch"
            )

    def at(self, step: int) -> NDArray[np.int64]:
        """Sorted indices [size] of a step."""
        epoch, place = divmod(step, self.count // self.size)
        return np.sort(_order(self.count, self.seed, epoch)[place * self.size : (place + 1) * self.size])


@lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return np.random.default_rng((seed, epoch)).permutation(count)
