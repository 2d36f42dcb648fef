"""Keys: the one recipe for names that stand for a content.

    key = the first 16 hexadecimal digits of SHA-256 of the content as JSON, dicts in the order of their names

In the JSON a dataclass is a dict of its fields; bytes and tensors are their kind, shape and SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from astrogate.core.values import plain


def key_of(*content: object) -> str:
    """Sixteen hexadecimal digits that name texts, numbers, paths, bytes, tensors, dataclasses and any nest of them.

    Raises TypeError for anything else.
    """
    text = json.dumps(content, sort_keys=True, default=_plain)
    return sha256(text.encode()).hexdigest()[:16]


def key_of_file(path: Path) -> str:
    """The key of the bytes of a file, of which no more than some are held."""
    with path.open("rb") as file:
        return key_of({"bytes": file_digest(file, "sha256").hexdigest()})


def running() -> Any:
    """SHA-256 of bytes as they come, by `update` and `digest`."""
    return sha256()


def _plain(value: Any) -> Any:
    """What stands in the JSON for what JSON does not hold."""
    if isinstance(value, bytes):
        return {"bytes": sha256(value).hexdigest()}
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    import torch

    if isinstance(value, torch.Tensor):
        raw = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return {"tensor": [str(value.dtype), list(value.shape), sha256(raw).hexdigest()]}
    return plain(value)
