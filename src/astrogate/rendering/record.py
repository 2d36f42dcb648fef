"""Files that say how they were made: the record of a frame, and of what it was asked for, as JSON.

A PNG has it as the text `astrogate`, and beside it what A1111's web UI reads, `parameters`; one that was drawn from
Python has the points themselves, too (`rendering.kept`), as a chunk `asTg`; a video as its comment, a
GIF as a comment behind its frames, a WebP as a chunk `ASTG`. A folder of frames has that of its first.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from astrogate.core.errors import AstrogateError, reason
from astrogate.core.files import is_folder, is_there, whole_file
from astrogate.core.packages import need
from astrogate.core.recipe import Frame
from astrogate.core.values import path_of, plain
from astrogate.ops.pixels import rgb
from astrogate.rendering.kept import packed
from astrogate.rendering.pixels import MOST_PIXELS, MOST_SHEET, UNREADABLE, opened

_KEY, _CHUNK, _GIF_MARK = "astrogate", b"ASTG", b"\x09astrogate"
#: The most bytes of a record, and the most chunks that are looked at for one.
_LONGEST, _CHUNKS = 64 * 2**20, 1_000_000
#: PNG's own rule of names: not needed to see the picture, private, and safe to copy with it.
_POINTS = b"asTg"
#: The packages whose versions decide about a picture.
_PACKAGES = ("astrogate", "torch", "diffusers", "transformers")


def record(frame: Frame) -> dict[str, Any]:
    """Where a frame's point came from, its edits, and the recipe."""
    point, hold = frame.point, frame.point.holding
    return {
        "point": {**point.origin, "seed": point.seed, "draw": point.draw, "fingerprint": point.model},
        "edits": [{"name": edit.name, "scale": scale, **edit.origin} for edit, scale in point.edits],
        "hold": [hold.share, hold.attend],
        "recipe": frame.recipe.to_json(),
        "recipe_hash": frame.recipe.hash,
        **({"weights": frame.weights, "dtype": frame.dtype} if frame.weights else {}),
    }


def parameters(frame: Frame) -> str:
    """The settings in the form that A1111's web UI reads: a prompt a line, a line of settings, what could be read as
    more of them in quotes.
    """
    origin, recipe = frame.point.origin, frame.recipe
    prompt = " ".join(str(origin.get("prompt", "")).split())
    lines = [re.sub(r"^Negative prompt:", "Negative prompt :", prompt)]  # which the web UI would take for the other
    if origin.get("negative"):
        lines.append(f"Negative prompt: {' '.join(str(origin['negative']).split())}")
    settings = {
        "Steps": recipe.num_inference_steps,
        "Sampler": recipe.scheduler or "default",
        "CFG scale": f"{recipe.guidance_scale:g}",
        "Seed": frame.point.seed,
        "Size": f"{frame.image.width}x{frame.image.height}",
        "Model": origin.get("model", ""),
    }
    lines.append(", ".join(f"{name}: {_quoted(str(value))}" for name, value in settings.items()))
    return "\n".join(lines)


def _quoted(value: str) -> str:
    """A setting as the web UI quotes it: as JSON, where a mark would end it."""
    return json.dumps(value, ensure_ascii=False) if set(value) & set(',:"\n\r') else value


def records(path: Path, frame: Frame, more: Mapping[str, Any]) -> bool:
    """Whether a PNG file is one that `save_png` wrote with this record, which may say no versions."""
    try:
        with opened(path, ("PNG",)) as image:
            found = json.loads(image.info[_KEY])
        own = {"versions": found["versions"]} if "versions" in found else {}
        return found == {**own, **json.loads(text_of(frame, more))}
    except (AstrogateError, RecursionError, *UNREADABLE):
        return False


