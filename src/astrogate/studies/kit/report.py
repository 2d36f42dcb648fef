"""Pages from the templates of this floor: HTML with every value escaped, Markdown as it is."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from astrogate.core.packages import need
from astrogate.rendering.video import video

if TYPE_CHECKING:
    from PIL import Image

    from astrogate.core.protocols import Readings
    from astrogate.core.recipe import Frame


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a report: a picture (a file's name or a data URI), a video and pictures to slide through (labels and
    data URIs), a table of rows under a head, a command."""

    title: str
    source: str = ""
    text: str = ""
    head: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default=())
    command: str = ""
    video: str = ""
    slider: Sequence[tuple[str, str]] = ()


def report(title: str, intro: Sequence[str], sections: Sequence[Section]) -> str:
    """An HTML page of sections."""
    return page("report.html", title=title, intro=intro, sections=sections)


def inline(image: Image.Image) -> str:
    """A picture as a data URI, so that a page is one file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _uri("image/png", buffer.getvalue())


def inline_video(frames: Iterable[Frame], *, fps: float = 24.0, tile: int = 256) -> str:
    """Frames as an MP4 in a data URI."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        video(frames, path, fps=fps, tile=tile)
        return _uri("video/mp4", path.read_bytes())


def pyplot() -> Any:
    """matplotlib's pyplot, which needs no screen. Raises AstrogateError where matplotlib is not installed."""
    need("matplotlib", "report")
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["text.parse_math"] = False  # words are no formulae
    from matplotlib import pyplot as plt

    return plt


def svg(figure: Any) -> str:
    """A matplotlib figure as SVG, the same text every time; the figure is closed."""
    plt = pyplot()
    buffer = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "astrogate"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    plt.close(figure)
    return buffer.getvalue()


def inline_svg(figure: Any) -> str:
    """A matplotlib figure as a data URI; the figure is closed."""
    return _uri("image/svg+xml", svg(figure).encode())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def page(template: str, **values: Any) -> str:
    """Fill a template of `studies/templates`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    loader = PackageLoader("astrogate.studies.kit", "templates")
    environment = Environment(
        loader=loader,
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def reading_rows(readings: Readings, factor: str, poles: Sequence[str]) -> list[list[str]]:
    """Rows of a reader's readings: the factor itself, then what should have stayed."""
    if factor in readings.values:
        own = [[factor, *(f"{v:+.2f}" for v in readings.values[factor])]]
    else:
        names = list(readings.classes[factor])
        own = [
            [f"P({p})", *(f"{v:.2f}" for v in readings.probabilities[factor][:, names.index(p)])]
            for p in poles
            if p in names
        ]
    others = [name for name in ("subject", "medium", "scene") if name != factor]
    return own + [[name, *readings.labels(name)] for name in others]
