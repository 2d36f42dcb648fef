"""Videos and folders -> pictures, one at a time, as a person sees them.

PyAV reads MP4, QuickTime, WebM, Matroska and AVI; Pillow what else has pictures (GIF, WebP, PNG, JPEG). Which one is
told by a file's first bytes and not by its name, so that no playlist leads elsewhere. FFmpeg ends in silence where a
file was cut off: whether it holds all that its container promises is looked at first (RFC 8794, RFC 9559; ISO/IEC
14496-12). Damage inside is refused where the codec sees it; H.264 and VP9 have no checksums.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image, ImageSequence

from astrogate.core.errors import AstrogateError, reason
from astrogate.core.files import is_file, is_folder
from astrogate.core.packages import need
from astrogate.core.values import path_of
from astrogate.ops.pixels import rgb
from astrogate.rendering.pixels import MOST_PIXELS, opened, picture_files, read_picture

_REMEDY = "name a folder of pictures, or a video in MP4, WebM, MKV, AVI, GIF or WebP"
_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
#: What shows the picture at (a x + c y, b x + d y), by a, b, c and d.
_TURNS: dict[tuple[float, ...], Image.Transpose | None] = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
#: The transfers of high dynamic range, PQ and HLG (ITU-T H.273), which look washed out as they are.
_WIDE = (16, 18)
#: The most times that one picture of a file is taken to be shown.
_HELD = 1_000
#: The most boxes, chunks, elements and blocks of a file that are looked at: hours of video have fewer.
_PARTS = 2_000_000
_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"


def read_frames(path: Path) -> Iterator[Image.Image]:
    """The pictures of a video, or of a folder in the order of their names, one at a time.

    Raises AstrogateError for what holds no pictures, and for a video that was cut off.
    """
    path = path_of(path)
    if is_folder(path):
        files = picture_files(path)
        if not files:
            raise AstrogateError(f"there are no pictures in {path}", "name a folder of PNG files, or a video")
        yield from map(read_picture, files)
        return
    if not is_file(path):  # nor an address, which a library would open
        raise AstrogateError(f"there is no file {path}", _REMEDY)
    try:
        container = _container(path)
        yield from _shown(path) if container is None else _decoded(path, container)
    except AstrogateError:
        raise
    except Exception as error:  # FFmpeg has an error for everything
        raise AstrogateError(f"{path} could not be read ({reason(error)})", _REMEDY) from error


def _shown(path: Path) -> Iterator[Image.Image]:
    """The pictures of a file that Pillow reads, each as often as its time holds the shortest."""
    with opened(path, ("GIF", "WEBP", "PNG", "JPEG")) as image:
        times = [_time(frame) for frame in ImageSequence.Iterator(image)]
        shortest = min((time for time in times if time > 0), default=1.0)
        for frame, time in zip(ImageSequence.Iterator(image), times, strict=True):
            shown = rgb(frame, str(path))
            yield from repeat(shown, min(_HELD, max(1, round(time / shortest))))


def _time(frame: Image.Image) -> float:
    """How long a picture is shown, in milliseconds; 0 where nothing says it."""
    frame.load()  # which tells it of WebP
    return float(frame.info.get("duration") or 0)


def _decoded(path: Path, container: str) -> Iterator[Image.Image]:
    """The pictures of a file that FFmpeg reads, turned as it says they are to be shown."""
    need("av", "video")
    import av

    with av.open(f"file:{path}", format=container) as opened_file:
        if not opened_file.streams.video:
            raise AstrogateError(f"{path} holds no video", _REMEDY)
        shown = opened_file.streams.video[0]
        _check_size(path, shown.width, shown.height)
        shown.codec_context.options = {"err_detect": "explode"}  # which would be concealed
        for frame in opened_file.decode(shown):
            _check_size(path, frame.width, frame.height)
            if frame.is_corrupt:
                raise AstrogateError(f"{path} is damaged", "copy it again")
            if frame.color_trc in _WIDE:
                raise AstrogateError(f"{path} is a video of high dynamic range", "convert it to BT.709")
            clear = any(component.is_alpha for component in frame.format.components)
            image = rgb(Image.fromarray(frame.to_ndarray(format="rgba"))) if clear else frame.to_image()
            ratio = float(shown.sample_aspect_ratio or 1)
            if ratio != 1:
                _check_size(path, round(image.width * ratio), image.height)
                image = image.resize((max(1, round(image.width * ratio)), image.height), Image.Resampling.LANCZOS)
            yield _upright(path, image, frame.side_data.get("DISPLAYMATRIX"))


def _upright(path: Path, image: Image.Image, matrix: Any) -> Image.Image:
    """A picture as the display matrix of its video turns and mirrors it: nine numbers of 32 bits."""
    if matrix is None:
        return image
    a, b, _, c, d = (value / 65536 for value in struct.unpack("=5i", bytes(matrix)[:20]))
    if (a, b, c, d) not in _TURNS:
        raise AstrogateError(f"{path} is shown at an angle", "turn it by quarters")
    turn = _TURNS[a, b, c, d]
    return image if turn is None else image.transpose(turn)


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise AstrogateError(f"{path} is too large", f"use at most {MOST_PIXELS:,} pixels a frame")


def _container(path: Path) -> str | None:
    """How FFmpeg calls a container; None for what Pillow reads. Raises AstrogateError for a file without its end."""
    with path.open("rb") as file:
        head = file.read(12)
        size = file.seek(0, 2)
        found, end = _told(head)
        if end is not None and end(file, size) > size:
            raise AstrogateError(f"{path} was cut off", "copy it again")
    return found


def _told(head: bytes) -> tuple[str | None, Callable[[BinaryIO, int], int] | None]:
    """A container by its first twelve bytes, and what says where a file of it ends."""
    if head[4:8] in _BOXES:
        return "mov", _end_of_boxes
    if head.startswith(_EBML):
        return "matroska", _end_of_segment
    if head.startswith(b"RIFF"):
        return ("avi" if head[8:] == b"AVI " else None), _end_of_riff
    return None, _end_of_gif if head.startswith(b"GIF8") else None


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Where the last of the boxes ends: each opens with its length, in 32 or in 64 bits."""
    end = 0
    for _ in _parts():
        if end >= size:
            break
        file.seek(end)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:])
        if length < 8:  # 0: up to the end of the file
            break
        end += length
    return end


