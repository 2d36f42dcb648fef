"""Archive: tensors with JSON metadata in one safetensors file; nothing else here reads or writes one.

A file of ours has one JSON object under the key "astrogate": its format, its metadata, and the key of all that it
holds. It is one, as safetensors writes several in any order. A file that other programs read has "format": "pt", as
transformers asks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

from astrogate.core.errors import AstrogateError, reason
from astrogate.core.files import whole_file
from astrogate.core.keys import key_of
from astrogate.core.values import path_of, plain

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
_KEY, _CHECKSUM, _KEPT = "astrogate", "checksum", "astrogate-kept-1"


def write(
    path: Path | str,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any] = MappingProxyType({}),
    *,
    format: str | None = None,
) -> None:
    """Write tensors and metadata, whole or not at all.

    `format` None is a file for other programs, which has no metadata. Raises AstrogateError for metadata that JSON does
    not hold.
    """
    import torch
    from safetensors.torch import save

    copies = {  # also of tensors that share memory, which a file cannot
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    try:
        told: Any = json.loads(json.dumps({"format": format, **metadata}, default=plain))
        text = {"format": "pt"} if format is None else {_KEY: json.dumps({**told, _CHECKSUM: key_of(told, copies)})}
    except (TypeError, ValueError, RecursionError) as error:
        raise AstrogateError(
            f"{path} cannot hold its metadata ({error})", "use texts, numbers, lists and dicts, not too deep"
        ) from error
    with whole_file(Path(path)) as file:
        file.write(save(copies, text))


def read(
    path: Path | str,
    *,
    what: str,
    remedy: str,
    format: str | None = None,
    fields: Mapping[str, Any] = MappingProxyType({}),
    tensors: Collection[str] = (),
    copied: bool = True,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read all tensors, on the CPU, and those metadata that `fields` name with their types, such as `list[str] | None`.

    `format` None takes any file. Tensors that are not `copied` are the file's own bytes, for a look at large ones: they
    change, or the program dies, once somebody writes over the file.

    Raises AstrogateError, with the `remedy`, for a file that is missing, cut off, of another format (not `what`), that
    misses one of `fields` or of `tensors`, whose metadata are of other types, or whose copied tensors are not finite.
    """
    from safetensors import SafetensorError, safe_open

    path = path_of(path)
    try:
        if not path.exists():
            raise AstrogateError(f"{path} does not exist", remedy)
        if not path.is_file():
            raise ValueError("it is no file")
        opened: Any = safe_open(path, framework="pt")
        with opened as file:
            text: dict[str, str] = file.metadata() or {}
            kept: Any = json.loads(text.get(_KEY, "{}"))
            if not _fits(kept, dict) or format not in (None, kept.get("format")):
                raise AstrogateError(f"{path} is not {what}", remedy)
            found: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if copied:
                found = {name: tensor.clone() for name, tensor in found.items()}
                if odd := [name for name, tensor in found.items() if not _finite(tensor)]:
                    raise ValueError(f"{odd[0]} holds what is no finite number")
        if format is not None and kept.pop(_CHECKSUM, None) != key_of(kept, found):
            raise ValueError("it is not what was written")
        for names, there in ((tensors, found), (fields, kept)):
            if missing := [name for name in names if name not in there]:
                raise ValueError(f"it has no {', '.join(missing)}")
        for name, kind in fields.items():
            if not _fits(kept[name], kind):
                raise ValueError(f"its {name} is {json.dumps(kept[name])[:40]}")
        return found, {name: kept[name] for name in fields}
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise AstrogateError(f"{path} could not be read ({reason(error)}); it may be cut off", remedy) from error


def texts(path: Path | str) -> dict[str, str]:
    """What another program's file, which was read, says of itself."""
    from safetensors import safe_open

    opened: Any = safe_open(path, framework="pt")
    with opened as file:
        return file.metadata() or {}


def kept(
    path: Path | None, make: Callable[[], Mapping[str, Tensor]], tensors: Collection[str], rows: int
) -> Mapping[str, Tensor]:
    """`tensors` of `rows` rows that an earlier run left in a file; where there is none, or a broken one, made and left.

    `path` None is no file. What is made comes as the file gives it, to the bit that a later run gets.
    """
    if path is None:
        return make()
    asked: Any = {"what": "kept tensors", "remedy": "delete it", "format": _KEPT, "tensors": tensors}
    for attempt in range(2):
        with suppress(AstrogateError):
            found, told = read(path, fields={"name": str}, **asked)
            if told["name"] == path.name and all(found[name].ndim and len(found[name]) == rows for name in tensors):
                return found
        if attempt == 0:
            write(path, make(), {"name": path.name}, format=_KEPT)
    raise AstrogateError(f"{path} can't be kept", "name a folder on another disk")


def told(metadata: Mapping[str, Any], name: str, kind: Any, default: Any, what: str) -> Any:
    """What `metadata` of a file say by a name; `default` where they say nothing.

    Raises AstrogateError for `what`, such as "a direction", where that is no `kind`, such as `list[str]`.
    """
    found = metadata.get(name, default)
    if not _fits(found, kind):
        raise AstrogateError(f"{what} says that its {name} is {json.dumps(found, default=str)[:60]}", "make it anew")
    return found


def rebuilt(kind: type[T], fields: Mapping[str, Any], what: str) -> T:
    """An object of its `fields`, as a file has them. Raises AstrogateError for `what` where they are others."""
    try:
        return kind(**fields)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
        raise AstrogateError(f"{what} is damaged ({str(error)[:120]})", "make it anew") from error


def _finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(tensor.float().isfinite().all())


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix` and a dot, by the rest of their names."""
    start = f"{prefix}."
    return {name[len(start) :]: tensor for name, tensor in tensors.items() if name.startswith(start)}


def _fits(value: Any, kind: Any) -> bool:
    """Whether a JSON value is of a type, to the depth that the type tells."""
    if kind is Any:
        return True
    base, parts = get_origin(kind) or kind, get_args(kind)
    if base is UnionType:
        return any(_fits(value, part) for part in parts)
    if base is float:
        return type(value) in (int, float)
    if type(value) is not (list if base is tuple else base):
        return False
    if base is tuple:
        return len(value) == len(parts) and all(map(_fits, value, parts))
    inner = list(value.values()) if base is dict else value if base is list else []
    return not parts or all(_fits(each, parts[-1]) for each in inner)
