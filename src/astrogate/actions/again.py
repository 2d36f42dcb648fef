"""Again: draw what a file holds, by its record; `found` says what it was asked for, and what has changed since.

On the same machine, with the same versions and files, the result is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from warnings import warn

from astrogate.actions.kept import Kept
from astrogate.actions.request import Plan, Request, digest
from astrogate.actions.table import request_of
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.protocols import UNKNOWN
from astrogate.core.values import path_of
from astrogate.rendering.record import read_record, versions

if TYPE_CHECKING:
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame

#: The options that choose a model.
_CHOOSING = ("model", "prior_model", "student", "config", "variant")


@dataclass(frozen=True, slots=True)
class Found:
    """A record's request, and the one that it was changed to; what it was made with that is otherwise now; the whole
    record, and its file.
    """

    first: Request
    request: Request
    differs: tuple[str, ...]
    record: Mapping[str, Any]
    path: Path

    @property
    def changed(self) -> bool:
        """Whether something else is asked for than before."""
        return self.request != self.first

    @property
    def frame(self) -> int | None:
        """Which frame of a folder the file is; None for a file of its own."""
        at = self.record.get("frame")
        return at if isinstance(at, int) and not self.path.is_dir() else None

    def otherwise(self, model: Model) -> tuple[str, ...]:
        """What a model has otherwise than the one that drew the file; nothing where another one is asked for."""
        weights, dtype = self.record.get("weights"), self.record.get("dtype")
        if weights in (None, model.weights) or self._asks_for(*_CHOOSING):
            return ()
        if str(weights).startswith(UNKNOWN):
            return ("code of others worked in the model (a hook, a processor, a method), which no file holds",)
        told: list[str] = []
        if dtype != model.dtype and not self._asks_for("dtype"):
            told.append(f"it was drawn in {dtype}, and the model is in {model.dtype}")
        if _object(self.record.get("point")).get("fingerprint") != model.fingerprint:
            told.append("the model's weights are not those that drew it")
        elif dtype == model.dtype:
            told.append("the model's decoder, adapters, scheduler, hooks or settings are not those that drew it")
        return tuple(told)

    def part(self, plan: Plan) -> Plan:
        """The part of a plan that the file holds: all, or of a folder of frames the one that it is.

        Raises AstrogateError where there is no such frame any more.
        """
        at = self.frame
        if at is None or isinstance(self.request, Kept):
            return plan
        if not 0 <= at < plan.total:
            raise AstrogateError(f"{self.path} is frame {at} of {plan.total}", "name the folder that it lies in")

        def one() -> Iterator[Frame]:
            return islice(plan.frames(), at, at + 1)

        facts = {**plan.facts, "frame": at}
        return Plan(one, 1, facts=facts, line=f"frame {at}", whole=one, fps=plan.fps)

    def _asks_for(self, *names: str) -> bool:
        """Whether one of some options was changed."""
        return any(getattr(self.first, name, None) != getattr(self.request, name, None) for name in names)


def found(path: Path | str, /, **changes: Any) -> Found:
    """What the record of a picture, a video or a folder of frames asks for, with some options changed.

    Raises AstrogateError for a file without a record, for one that no longer fits, for files that it still needs and
    that are not there, and for one that runs another package's code, unless that is named again.
    """
    path = path_of(path)
    told = read_record(path)
    asked, files, made = (_object(told.get(key)) for key in ("request", "files", "versions"))
    first = request_of(asked, str(path)) if asked else _kept(path, told)
    request = first.changed(**changes) if changes else first
    if (code := getattr(first, "method", ())) and "method" not in changes:
        names = ", ".join(code)
        raise AstrogateError(f"{path} runs code of others, {names}", f"set method={names} if you trust it")
    differs: list[str] = []
    known = request.files()
    request.check_files()
    for name, kept in files.items():
        if name in known and known[name].exists():
            if digest(known[name]) != kept:
                differs.append(f"the file {name} has changed")
        elif name in known or name not in first.files():
            raise AstrogateError(
                f"{path} was made with the file {name}, which is not there", "put it back there, or change the option"
            )
    now = versions()
    for name, was in made.items():
        if now.get(name) != was:
            differs.append(f"{name} was {was} and is {now.get(name, 'missing')}")
    return Found(first, request, tuple(differs), told, path)


def _kept(path: Path, told: Mapping[str, Any]) -> Kept:
    """The request for what was drawn from Python. Raises AstrogateError for a file that holds no points."""
    dtype = {"dtype": told["dtype"]} if "dtype" in told else {}
    kept = Kept.of(file=path, model=str(_object(told.get("point")).get("model", "")), **dtype)
    kept.check()
    return kept


def _object(value: Any) -> dict[str, Any]:
    """A JSON object; an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def again(path: Path | str, /, *, model: Any = None, **changes: Any) -> Any:
    """Draw again what a file holds, with some options changed: a Strip, or for a path the list of its frames.

    A picture file of a canvas, or of one frame, comes again as one frame.

    `model` None is the one that its record names. Warns of what has changed since. Raises AstrogateError as `found`
    does.
    """
    from astrogate.rendering.strip import Strip

    asked = found(path, **changes)
    for difference in asked.differs:
        warn(difference, AstrogateWarning, stacklevel=2)
    request = asked.request
    request.check()
    model = request.load() if model is None else model
    for difference in asked.otherwise(model):
        warn(difference, AstrogateWarning, stacklevel=2)
    plan = asked.part(request.plan(model))
    if plan.whole is not None and Path(path).suffix.lower() == ".png":
        return list(plan.whole())
    frames = tuple(plan.frames())
    if not plan.columns:
        return list(frames)
    return Strip(frames, plan.columns, plan.rows, plan.facts, plan.middle, plan.effects(frames))
