"""One part of a checkpoint from its folder: of a class that its place may have, with every tensor that it needs.

Libraries fill tensors that a file lacks with random numbers, and say so in a note at best. Here they are an error, as
are tensors of other shapes; those that are left over are a warning, unless the file is a larger model's. Counts of
layers are held against the file before a library makes that many.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn

from astrogate.core.errors import AstrogateError, AstrogateWarning, reason
from astrogate.models.loading.opened import chosen_weights
from astrogate.models.loading.quiet import quiet
from astrogate.models.loading.trust import read_settings, settings_below

#: The libraries whose classes an index may name.
_LIBRARIES = ("diffusers", "transformers")
#: Settings that say how many layers there are.
_COUNTS = re.compile(r"^(num|n)_(\w*_)?(layers?|blocks?|layer)$|^(layers|blocks|depth)\w*$|_layers$|_layers_per_block$")
#: Tensors that are computed, though old files hold them.
_COMPUTED = re.compile(r"(^|\.)(position_ids|inv_freq)$")


def modules_of(
    folder: Path, index: Mapping[str, Any], pipeline: type[Any], dtype: torch.dtype, variant: str | None = None
) -> dict[str, nn.Module]:
    """The parts with weights that a checkpoint's index names, of those that a pipeline takes.

    Raises AstrogateError for an index that names other classes than the libraries' own.
    """
    check_classes(index, str(folder))
    taken = signature(pipeline.__init__).parameters
    found: dict[str, nn.Module] = {}
    for name, told in index.items():
        if name.startswith("_") or name not in taken or not isinstance(told, list) or not (folder / name).is_dir():
            continue
        library, kind = _class_named(folder, name, told)
        if kind.startswith("Auto") and not kind.startswith("Autoencoder") and not name.startswith("tokenizer"):
            raise AstrogateError(f"{folder}/model_index.json leaves the class of {name} to {kind}", "name it there")
        made = getattr(import_module(library), kind, None) if library in _LIBRARIES else None
        if isinstance(made, type) and issubclass(made, nn.Module):
            found[name] = load_module(made, folder / name, dtype, variant)
    return found


def load_module(kind: Any, folder: Path, dtype: torch.dtype, variant: str | None = None) -> Any:
    """A part of the class `kind`, whole, from the files of a variant where it has one.

    Raises AstrogateError where its files lack a tensor, or have another shape.
    """
    chosen, names = chosen_weights([path.name for path in folder.glob("*")], variant)
    files = [folder / name for name in names]
    _check_counts(folder, files)
    _check_stored(folder, files)
    typed = {"dtype" if kind.__module__.startswith("transformers.") else "torch_dtype": dtype}
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True, **typed}
    options["variant"] = chosen
    try:
        with quiet():  # what it says is in the info, and is told below
            module, info = kind.from_pretrained(folder, **options)
    except RuntimeError as error:  # transformers' word for other shapes
        raise AstrogateError(
            f"{folder} does not fit a {kind.__name__} of its config ({reason(error)})",
            "restore both",
        ) from error
    missing = _named(info.get("missing_keys"))
    if missing or info.get("mismatched_keys"):
        raise AstrogateError(
            f"{folder} lacks {_some(missing or _named(info['mismatched_keys']))}", "restore the whole checkpoint"
        )
    left = [name for name in _named(info.get("unexpected_keys")) if not _COMPUTED.search(name)]
    if left and not _is_of_another(folder, kind):
        warnings.warn(f"{folder} holds {_some(left)}, which nothing reads", AstrogateWarning, stacklevel=4)
    return module


def tokenizers_of(folder: Path, index: Mapping[str, Any]) -> dict[str, Any]:
    """The tokenizers of what an index names as processors, which ask for torchvision: no picture is read by them.

    Those that it leaves to transformers to find are no code of the folder's own.
    """
    from transformers import AutoTokenizer

    named = (name for name, told in index.items() if name.startswith("tokenizer") and isinstance(told, list))
    return {
        name: AutoTokenizer.from_pretrained(folder / name, local_files_only=True, trust_remote_code=False)
        for name in named
        if str(index[name][1]).endswith("Processor") or str(index[name][1]).startswith("Auto")
    }


def _check_stored(folder: Path, files: Iterable[Path]) -> None:
    """Raise AstrogateError for weights that are stored as whole or complex numbers, and do not say how to read them."""
    config = folder / "config.json"
    if config.exists() and "quantization_config" in read_settings(config):
        return
    for path in files:
        for name, told in _header(path).items():
            kind = str(told.get("dtype")) if isinstance(told, dict) else ""
            if name.endswith((".weight", ".bias")) and not kind.startswith(("F", "BF")):
                raise AstrogateError(f"{path} holds {name} as {kind}", "restore it in floats, such as float16")


def _is_of_another(folder: Path, kind: Any) -> bool:
    """Whether the folder is that of a model of which `kind` is a part, as a CLIP is of two towers."""
    told = read_settings(folder / "config.json").get("architectures")
    return isinstance(told, list) and bool(told) and kind.__name__ not in told


def _check_counts(folder: Path, files: Iterable[Path]) -> None:
    """Raise AstrogateError for settings that ask for more layers than files of a folder hold tensors."""
    config = folder / "config.json"
    tensors = sum(len(_header(path)) for path in files)
    if config.exists() and tensors:
        check_layers(config, tensors)


def check_layers(config: Path, tensors: int) -> None:
    """Raise AstrogateError for settings that ask for more layers than there are tensors."""
    for name, value in settings_below(read_settings(config)):
        if _COUNTS.search(name) and any(isinstance(n, int) and n > tensors for n in _flat(value)):
            raise AstrogateError(f"{config} sets {name} to {str(value)[:80]}, for {tensors} tensors", "restore it")


def _flat(value: Any) -> list[Any]:
    """The values in lists of lists."""
    return [one for part in value for one in _flat(part)] if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownVariableType]


def check_classes(index: Mapping[str, Any], name: str) -> None:
    """Raise AstrogateError for an index that names classes of other libraries: they would be imported."""
    for part, told in index.items():
        if not part.startswith("_") and isinstance(told, list):
            if told and all(isinstance(value, (int, float)) for value in told):  # pyright: ignore[reportUnknownVariableType]
                continue  # a setting, such as a choice of layers
            _class_named(name, part, told)  # pyright: ignore[reportUnknownArgumentType]


def _class_named(folder: Path | str, part: str, told: list[Any]) -> tuple[str, str]:
    """Library and class of a part, by an index."""
    if len(told) == 2 and all(isinstance(word, str) for word in told):
        library, kind = told
        if library in _LIBRARIES or library in _pipelines():
            return library, kind
    if told == [None, None]:
        return "", ""
    raise AstrogateError(
        f"{folder}/model_index.json names {json.dumps(told)[:80]} as {part}", "use a class of diffusers or transformers"
    )


@cache
def _pipelines() -> frozenset[str]:
    """The modules of diffusers' pipelines, which hold some parts' classes."""
    from diffusers import pipelines

    below = getattr(pipelines, "_import_structure", {})
    return frozenset(str(name).split(".")[0] for name in below) | frozenset(str(name) for name in below)


def _header(path: Path) -> Mapping[str, Any]:
    """The names of a safetensors file's tensors with what it says of them; none of a file that is damaged."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            found: Any = json.loads(file.read(min(size, 100 * 2**20)))
    except (OSError, ValueError, RecursionError):
        return {}
    return {k: v for k, v in found.items() if k != "__metadata__"} if isinstance(found, dict) else {}


def _named(keys: Iterable[Any] | None) -> list[str]:
    """Names of tensors, as libraries list them: alone, or with their shapes."""
    return sorted(key if isinstance(key, str) else str(key[0]) for key in keys or ())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
