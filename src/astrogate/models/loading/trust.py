"""What a checkpoint's folder may hold, decided before any library opens a file of it.

Safetensors and JSON alone decide about weights. A file is looked at by its content, whatever its name: pickles and the
archives that torch writes are refused, as is code. An index of shards names safetensors of its own folder, a link leads
to where the checkpoint lies, and no setting asks for an adapter, a kernel or a class from elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError

_PICKLED = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".npz"}
_CODE = {".py", ".pyc", ".so", ".dll", ".dylib", ".pyd"}
#: How files start that torch, pickle and their like write: they can hold code.
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", *(bytes([0x80, version]) for version in range(6)))
#: The most files of a folder, bytes of a setting, and bytes of the head of a file of weights.
_FILES, _SETTING, _HEAD = 5_000, 64 * 2**20, 100 * 2**20
#: The most steps of noise.
_TIMESTEPS = 100_000
#: Settings by which a library fetches code or weights from elsewhere.
_FETCHING = re.compile(r"kernel|attn_implementation|experts_implementation")


def check_folder(folder: Path, opened: Sequence[str] = ("*",)) -> None:
    """Raise AstrogateError, which names the file, for a folder that holds what must not be opened.

    `opened` are patterns of the files that anything opens, for a folder that others keep theirs in, too.
    """
    root = _root(folder)
    found = list(islice(folder.rglob("*"), _FILES + 1))
    if len(found) > _FILES:
        raise AstrogateError(f"{folder} holds more than {_FILES} files", "name the folder of one checkpoint")
    for path in sorted(found):
        real = Path(os.path.realpath(path))
        if real.is_file() and not any(fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in opened):
            continue
        if not real.is_relative_to(root):
            raise AstrogateError(f"{path} leads out of the folder", "put the file itself there")
        if real.is_dir():
            continue
        if not real.is_file():
            raise AstrogateError(f"{path} is no file", "delete it")
        _check_file(path)


def plain_name(name: object) -> bool:
    """Whether a name is that of something in a folder, and leads nowhere else."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _root(folder: Path) -> Path:
    """Where a checkpoint lies: its folder, or in the hub's cache, whose files are links, that of the repository."""
    real = Path(os.path.realpath(folder))
    return real.parent.parent if real.parent.name == "snapshots" and (real.parent.parent / "blobs").is_dir() else real


def _check_file(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in _CODE:
        raise AstrogateError(f"{path} is code in a model folder", "delete it if you trust the rest; it is never run")
    with path.open("rb") as file:
        head = file.read(16)
    if suffix in _PICKLED or head.startswith(_MAGIC):
        raise AstrogateError(
            f"{path} may be pickled, or an archive", "convert it to safetensors and delete it; it is never opened"
        )
    if suffix == ".safetensors" and not _is_safetensors(head):
        raise AstrogateError(f"{path} is no safetensors file", "restore it")
    if path.name == "adapter_config.json":
        raise AstrogateError(f"{path} asks for an adapter of another model", "merge the adapter, or delete the file")
    if suffix == ".json":
        _check_settings(path)


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 8 and int.from_bytes(head[:8], "little") <= _HEAD and head[8:9] == b"{"


def _check_settings(path: Path) -> None:
    if path.stat().st_size > _SETTING:
        raise AstrogateError(f"{path} is too large for a setting", "restore it")
    if not (path.name.endswith((".index.json", "config.json")) or path.name == "model_index.json"):
        return
    settings = read_settings(path)
    if path.name.endswith(".index.json"):
        shards = settings.get("weight_map")
        for shard in set(shards.values()) if isinstance(shards, dict) else ():  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType, reportUnknownMemberType]
            if not plain_name(shard) or not shard.endswith(".safetensors"):
                raise AstrogateError(f"{path} names {str(shard)[:80]!r}", "let it name safetensors beside it alone")
    for key, value in settings_below(settings):
        if key == "num_train_timesteps" and isinstance(value, (int, float)) and not 1 <= value <= _TIMESTEPS:
            raise AstrogateError(f"{path} sets {key} to {str(value)[:80]}", f"use 1 to {_TIMESTEPS:,}")
        if _FETCHING.search(key) and (value is True or (isinstance(value, str) and "/" in value)):
            raise AstrogateError(f"{path} sets {key} to {str(value)[:80]!r}", "delete this setting")


def read_settings(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file. Raises AstrogateError, which names the file, for anything else."""
    try:
        found: Any = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise AstrogateError(f"{path} is cut off or no JSON ({str(error)[:120]})", "restore it") from error
    if not isinstance(found, dict):
        raise AstrogateError(f"{path} is no JSON object", "restore it")
    return found  # pyright: ignore[reportUnknownVariableType]


def settings_below(found: Any) -> list[tuple[str, Any]]:
    """All settings below a JSON value, by their last names."""
    pairs, left = list[tuple[str, Any]](), [found]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            pairs += [(str(k), v) for k, v in value.items()]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            left += value.values()  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
        elif isinstance(value, list):
            left += value
    return pairs
