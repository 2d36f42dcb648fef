"""Frames -> video: MP4 (H.264) and WebM (VP9) for players, GIF and WebP for pages.

Frames are encoded as they come: MP4 and WebM hold a codec's few frames of look-ahead, GIF one (so it gets a palette of
its own for every frame), while WebP's codec keeps all it has encoded to the end. The file appears whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_file
from astrogate.core.packages import need
from astrogate.core.recipe import Frame
from astrogate.core.values import path_of, real, whole
from astrogate.rendering.pixels import image_of
from astrogate.rendering.record import text_of, with_record
from astrogate.rendering.sheet import sheet

if TYPE_CHECKING:
    from av import VideoFrame


@dataclass(frozen=True, slots=True)
class _Format:
    """What one kind of file takes: container, codec, pixels, its longest side and most pictures per second, the options
    of container and codec, whether sides must be even.
    """

    container: str
    codec: str
    pixels: str
    side: int
    fps: int = 240
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    muxing: Mapping[str, str] = field(default_factory=dict[str, str])
    even: bool = False


#: No random marks and dates in a container, so that the same frames are the same file.
_EXACT = {"fflags": "+bitexact"}
FORMATS = {
    ".mp4": _Format(
        "mp4", "libx264", "yuv420p", 16_384, options={"crf": "16", "preset": "medium"}, muxing=_EXACT, even=True
    ),
    ".webm": _Format(
        "webm",
        "libvpx-vp9",
        "yuv420p",
        65_534,
        options={"crf": "20", "b": "0", "row-mt": "1"},
        muxing=_EXACT,
        even=True,
    ),
    # Browsers show shorter frames for a tenth of a second. Every frame is written whole: FFmpeg takes one entry of two
    # palettes for one colour, and leaves the old one there.
    ".gif": _Format("gif", "gif", "pal8", 65_535, fps=50, options={"gifflags": "0"}),
    ".webp": _Format("webp", "libwebp_anim", "bgra", 16_383, fps=90, options={"quality": "90"}, muxing={"loop": "0"}),
}


def check_video(path: Path) -> None:
    """Raise AstrogateError for a name that no video can have, or where what encodes it is missing."""
    if path.suffix.lower() not in FORMATS:
        raise AstrogateError(f"{path.name} is no video", f"name a file in {', '.join(FORMATS)}")
    need("av", "video")


def video(
    frames: Iterable[Frame],
    path: Path | str,
    *,
    fps: float = 24.0,
    tile: int = 256,
    more: Mapping[str, Any] | None = None,
) -> int:
    """Write frames as one video with the first one's record, and return how many there were.

    `path` ends in one of `FORMATS`; pictures smaller than `tile` pixels are enlarged by a whole factor. `more` joins
    the record. Raises AstrogateError when there is no frame, and for frames of different sizes.
    """
    path = path_of(path)
    check_video(path)
    kind, drawn = FORMATS[path.suffix.lower()], iter([frames] if isinstance(frames, Frame) else frames)
    tile = whole(tile, "a tile of {} pixels", 1, 16_384)
    fps = real(fps, "{} frames per second", 0.1, kind.fps, f"use 0.1 to {kind.fps} in {path.suffix.lower()}")
    first = next(drawn, None)
    if not isinstance(first, Frame | None):
        raise AstrogateError(f"a {type(first).__name__} is no frame", "give what `render` draws")
    if first is None:
        raise AstrogateError("there are no frames to encode", "render at least one point")
    text = text_of(first, more)
    images = _sized(map(image_of, chain([first], drawn)), tile, kind)
    with whole_file(path) as file:
        count = _written(lambda: _encode(images, file, kind, Fraction(fps).limit_denominator(1000), text))
        with_record(file, path.suffix.lower(), text)
        return count


def side_by_side(streams: Sequence[Iterable[Frame]], labels: Sequence[str] = (), *, tile: int = 256) -> Iterator[Frame]:
    """Streams as one, each frame a labelled row of theirs; the record is the first stream's.

    Raises AstrogateError where one stream ends before the others.
    """
    for row in zip_longest(*streams):
        if None in row:
            raise AstrogateError("one stream has fewer frames than another", "give streams of equally many frames")
        yield replace(row[0], image=sheet(row, labels=labels, tile=tile))


def _sized(images: Iterable[Image.Image], tile: int, kind: _Format) -> Iterator[Image.Image]:
    """Pictures of one size, enlarged so that small ones stay crisp; odd sides lose a row where a codec wants it."""
    size: tuple[int, int] | None = None
    for image in images:
        if size is not None and image.size != size:
            raise AstrogateError(f"frames of {size} and {image.size} pixels", "render a video's frames in one size")
        size = image.size
        zoom = max(1, -(-tile // image.width))
        if max(image.size) * zoom > kind.side or (kind.even and min(image.size) * zoom < 2):
            wide, high = image.width * zoom, image.height * zoom
            raise AstrogateError(f"{wide} x {high} pixels", f"use sides of 2 to {kind.side:,} in {kind.container}")
        large = image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)
        yield large.crop((0, 0, large.width - large.width % 2, large.height - large.height % 2)) if kind.even else large


def _encode(images: Iterator[Image.Image], file: Any, kind: _Format, fps: Fraction, comment: str) -> int:
    import av

    first, count = next(images), 0
    with av.open(file, "w", format=kind.container, options=dict(kind.muxing)) as out:
        out.metadata["comment"] = comment
        stream: Any = out.add_stream(kind.codec, fps, options=dict(kind.options))
        stream.thread_count = 1  # with more, x264 gives other bytes now and then
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, kind.pixels
        if kind.pixels == "yuv420p":
            _tag(stream.codec_context)
        graph = _palette(first, fps) if kind.pixels == "pal8" else None
        for image in chain([first], images):
            frame: VideoFrame = av.VideoFrame.from_image(image)
            if kind.pixels == "yuv420p":
                frame = frame.reformat(format=kind.pixels, dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = count, 1 / fps
            count += 1
            if graph is not None:
                graph.push(frame)
                frame = graph.pull()
                frame.pts, frame.time_base = count - 1, 1 / fps
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return count


def _written(encode: Callable[[], int]) -> int:
    """What `encode` returns; an error of the file that FFmpeg wraps in one of its own is raised as it is."""
    try:
        return encode()
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and (type(cause).__module__.startswith("av.") or not isinstance(cause, OSError)):
            cause = cause.__cause__ or cause.__context__
        if cause is None or cause is error:
            raise
        raise cause from None


def _tag(codec: Any) -> None:
    """Say that the colours are those of BT.709 in the range of broadcasts: players guess where nothing is said."""
    from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

    codec.colorspace, codec.color_range = Colorspace.ITU709, ColorRange.MPEG
    codec.color_primaries, codec.color_trc = ColorPrimaries.BT709, ColorTrc.BT709


def _palette(image: Image.Image, fps: Fraction) -> Any:
    """A filter graph that gives every frame 256 colours of its own."""
    import av
    from av.filter import Graph

    graph: Any = Graph()
    source = graph.add_buffer(
        width=image.width, height=image.height, format=av.VideoFormat("rgb24"), time_base=1 / fps, name="in"
    )
    split, make, use = (
        graph.add("split"),
        graph.add("palettegen", "stats_mode=single"),
        graph.add("paletteuse", "new=1"),
    )
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(make, 1, 0)
    make.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    return graph
