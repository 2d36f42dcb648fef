"""A request: what is asked for, as validated data that goes to JSON and back.

Each option is stated once, with its help; doors (`app.cli` ...) read them off the fields. A request becomes a plan once
there is a model, and a plan becomes frames as they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from astrogate.actions.typed import SHORT
from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of, key_of_file

if TYPE_CHECKING:
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame
    from astrogate.rendering.effects import Effect

#: The most pictures of a request, paths aside, whose points are made as they are drawn.
_PICTURES = 10_000
#: The most files of a folder that is named in a request, and the most bytes of a file.
_MOST, _LARGEST = 10_000, 64 * 2**30


def option(default: Any, help: str, *, flag: str = "", **limits: Any) -> Any:
    """A field with a default; `flag` is a short name of its own at the command line, `limits` are pydantic's."""
    return Field(default, description=help, json_schema_extra={"flag": flag} if flag else None, **limits)


def needed(help: str, **limits: Any) -> Any:
    """A field that must be given by its name."""
    return Field(description=help, **limits)


def argument(help: str, *, default: Any = ..., **limits: Any) -> Any:
    """A field that is given by its place."""
    return Field(default, description=help, json_schema_extra={"argument": True}, **limits)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What a request comes to, before anything is drawn.

    `frames` draws, `total` of them, row by row; `columns` and `rows` are labels, `columns` empty for a path, whose
    frames follow one another; `whole`, where there is one, draws what a picture file shows instead. `middle` is the
    frame whose settings stand for all, `facts` join the record, `line` is what to say at the end, `fps` the frames per
    second of a video, `tile` the pixels per side of a picture in a sheet. `effects` tells what each edit did, of frames
    whose pictures may be small.
    """

    frames: Callable[[], Iterator[Frame]]
    total: int
    columns: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    middle: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    line: str = ""
    whole: Callable[[], Iterator[Frame]] | None = None
    fps: float = 24.0
    tile: int = 128
    effects: Callable[[Sequence[Frame]], tuple[Effect, ...]] = lambda frames: ()


class Request(BaseModel):
    """One thing to do. `kind` is its name, `brief` its help in one line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    kind: ClassVar[str]
    brief: ClassVar[str]

    @field_validator("*")
    @classmethod
    def _legible(cls, value: Any) -> Any:
        """Raise AstrogateError for text that is not Unicode, or that no file can be named by."""
        for part in _parts(value):
            if (isinstance(part, str) and any("\ud800" <= c <= "\udfff" for c in part)) or "\0" in str(part):
                raise AstrogateError(f"{SHORT.repr(part)} is no text", "write it in UTF-8")
        return value

    @classmethod
    def options(cls) -> list[str]:
        """The names of its options, those of its own first."""
        own = [name for name in cls.model_fields if name in cls.__annotations__]
        return [*own, *(name for name in cls.model_fields if name not in own)]

    def check(self) -> None:
        """Raise AstrogateError for what can be refused before a model is loaded."""
        self.check_files()
        if (total := self.total()) > _PICTURES:
            raise AstrogateError(f"{total:,} pictures", f"ask for at most {_PICTURES:,} at once")

    def total(self) -> int:
        """How many pictures it comes to, at the most, whose points are made before the first is drawn."""
        return 1

    def check_files(self) -> None:
        """Raise AstrogateError for files that are none, before they are read."""
        for path in self.files().values():
            if path.is_dir() and path not in self.folders():
                raise AstrogateError(f"{path} is a folder", "name a file")
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise AstrogateError(f"{path} is no ordinary file", "name a file, or a folder")

    def refuse_idle(self, names: Iterable[str], where: str, remedy: str) -> None:
        """Raise AstrogateError for the first of options that is not at its default, where they do nothing."""
        for name in names:
            if (value := getattr(self, name)) != type(self).model_fields[name].default:
                told = name.replace("_", "-")
                raise AstrogateError(f"{told} {SHORT.repr(value)} does nothing {where}", f"leave it out, or {remedy}")

    def load(self) -> Model:
        """The model that it asks for."""
        raise AstrogateError(f"{self.kind} needs no model", "leave the model out")

    def plan(self, model: Model) -> Plan:
        """What it comes to with a model."""
        raise AstrogateError(f"{self.kind} draws nothing", "ask for something that draws")

    def files(self) -> dict[str, Path]:
        """The files that it reads, by the text that names them."""
        values = _parts(tuple(getattr(self, name) for name in type(self).model_fields))
        return {str(value): value for value in values if isinstance(value, Path)}

    def folders(self) -> tuple[Path | None, ...]:
        """Those of its files that may be folders."""
        return ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `request_of` makes it again from."""
        return {"kind": self.kind, **self.model_dump(mode="json")}

    @classmethod
    def of(cls, /, **given: Any) -> Self:
        """The request with these options. Raises AstrogateError, with the remedy, for those that it does not take."""
        try:
            return cls(**given)
        except ValidationError as error:
            raise _told(cls, error) from None

    def changed(self, /, **given: Any) -> Self:
        """This request with some options changed. Raises as `of`."""
        return self.of(**{**self.model_dump(), **given})


def digest(path: Path) -> str:
    """The key of a file, or of all files in a folder with their names. Raises AstrogateError where there is none."""
    if not path.exists():
        raise AstrogateError(f"{path} does not exist", "name a file that is there")
    try:
        if path.is_file():
            return _file_key(path)
        below = list(islice(path.rglob("*"), _MOST + 1))
        if len(below) > _MOST:
            raise AstrogateError(f"{path} holds more than {_MOST:,} files", "name a smaller folder")
        parts = (part for part in sorted(below) if part.is_file())
        return key_of([[str(part.relative_to(path)), _file_key(part)] for part in parts])
    except OSError as error:
        raise AstrogateError(
            f"{path} can't be read ({error.strerror or error})", "name a file that is there"
        ) from error


def _file_key(path: Path) -> str:
    """The key of a file. Raises AstrogateError for one that is too large."""
    if path.stat().st_size > _LARGEST:
        raise AstrogateError(f"{path} is larger than {_LARGEST:,} bytes", "name a smaller file")
    return key_of_file(path)


def _parts(value: Any) -> Iterator[Any]:
    """A value, or all that a tuple holds."""
    if isinstance(value, tuple):
        for part in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _parts(part)
    else:
        yield value


def _told(cls: type[Request], error: ValidationError) -> AstrogateError:
    """The first thing that is wrong with the options given, and what to do."""
    first = error.errors()[0]
    name, context, value = str(first["loc"][0]), first.get("ctx", {}), first.get("input")
    absent = first["type"] == "missing" and len(first["loc"]) == 1
    shown = value if isinstance(value, str) and _is_number(value) else SHORT.repr(value)
    problem = f"{cls.kind} misses {name!r}" if absent else f"{SHORT.repr(name)[1:-1].replace('_', '-')} {shown}"
    remedies: Mapping[str, str] = {
        "missing": f"give it: {cls.model_fields[name].description}" if absent else "give all of its parts",
        "extra_forbidden": f"choose from {', '.join(cls.options())}",
        "literal_error": f"choose {context.get('expected', '')}",
        "greater_than_equal": f"use {context.get('ge')} or more",
        "greater_than": f"use more than {context.get('gt')}",
        "less_than": f"use less than {context.get('lt')}",
        "less_than_equal": f"use {context.get('le')} or less",
        "finite_number": "use a finite number",
        "int_parsing": "give a whole number",
        "int_from_float": "give a whole number",
        "float_parsing": "give a number",
        "bool_parsing": "say true or false",
    }
    return AstrogateError(problem, remedies.get(first["type"], first["msg"]))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
