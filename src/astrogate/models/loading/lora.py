"""A LoRA's own settings, which diffusers hands to PEFT as they are: looked at first.

PEFT takes names of layers as patterns, some of which take for ever, and options that import other packages. Here names
are plain, numbers are numbers, and what can't be merged into the weights is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.values import real, whole

if TYPE_CHECKING:
    from torch import Tensor

_REMEDY = "name a LoRA that `train student` or diffusers wrote"
#: Where diffusers keeps the settings in a file, by the name of the part and a dot before each, and the most characters.
_KEY, _MOST = "lora_adapter_metadata", 10**6
_PLAIN = re.compile(r"[\w.\-]+")
#: Settings that a merged LoRA does not depend on, or whose oddities diffusers refuses: texts, numbers or nothing.
_IDLE = frozenset({"task_type", "peft_type", "peft_version", "base_model_name_or_path", "revision", "inference_mode"})
_IDLE |= {"lora_dropout", "bias", "init_lora_weights", "megatron_core", "qalora_group_size", "use_rslora"}


def check_lora(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Raise AstrogateError for a file of a LoRA whose tensors are no floats, or whose settings are no plain ones."""
    if odd := [name for name, tensor in weights.items() if tensor.ndim and not tensor.is_floating_point()]:
        raise AstrogateError(f"{path} holds no floats in {odd[0]}", _REMEDY)
    text = archive.texts(path).get(_KEY, "{}")
    try:
        settings: Any = json.loads(text if len(text) <= _MOST else "")
        found = [(str(key).partition(".")[2], value) for key, value in settings.items()]
    except (ValueError, AttributeError, RecursionError) as error:
        raise AstrogateError(f"the settings in {path} are damaged", _REMEDY) from error
    for name, value in found:
        if not _is_fine(name, value):
            raise AstrogateError(f"{path} sets {name[:40]} to {json.dumps(value)[:60]}, which can't be merged", _REMEDY)


def _is_fine(name: str, value: Any) -> bool:
    """Whether a setting is one that only says how strong the LoRA is and where."""
    try:
        if name == "r":
            return bool(whole(value, name, 1, 2**16))
        if name == "lora_alpha":
            return bool(real(value, name, -1e6, 1e6))
        if name in ("rank_pattern", "alpha_pattern"):
            return all(_PLAIN.fullmatch(key) and real(each, key, -1e6, 1e6) for key, each in value.items())
    except (AstrogateError, AttributeError):
        return False
    if name in ("target_modules", "exclude_modules"):
        names = [value] if isinstance(value, str) else value or []
        return isinstance(names, list) and all(isinstance(each, str) and _PLAIN.fullmatch(each) for each in names)
    return not value or (name in _IDLE and isinstance(value, (str, int, float)))