def text_of(frame: Frame, more: Mapping[str, Any] | None = None) -> str:
    """The record as a file has it; `more` joins that of the frame."""
    try:
        return json.dumps({**record(frame), **(more or {})}, default=plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise AstrogateError(f"the record can't be written ({reason(error)})", "give text and numbers") from error


def save_png(
    image: Image.Image,
    path: Path | str,
    *,
    frame: Frame,
    more: Mapping[str, Any] | None = None,
    points: bytes | None = None,
) -> None:
    """Write a picture or a sheet, whole or not at all; `frame` stands for its settings, `more` joins the record.

    `points` are what makes all of its frames again, where no request says it (`rendering.kept`); None is those of a
    picture that is the frame's own.
    """
    if points is None:
        points = packed([frame]) if image is frame.image and "request" not in (more or {}) else b""
    if points:
        more = {"versions": versions(), **(more or {})}
    info = PngInfo()
    info.add_text("parameters", parameters(frame).encode(errors="backslashreplace").decode())
    info.add_text(_KEY, text_of(frame, more))
    if points:
        info.add(_POINTS, points)
    path = path_of(path)
    check_png(path)
    image = image if getattr(image, "mode", "") in ("RGB", "L", "RGBA", "P") else rgb(image)
    with whole_file(path) as file:
        image.save(file, "PNG", pnginfo=info)


def check_png(path: Path) -> None:
    """Raise AstrogateError for a name that a PNG file does not have."""
    if path.suffix.lower() != ".png":
        raise AstrogateError(f"{path.name} is no name of a PNG file", "let it end in .png")


def versions() -> dict[str, str]:
    """Which versions of what decides about a picture are installed, and how many threads work."""
    import torch

    return {**{name: version(name) for name in _PACKAGES}, "threads": str(torch.get_num_threads())}


def read_points(path: Path) -> bytes:
    """The points that a PNG file holds; none for another file, and for one without."""
    try:
        with _own(path) as image:
            chunks: list[tuple[bytes, bytes]] = getattr(image, "private_chunks", [])
    except (AstrogateError, *UNREADABLE):
        return b""
    return next((chunk[1] for chunk in chunks if chunk[0] == _POINTS), b"")


@contextmanager
def _own(path: Path) -> Generator[Image.Image]:
    """A PNG file with all its text, which in ours stands before the pixels; other programs move it behind them."""
    with opened(path, ("PNG",), most=MOST_SHEET) as image:
        if image.width * image.height <= MOST_PIXELS:
            image.load()
        yield image


def read_record(path: Path) -> dict[str, Any]:
    """The record of a picture, a video or a folder of frames.

    Raises AstrogateError for a file that is missing, can't be read, or has none.
    """
    path = path_of(path)
    source = path / "00000.png" if is_folder(path) else path
    if not is_there(source):
        raise AstrogateError(f"{source} does not exist", "name a file or a folder of frames that Astrogate drew")
    if not source.is_file():
        raise AstrogateError(f"{source} is no ordinary file", "name a picture or a video")
    try:
        text = _text_in(source)
    except UNREADABLE as error:
        told = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise AstrogateError(f"{path} can't be read ({told})", "name a picture or a video") from error
    if text is None:
        raise AstrogateError(f"{path} has no record", "name a file that Astrogate drew, as it was written")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise AstrogateError(f"the record of {path} is damaged", "name the file as it was written") from error
    if not isinstance(found, dict):
        raise AstrogateError(f"the record of {path} is damaged", "name the file as it was written")
    return found  # pyright: ignore[reportUnknownVariableType]


def _text_in(path: Path) -> str | None:
    """The text of the record in a file, by what its first bytes say it is; None where there is none."""
    with path.open("rb") as file:
        head = file.read(12)
        if head.startswith(b"\x89PNG"):
            with _own(path) as image:
                return image.info.get(_KEY)
        if head.startswith(b"GIF8"):
            return _behind_gif(file)
        if head.startswith(b"RIFF") and head[8:] == b"WEBP":
            return _in_riff(file)
    if head[4:8] != b"ftyp" and not head.startswith(b"\x1aE\xdf\xa3"):
        raise ValueError("it is no PNG, MP4, WebM, GIF or WebP")
    return _comment_in(path)


def _comment_in(path: Path) -> str | None:
    """The comment of an MP4 or WebM file; None where there is none. Raises AstrogateError where PyAV is missing."""
    need("av", "video")
    import av

    try:
        with av.open(f"file:{path}") as container:
            return {key.lower(): value for key, value in container.metadata.items()}.get("comment")
    except Exception as error:  # FFmpeg has an error for everything
        raise ValueError(str(error)) from error


def with_record(file: BinaryIO, suffix: str, text: str) -> None:
    """Put a record behind the frames of a finished GIF or WebP, open for reading and writing."""
    data = text.encode()
    if suffix == ".gif":
        file.seek(-1, 2)  # over the trailer
        blocks = b"".join(bytes([len(data[i : i + 255])]) + data[i : i + 255] for i in range(0, len(data), 255))
        file.write(b"!\xfe" + _GIF_MARK + blocks + b"\0;")
    elif suffix == ".webp":
        file.seek(0, 2)
        file.write(_CHUNK + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2))
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))


def _behind_gif(file: BinaryIO) -> str | None:
    size = file.seek(0, 2)
    file.seek(max(0, size - _LONGEST))
    data = file.read()
    start = data.rfind(b"!\xfe" + _GIF_MARK)
    if start < 0:
        return None
    at, text = start + 2 + len(_GIF_MARK), list[bytes]()
    while data[at]:
        text.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(text).decode()


def _in_riff(file: BinaryIO) -> str | None:
    file.seek(12)
    for _ in range(_CHUNKS):
        if len(head := file.read(8)) < 8:
            break
        size = struct.unpack("<I", head[4:])[0]
        if head[:4] == _CHUNK:
            return file.read(min(size, _LONGEST)).decode()
        file.seek(size + size % 2, 1)
    return None
