"""A folder of pictures with captions as a data set.

Captions stand in `NAME.txt` beside each picture, one per line, or in one `metadata.jsonl` with "file_name" and "text",
as the `datasets` library has it; several of one picture are all its own. What has no caption, is no picture or is too
small is left out, and listed in a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from unicodedata import normalize
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.files import write_text
from astrogate.core.keys import key_of
from astrogate.core.texts import check_text, lines, lines_of, read_text
from astrogate.rendering.pixels import picture_files, read_picture
from astrogate.train.kit.data import Arrays, PictureData, build_data, chunk_of, finished
from astrogate.train.kit.processes import in_processes

_SHOWN = 5


def picture_data(
    folder: Path, source: Path, tokenizer: Any = None, *, size: int, captions: int = 4, workers: int = 1
) -> PictureData:
    """Build, or open, the data set `folder` of the pictures in `source`, cropped to squares of `size` pixels.

    Every picture keeps `captions` of its captions; fewer are repeated. Without a `tokenizer` captions are not needed.
    What is left out is told, and listed in the data set's `left-out.txt`. Raises AstrogateError where nothing is left.
    """
    if size < 8:
        raise AstrogateError(f"pictures of {size} pixels", "choose 8 or more")
    found = captioned(source) if tokenizer is not None else {path: ["-"] for path in pictures_of(source)}
    absent = [path for path in found if not path.is_file()]
    found = {path: texts for path, texts in found.items() if path not in absent}
    stamp = [[str(path), path.stat().st_size, path.stat().st_mtime_ns, texts] for path, texts in found.items()]
    recipe: dict[str, object] = {
        "size": size,
        "captions": captions if tokenizer is not None else 0,
        "content": key_of(stamp),
        "tokenizer": "" if tokenizer is None else key_of(tokenizer.get_vocab()),
    }
    left = folder / "left-out.txt"
    if (kept := finished(folder, recipe)) is not None:
        _tell(lines_of(left) if left.exists() else [], left)
        return kept
    faults = list(in_processes(_Fault(size), found, workers))
    told = [f"{path.relative_to(source)}: {fault}" for path, fault in zip(found, faults, strict=True) if fault]
    told += [f"{path.relative_to(source)}: no file" for path in absent]
    told += [f"{path.relative_to(source)}: no caption" for path in pictures_of(source) if path not in {*found, *absent}]
    paths = [path for path, fault in zip(found, faults, strict=True) if not fault]
    _tell(told, left if paths else None)
    if not paths:
        what = "with a caption " if tokenizer is not None else ""
        raise AstrogateError(
            f"{source} holds no picture {what}of {size} pixels or more",
            "put NAME.txt beside NAME.png, or lower the size",
        )
    tokens = None
    if tokenizer is not None:
        texts = [found[path][i % len(found[path])] for path in paths for i in range(captions)]
        length = tokenizer.model_max_length
        ids = tokenizer(texts, padding="max_length", truncation=True, max_length=length)["input_ids"]
        tokens = np.array(ids, np.int32).reshape(len(paths), captions, length)

    def work(items: range) -> _Chunk:
        part = slice(items.start, items.stop)
        return _Chunk(paths[part], None if tokens is None else tokens[part], size)

    notes = {left.name: "\n".join(told) + "\n"} if told else {}
    return build_data(folder, len(paths), recipe, work, workers=workers, chunk=chunk_of(size), notes=notes)


def pictures_of(source: Path) -> list[Path]:
    """The picture files of a folder and those below it, by name. Raises AstrogateError where there is no folder."""
    if not source.is_dir():
        raise AstrogateError(f"there is no folder {source}", "name a folder of pictures and captions")
    return picture_files(source, deep=True)


def captioned(source: Path) -> dict[Path, list[str]]:
    """The pictures of a folder that have captions, with these."""
    paths, listed = pictures_of(source), _listed(source / "metadata.jsonl")
    found: dict[Path, list[str]] = {}
    for path in paths:
        beside = path.with_suffix(".txt")
        texts = [read_text(beside)] if beside.exists() else listed.get(_named(str(path.relative_to(source))), [])
        if told := [line for text in texts for line in lines(text)]:
            found[path] = told
    return found


def readable(found: Mapping[Path, list[str]], listed: Path) -> dict[Path, list[str]]:
    """The captioned pictures that can be read to their end; the others are told, and listed in a file."""
    faults = {path: _Fault(1)(path) for path in found}
    told = [f"{path}: {fault}" for path, fault in faults.items() if fault]
    if told:
        write_text(listed, "\n".join(told) + "\n")
    _tell(told, listed)
    return {path: texts for path, texts in found.items() if not faults[path]}


def _listed(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    if not path.exists():
        return found
    try:
        for row in map(json.loads, lines_of(path)):
            if _is_text(row["text"]):
                found.setdefault(_named(str(row["file_name"])), []).append(row["text"])
        return found
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise AstrogateError(
            f"{path} can't be read ({error!r})", 'write {"file_name": ..., "text": ...} a line'
        ) from error


def _named(name: str) -> str:
    """The name of a file as any system writes it: `./a`, `.\\a` and other forms of one letter are the same."""
    return normalize("NFC", PurePosixPath(name.replace("\\", "/")).as_posix())


def _is_text(value: object) -> bool:
    try:
        check_text(value)
        return True
    except AstrogateError:
        return False


def _tell(told: list[str], listed: Path | None) -> None:
    if told:
        rest = f" ... all are listed in {listed}" if listed else " ..."
        shown = ", ".join(told[:_SHOWN]) + (rest if len(told) > _SHOWN else "")
        warn(f"{len(told)} left out: {shown}", AstrogateWarning, stacklevel=3)


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with a file: nothing (""), it can't be decoded to its end, or it is smaller than `size`."""

    size: int

    def __call__(self, path: Path) -> str:
        try:
            picture = read_picture(path)
        except AstrogateError:
            return "no whole picture"
        small = min(picture.size) < self.size
        return f"{picture.width} x {picture.height}, smaller than {self.size}" if small else ""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The pictures of some files, with their captions' tokens."""

    paths: list[Path]
    tokens: NDArray[np.int32] | None
    size: int

    def __call__(self) -> Arrays:
        images = {"images": np.stack([self._square(path) for path in self.paths])}
        return images if self.tokens is None else {**images, "tokens": self.tokens}

    def _square(self, path: Path) -> NDArray[np.uint8]:
        """The middle of a picture, the right way up, [size, size, 3]."""
        return np.asarray(ImageOps.fit(read_picture(path), (self.size, self.size), Image.Resampling.LANCZOS))
