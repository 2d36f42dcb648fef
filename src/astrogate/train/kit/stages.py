"""A finished stage of a training: a folder of a run, whole or not there at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from astrogate.core.files import write_text

#: The file in a finished stage that says what it was trained on: a digest for each part.
TRAINED_ON = "trained_on.json"


def keep_stage(run: Path, name: str, save: Callable[[Path], object], trained_on: Mapping[str, str]) -> None:
    """Save a stage into a folder beside its own, with the digests of what it was trained on, then rename.

    So a finished stage is a whole one; its checkpoint has then served its turn.
    """
    part = run / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save(part)
    write_text(part / TRAINED_ON, json.dumps(dict(trained_on)))
    shutil.rmtree(run / name, ignore_errors=True)
    part.rename(run / name)
    (run / f"{name}-state.safetensors").unlink(missing_ok=True)


def forget_paths(folder: Path) -> None:
    """Leave out where the parts were loaded from: configs would carry paths of this machine."""
    for path in folder.rglob("*.json"):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and content.pop("_name_or_path", None) is not None:
            path.write_text(json.dumps(content, indent=2) + "\n")