def _end_of_segment(file: BinaryIO, size: int) -> int:
    """Where the segment behind the header ends, or the last element in one of unknown length."""
    file.seek(len(_EBML))
    header, _ = _number(file)
    file.seek(header, 1)
    if file.read(len(_SEGMENT)) != _SEGMENT:
        return size
    length, known = _number(file)
    end = file.tell() + (length if known else 0)
    for _ in _parts():
        if known or end >= size:
            break
        file.seek(end)
        _number(file)  # the element's name
        length, whole = _number(file)
        end = file.tell() + (length if whole else 0)
    return end


def _number(file: BinaryIO) -> tuple[int, bool]:
    """A number of EBML: zeros before the first one bit count its bytes. Whether it is one: all ones is unknown."""
    first = file.read(1)
    more = 8 - (first or b"\0")[0].bit_length()
    bits = 7 * (more + 1)
    value = int.from_bytes(first + file.read(more)) & ((1 << bits) - 1)
    return value, value != (1 << bits) - 1


def _end_of_riff(file: BinaryIO, size: int) -> int:
    file.seek(4)
    return 8 + int.from_bytes(file.read(4), "little")


def _end_of_gif(file: BinaryIO, size: int) -> int:
    """`size` where one block after the other leads to the trailer; else more."""
    file.seek(10)
    _skip_colours(file, 2)
    for _ in (parts := _parts()):
        if (kind := file.read(1)) == b";":
            break
        if kind == b",":  # a picture: its place and size
            file.seek(8, 1)
            _skip_colours(file, 0)
        elif kind != b"!":
            return size + 1
        file.seek(1, 1)
        while length := int.from_bytes(file.read(1)):
            next(parts)
            file.seek(length, 1)
    return size


def _parts() -> Iterator[int]:
    """A number for each part of a file. Raises AstrogateError for one of more parts than are looked at."""
    yield from range(_PARTS)
    raise AstrogateError(f"a file of more than {_PARTS:,} parts", _REMEDY)


def _skip_colours(file: BinaryIO, between: int) -> None:
    """Go on behind flags, some bytes, and the table of colours that the flags tell of."""
    flags = int.from_bytes(file.read(1))
    file.seek(between + (3 << (flags % 8 + 1) if flags & 0x80 else 0), 1)
