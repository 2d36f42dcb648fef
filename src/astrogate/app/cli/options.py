"""Requests' fields as options of commands, and what else commands have in common."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic import TypeAdapter

from astrogate.actions.options import Editing, Loading, Measuring
from astrogate.actions.request import Request
from astrogate.actions.typed import Range, When
from astrogate.core.errors import AstrogateError
from astrogate.core.progress import unseen

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from astrogate.train.kit.loop import Schedule

Item = TypeVar("Item")


#: A seed of torch's generators, a number of things to draw or read, and of steps.
SEED, COUNT, STEPS = click.IntRange(0, 2**32 - 1), click.IntRange(1, 100_000), click.IntRange(1, 10_000_000)


class _Typed(click.ParamType):
    """One of the types of `actions.typed`."""

    def __init__(self, kind: Any, name: str) -> None:
        self.kind, self.name = TypeAdapter(kind), name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self.kind.validate_python(value)


RANGE, WINDOW = _Typed(Range, "low:high"), _Typed(When, "window")


def parameters(kind: type[Request]) -> Iterator[click.Parameter]:
    """A kind of request's fields as arguments and options, those of its own first."""
    for name in kind.options():
        yield _parameter(name, kind.model_fields[name])


def asking(kind: type[Request], argument: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator that gives a command the options of a kind of request as one argument."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**given: Any) -> None:
            asked = {name: given.pop(name) for name in kind.model_fields}
            command(**{argument: made(kind, asked)}, **given)

        params: list[click.Parameter] = getattr(command, "__click_params__", [])
        call.__click_params__ = [*reversed(list(parameters(kind))), *params]  # type: ignore[attr-defined]
        return call

    return decorate


def taking(kind: type[Any], argument: str, options: Sequence[Any]) -> Callable[..., Callable[..., None]]:
    """A decorator that gives a command `options` as one argument, the dataclass `kind`."""
    names = [field.name for field in fields(kind)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**given: Any) -> None:
            command(**{argument: kind(**{name: given.pop(name) for name in names})}, **given)

        for option in reversed(options):
            call = option(call)
        return call

    return decorate


def made(kind: type[Request], given: dict[str, Any]) -> Request:
    """The request with what was typed. Raises AstrogateError as `Request.of` does."""
    return kind.of(**{name: value for name, value in given.items() if value not in (None, ())})


#: Options that commands without a request share.
DEVICE = click.option("--device", default=None, help="cpu, cuda, mps; by default a CUDA GPU if there is one.")
READER = click.option(
    "--clip", "clip_folder", default=None, help="For another model: the CLIP (folder or hub id) that reads."
)
PATH = click.Path(path_type=Path)
RUNS = click.option(
    "--run", "folder", default=Path("runs/planted"), show_default=True, type=PATH, help="Folder that keeps the runs."
)


def page_file(name: str) -> Callable[[Any], Any]:
    """The option of a page that is written, with its numbers and pictures beside it."""
    return click.option("-o", "--output", default=name, show_default=True, type=PATH, help="Page to write.")


#: Give a command the options of `Loading` or `Measuring` as `loading`, those of `Editing` as `setup`.
loads = asking(Loading, "loading")
measures = asking(Measuring, "loading")
edits = asking(Editing, "setup")


def progress(items: Iterable[Item], total: int) -> Iterable[Item]:
    """The same items, with how many are done and the time left on a terminal."""
    from tqdm import tqdm

    return tqdm(items, total=total, unit="picture", disable=unseen(terminal=True), leave=False)


def _parameter(name: str, field: FieldInfo) -> click.Parameter:
    """A field as an argument or an option; the request reads what is typed."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    hint, metavar = _hint(field.annotation), _metavar(field)
    choices = click.Choice(get_args(hint)) if get_origin(hint) is Literal else None
    if extra.get("argument"):
        return click.Argument([name], required=field.is_required(), type=choices)
    flags = [str(extra["flag"]), name] if extra.get("flag") else [f"--{name.replace('_', '-')}", name]
    default, text = field.default, field.description or ""
    if hint is bool:
        return click.Option(flags, is_flag=True, default=None, help=text)
    if not field.is_required() and default not in (None, "", ()) and "[default" not in text:
        text += f"  [default: {_said(default)}]"
    return click.Option(
        flags,
        multiple=get_origin(hint) is tuple and not any(isinstance(told, str) for told in field.metadata),
        required=field.is_required(),
        default=None,
        type=choices,
        metavar=None if choices else metavar or {int: "INTEGER", float: "NUMBER"}.get(hint, "TEXT"),
        help=text,
    )


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        whole = all(isinstance(part, int) for part in value)
        return (",".join if whole else ":".join)(f"{part:g}" for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _hint(hint: Any) -> Any:
    """A type without None."""
    if get_origin(hint) in (Union, types.UnionType):
        return next(part for part in get_args(hint) if part is not type(None))
    return hint


def _metavar(field: FieldInfo) -> str | None:
    """What stands for a value in the help: the text beside its type."""
    beside = [*field.metadata, *getattr(_hint(field.annotation), "__metadata__", ())]
    beside += [told for part in get_args(field.annotation) for told in getattr(part, "__metadata__", ())]
    return next((told for told in beside if isinstance(told, str)), None)


def lengthened(schedule: Schedule, asked: Mapping[str, float | None]) -> Schedule:
    """A schedule with what is asked for. Raises AstrogateError for what is no number above 0."""
    wanted: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    if wrong := [name for name, value in wanted.items() if not 0 < value < float("inf")]:
        raise AstrogateError(f"--{wrong[0]} {wanted[wrong[0]]:g}", "use a number above 0")
    return replace(schedule, **wanted)
