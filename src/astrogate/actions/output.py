"""A plan's frames as a file: a sheet (.png), a video, or a folder of frames; each holds the record that made it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any
from warnings import warn

from astrogate.actions.kept import Kept
from astrogate.actions.request import Plan, Request, digest
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.files import exclusive

if TYPE_CHECKING:
    from astrogate.actions.again import Found
    from astrogate.core.recipe import Frame
    from astrogate.rendering.effects import Effect

#: How files of tensors end.
TENSORS = (".safetensors", "")
#: The most pictures on a sheet, and in a row of one without columns.
_MOST, _ACROSS = 10_000, 10
#: How files end among which frames do not belong: pictures that a program would take for frames, and checkpoints.
_OTHERS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".safetensors", ".json")
#: What keeps a second process out of a folder of frames.
_LOCK = ".frames.lock"
#: What passes frames on, and may count them.
Watch = Callable[[Iterable["Frame"], int], Iterable["Frame"]]


def perform(
    request: Request,
    output: Path,
    *,
    model: Any = None,
    watch: Watch | None = None,
    made: Found | None = None,
) -> Plan:
    """Draw a request into a file or a folder, whole or not at all, and return its plan.

    `model` None is the one that it asks for; `watch` sees frames as they are drawn; `made` is the file that is drawn
    again, whose command line stays where nothing else is asked for. Warns where the model is not the one that drew it.
    Raises AstrogateError for what can't be drawn or written, before anything is drawn where that can be known.
    """
    request.check()
    check_output(output)
    check_apart(output, request.files().values(), spared=None if made is None else made.path)
    found = {} if isinstance(request, Kept) else record(request)
    if made is not None and not made.changed and found:
        found["command"] = made.record.get("command", "")
    if isinstance(request, Kept) and output.suffix.lower() not in ("", ".png"):
        told = f"{output} will hold no points: it can't be drawn again, as {request.file} can"
        warn(told, AstrogateWarning, stacklevel=2)
    if output.suffix and output.suffix.lower() != ".png":
        from astrogate.rendering.video import check_video

        check_video(output)
    model = request.load() if model is None else model
    for difference in () if made is None else made.otherwise(model):
        warn(difference, AstrogateWarning, stacklevel=2)
    plan = request.plan(model) if made is None else made.part(request.plan(model))
    told = write(plan, output, {**found, **plan.facts}, watch or _unwatched)
    return replace(plan, line="; ".join([plan.line, *map(str, told)]))


def _unwatched(frames: Iterable[Frame], total: int) -> Iterable[Frame]:
    return frames


def write(plan: Plan, output: Path, more: dict[str, Any], watch: Watch) -> tuple[Effect, ...]:
    """Draw a plan's frames into a file or a folder, and return what their edits did; `more` joins the record."""
    from astrogate.rendering.effects import small
    from astrogate.rendering.record import save_png
    from astrogate.rendering.sheet import sheet
    from astrogate.rendering.strip import Strip
    from astrogate.rendering.video import video

    if output.suffix.lower() == ".png":
        if plan.whole is not None:
            (frame,) = watch(plan.whole(), 1)
            save_png(frame.image, output, frame=frame, more=more)
            return ()
        if plan.total > _MOST:
            raise AstrogateError(f"{plan.total} pictures on a sheet", f"ask for at most {_MOST}, or name a folder")
        frames = tuple(watch(_fitting(plan), plan.total))
        if plan.columns:
            told = plan.effects(frames)
            Strip(frames, plan.columns, plan.rows, more, plan.middle, told).save(output, tile=plan.tile)
            return told
        save_png(sheet(frames, columns=min(plan.total, _ACROSS)), output, frame=frames[0], more=more)
        return ()
    seen: list[Frame] = []

    def shown() -> Iterator[Frame]:
        for frame in watch(plan.frames(), plan.total):
            if plan.columns:  # a path has frames without end, and no edits
                seen.append(small(frame))
            yield frame

    if output.suffix:
        video(shown(), output, fps=plan.fps, more=more)
    else:
        output.mkdir(parents=True, exist_ok=True)
        with exclusive(output / _LOCK):
            _write_frames(output, shown(), plan.total, more)
    return plan.effects(seen) if seen else ()


def _write_frames(output: Path, frames: Iterator[Frame], total: int, more: dict[str, Any]) -> None:
    """Write frames into a folder whose pictures are these alone; they hold their points where no request makes them."""
    from astrogate.rendering.record import read_record, records, save_png

    own = {f"{i:05}.png" for i in range(total)}
    others = (path for path in output.iterdir() if path.suffix.lower() in _OTHERS and path.name not in own)
    if (other := next(others, None)) is not None:
        raise AstrogateError(f"{output} holds {other.name}, too", "empty it, or name another folder")
    points = b"" if "request" in more else None
    if "command" in more and (first := output / "00000.png").exists():  # as it was spelled when this was begun
        with suppress(AstrogateError):
            more = {**more, "command": read_record(first).get("command", "")}
    for i, frame in enumerate(frames):
        target, told = output / f"{i:05}.png", {**more, "frame": i}
        if target.exists() and not records(target, frame, told):
            raise AstrogateError(f"{target} is of something else", "empty the folder, or name another one")
        save_png(frame.image, target, frame=frame, more=told, points=points)


def _fitting(plan: Plan) -> Iterator[Frame]:
    """A plan's frames; once the first is there, it is known whether all of them fit on a sheet."""
    from astrogate.rendering.sheet import check_sheet

    across = len(plan.columns) or min(plan.total, _ACROSS)
    for i, frame in enumerate(plan.frames()):
        if not i:
            check_sheet(frame.image.size, across, -(-plan.total // across), plan.tile)
        yield frame


def record(request: Request) -> dict[str, Any]:
    """What makes a request's result again: the request, its files' digests, the versions, the command line."""
    from astrogate.rendering.record import versions

    return {
        "request": request.to_json(),
        "files": {name: digest(path) for name, path in request.files().items()},
        "versions": versions(),
        "command": shlex.join(["astrogate", *sys.argv[1:]]) if Path(sys.argv[0]).name == "astrogate" else "",
    }


def check_apart(output: Path, read: Iterable[Path], *, spared: Path | None = None) -> None:
    """Raise AstrogateError where an output is one of the files that are read for it, or the folder that one lies in.

    `spared` is a file that may be drawn again in its place.
    """
    folder = not output.suffix
    for path in read:
        if path != spared and any(_is_same(output, other) for other in (path, path.parent)[: 1 + folder]):
            raise AstrogateError(f"{output} would take in {path}, which is read", "name another output")


def _is_same(a: Path, b: Path) -> bool:
    """Whether two names lead to one file, or to one folder."""
    try:
        return a.samefile(b)
    except OSError:  # one of them is not there
        return False


def check_output(path: Path, *suffixes: str) -> None:
    """Raise AstrogateError, before any work, where a file cannot be written or ends in none of `suffixes`.

    Without `suffixes` it is of frames: a name without a suffix is a folder of them.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        first, *more = (f'"{suffix}"' if suffix else "nothing" for suffix in suffixes)
        raise AstrogateError(f"{path.name} is another kind of file", f"let it end in {' or '.join([first, *more])}")
    target = Path(os.path.realpath(path if path.suffix or suffixes else path / "00000.png"))
    folder = next(p for p in (target.parent, *target.parent.parents) if p.exists())
    try:
        if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
            raise PermissionError
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise AstrogateError(f"cannot write {path}", "name a writable file") from error
