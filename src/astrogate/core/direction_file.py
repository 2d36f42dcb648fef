"""Directions on disk: a safetensors file of vectors by role, with name, model, origin and calibration as metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_file

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT = "astrogate-direction-1"


def save_direction(direction: Direction, path: Path | str) -> None:
    """Write a direction, whole or not at all."""
    from safetensors.torch import save

    metadata = {
        "format": _FORMAT,
        "name": direction.name,
        "model": direction.model,
        "origin": json.dumps(dict(direction.origin)),
        "calibration": json.dumps(direction.calibration),
    }
    tensors = {role: vector.detach().cpu().contiguous() for role, vector in direction.vectors.items()}
    with whole_file(Path(path)) as file:
        file.write(save(tensors, metadata))


def load_direction(path: Path | str) -> Direction:
    """Read a direction. Raises AstrogateError for a file that is absent, cut off, or no direction."""
    from safetensors import SafetensorError, safe_open

    try:
        opened: Any = safe_open(path, framework="pt")
        with opened as file:
            metadata: dict[str, str] = file.metadata() or {}
            names: list[str] = list(file.keys())
            vectors: dict[str, Tensor] = {role: file.get_tensor(role) for role in names}
        if metadata.get("format") != _FORMAT:
            raise AstrogateError(f"{path} is no direction", "name a file that `astrogate direction fit` wrote")
        low_high = json.loads(metadata["calibration"])
        calibration = None if low_high is None else (float(low_high[0]), float(low_high[1]))
        return Direction(vectors, metadata["model"], metadata["name"], json.loads(metadata["origin"]), calibration)
    except FileNotFoundError as error:
        raise AstrogateError(f"{path} does not exist", "fit it with `astrogate direction fit`") from error
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise AstrogateError(f"{path} could not be read ({error})", "fit it again; it may be cut off") from error
