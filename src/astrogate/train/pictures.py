"""A folder of pictures with captions as a data set.

Captions stand in `NAME.txt` beside each picture, one a line, or in one `metadata.jsonl` with "file_name" and "text", as
the `datasets` library has it. What has no caption or is no picture is left out, and told.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.rendering.picture import read_picture
from astrogate.train.data import Arrays, PictureData, build_data, chunk_of

_KINDS = {".png", ".jpg", ".jpeg", ".webp"}
_SHOWN = 5


def picture_data(
    folder: Path, source: Path, tokenizer: Any, *, size: int, captions: int = 4, workers: int = 1
) -> PictureData:
    """Build, or open, the data set `folder` of the pictures in `source`, cropped to squares of `size` pixels.

    Every picture keeps `captions` of its captions; fewer are repeated. Warns about pictures without a caption and about
    files that are no pictures, and names some. Raises AstrogateError where nothing is left.
    """
    found = captioned(source)
    paths = list(found)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        whole = list(pool.map(_Whole(), paths, chunksize=32))
    _tell([path for path, good in zip(paths, whole, strict=True) if not good], "is no whole picture")
    kept = [(path, found[path]) for path, good in zip(paths, whole, strict=True) if good]
    if size < 8:
        raise AstrogateError(f"pictures of {size} pixels", "choose 8 or more")
    if not kept:
        raise AstrogateError(f"{source} holds no picture with a caption", "put NAME.txt beside NAME.png")
    texts = [text[i % len(text)] for _, text in kept for i in range(captions)]
    length = tokenizer.model_max_length
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=length)["input_ids"]
    tokens = np.array(ids, np.int32).reshape(len(kept), captions, length)
    stamp = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path, _ in kept] + texts
    recipe: dict[str, object] = {
        "pictures": len(kept),
        "size": size,
        "captions": captions,
        "content": sha256("\n".join(stamp).encode()).hexdigest()[:16],
        "tokens": sha256(tokens.tobytes()).hexdigest()[:16],
    }
    make = _Chunk([path for path, _ in kept], tokens, size)
    return build_data(folder, len(kept), recipe, make, workers=workers, chunk=chunk_of(size))


def captioned(source: Path) -> dict[Path, list[str]]:
    """The pictures of a folder with their captions, by name; warns about those that have none."""
    if not source.is_dir():
        raise AstrogateError(f"there is no folder {source}", "name a folder of pictures and captions")
    listed = _listed(source / "metadata.jsonl")
    found: dict[Path, list[str]] = {}
    bare: list[Path] = []
    for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in _KINDS):
        beside = path.with_suffix(".txt")
        text = beside.read_text(errors="replace") if beside.exists() else listed.get(str(path.relative_to(source)), "")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if lines:
            found[path] = lines
        else:
            bare.append(path)
    _tell(bare, "has no caption")
    return found


def _listed(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return {str(row["file_name"]): str(row["text"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise AstrogateError(
            f"{path} can't be read ({error!r})", 'write {"file_name": ..., "text": ...} a line'
        ) from error


def _tell(paths: list[Path], what: str) -> None:
    if paths:
        names = ", ".join(path.name for path in paths[:_SHOWN]) + (" ..." if len(paths) > _SHOWN else "")
        warn(f"{len(paths)} left out, each {what}: {names}", AstrogateWarning, stacklevel=3)


class _Whole:
    """Whether a file is a picture that can be decoded to its end."""

    def __call__(self, path: Path) -> bool:
        try:
            read_picture(path)
        except AstrogateError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class _Chunk:
    paths: list[Path]
    tokens: NDArray[np.int32]
    size: int

    def __call__(self, items: range) -> Arrays:
        return {"images": np.stack([self._square(self.paths[i]) for i in items]), "tokens": self.tokens[items]}

    def _square(self, path: Path) -> NDArray[np.uint8]:
        """The middle of a picture, the right way up, [size, size, 3]."""
        return np.asarray(ImageOps.fit(read_picture(path), (self.size, self.size), Image.Resampling.LANCZOS))
