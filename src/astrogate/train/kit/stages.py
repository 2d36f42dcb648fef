"""A finished stage of a training: a folder of a run, whole or not there at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from astrogate.core.files import whole_folder, write_text

#: The file in a finished stage that says what it was trained on: a digest for each part.
TRAINED_ON = "trained_on.json"


def keep_stage(run: Path, name: str, save: Callable[[Path], object], trained_on: Mapping[str, str]) -> None:
    """Save a stage with the digests of what it was trained on, whole or not at all; then drop its checkpoint."""
    with whole_folder(run / name, TRAINED_ON) as part:
        save(part)
        write_text(part / TRAINED_ON, json.dumps(dict(trained_on)))
    (run / f"{name}-state.safetensors").unlink(missing_ok=True)


def forget_paths(folder: Path) -> None:
    """Leave out where the parts were loaded from: configs would carry paths of this machine."""
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(content, indent=2) + "\n")
