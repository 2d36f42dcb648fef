"""A checkpoint's index, `model_index.json`: which family draws it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError
from astrogate.models.family import Family, Row
from astrogate.models.loading.trust import read_settings
from astrogate.models.registry import family_of

INDEX = "model_index.json"


def index_of(folder: Path, name: str) -> Mapping[str, Any]:
    """The index of the checkpoint in a folder. Raises AstrogateError where there is none."""
    index = folder / INDEX
    if not index.exists():
        raise AstrogateError(f"{name} holds no {INDEX}", "name a folder that save_pretrained wrote")
    found = read_settings(index)
    if not str(found.get("_class_name")).isidentifier() or found.get("_class_name") is None:
        raise AstrogateError(f"{index} names no pipeline", "restore it")
    return found


def family_named(index: Mapping[str, Any], name: str) -> Row:
    """The row of a checkpoint's index. Raises AstrogateError for what no family draws."""
    family = family_of(str(index["_class_name"]), name)
    check_drawn(family, index, name)
    return family


def check_drawn(family: Row, settings: Mapping[str, Any], name: str) -> None:
    """Raise AstrogateError for a kind of a family's pipelines that it does not draw, by the pipeline's settings."""
    if isinstance(family, Family) and family.refused is not None and (kind := family.refused(settings)):
        raise AstrogateError(
            f"{name} is {kind} of {family.name}", "use a checkpoint that draws from noise and a prompt"
        )
