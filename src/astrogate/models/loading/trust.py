"""What a checkpoint's folder may hold, decided before any library opens a file of it.

Safetensors and JSON alone decide about weights; what else lies there is left alone (`loading.opened`). A file is looked
at by its content, whatever its name: pickles and the archives that torch writes are refused. An index of shards names
safetensors of its own folder, a link leads to where the checkpoint lies, and no setting asks for an adapter, a kernel
or a class from elsewhere.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError

#: How files start that torch, pickle and their like write: they can hold code.
_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", *(bytes([0x80, version]) for version in range(6)))
#: The most bytes of a setting, and of the head of a file of weights.
_SETTING, _HEAD = 64 * 2**20, 100 * 2**20
#: The most steps of noise.
_TIMESTEPS = 100_000
#: What says in which file a tensor is, in any precision.
_SHARDS = re.compile(r"\.index(\.\w+)?\.json$")
#: Settings by which a library fetches code or weights from elsewhere.
_FETCHING = re.compile(r"kernel|attn_implementation|experts_implementation")


def check_folder(folder: Path, opened: Iterable[str]) -> None:
    """Raise AstrogateError, which names the file, for one of those that are `opened` that must not be."""
    root = _root(folder)
    for name in sorted(opened):
        _check_file(folder / name, root)


def plain_name(name: object) -> bool:
    """Whether a name is that of something in a folder, and leads nowhere else."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0")


def _root(folder: Path) -> Path:
    """Where a checkpoint lies: its folder, or in the hub's cache, whose files are links, that of the repository."""
    real = Path(os.path.realpath(folder))
    return real.parent.parent if real.parent.name == "snapshots" and (real.parent.parent / "blobs").is_dir() else real


def _check_file(path: Path, root: Path) -> None:
    real = Path(os.path.realpath(path))
    if not real.is_relative_to(root):
        raise AstrogateError(f"{path} leads out of the folder", "put the file itself there")
    if not real.is_file():
        raise AstrogateError(f"{path} is no file", "put the file itself there")
    if path.suffix == ".py":
        raise AstrogateError(f"{path} is code in a model folder", "delete it if you trust the rest; it is never run")
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(_MAGIC):
        raise AstrogateError(f"{path} may be pickled, or an archive", "convert it to safetensors; it is never opened")
    if path.suffix.lower() == ".safetensors" and not _is_safetensors(head):
        raise AstrogateError(f"{path} is no safetensors file", "restore it")
    if path.name == "adapter_config.json":
        raise AstrogateError(f"{path} asks for an adapter of another model", "merge the adapter, or delete the file")
    if path.suffix.lower() == ".json":
        for shard in _check_settings(path):
            _check_file(path.parent / shard, root)


def _is_safetensors(head: bytes) -> bool:
    return len(head) > 8 and int.from_bytes(head[:8], "little") <= _HEAD and head[8:9] == b"{"


def _check_settings(path: Path) -> set[str]:
    """Raise AstrogateError for settings that must not be; the files of weights that an index of shards names."""
    if path.stat().st_size > _SETTING:
        raise AstrogateError(f"{path} is too large for a setting", "restore it")
    indexed = _SHARDS.search(path.name) is not None
    if not (indexed or path.name.endswith("config.json") or path.name == "model_index.json"):
        return set()
    settings = read_settings(path)
    told: Any = settings.get("weight_map") if indexed else None
    shards: set[Any] = set(told.values()) if isinstance(told, dict) else set()  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    for shard in shards:
        if not plain_name(shard) or not shard.endswith(".safetensors"):
            raise AstrogateError(f"{path} names {str(shard)[:80]!r}", "let it name safetensors beside it alone")
    for key, value in settings_below(settings):
        if key == "num_train_timesteps" and isinstance(value, (int, float)) and not 1 <= value <= _TIMESTEPS:
            raise AstrogateError(f"{path} sets {key} to {str(value)[:80]}", f"use 1 to {_TIMESTEPS:,}")
        if _FETCHING.search(key) and (value is True or (isinstance(value, str) and "/" in value)):
            raise AstrogateError(f"{path} sets {key} to {str(value)[:80]!r}", "delete this setting")
    return shards


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
