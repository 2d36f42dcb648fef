"""Which files of a checkpoint are opened: those of the parts that its row needs, each in one precision.

A repository holds a checkpoint several times: pickled, for other libraries, in half precision, whole and in shards. The
libraries open `model.safetensors` and `diffusion_pytorch_model.safetensors`, of a variant such as "fp16" if they are
asked for one. What is not opened is not downloaded, not looked at, and no reason to refuse the rest.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError
from astrogate.models.family import Family, StackFamily
from astrogate.models.loading.index import INDEX
from astrogate.models.registry import families

#: What a part that is a model has.
CONFIG = "config.json"
#: What a checkpoint of our own has beside its parts.
_OWN = ("language.json", "card.json")
#: Weights that the libraries open: whose they are, their variant, which shard.
_WEIGHTS = re.compile(
    r"(?P<whose>diffusion_pytorch_model|model)(\.(?P<a>\w+))?(?P<shard>-\d+-of-\d+)?(\.(?P<b>\w+))?\.safetensors"
)
#: What says in which shard a tensor is.
_SHARDS = re.compile(r"(diffusion_pytorch_model|model)\.safetensors\.index(\.(?P<variant>\w+))?\.json")
#: The same, for weights of any kind.
_INDEX = re.compile(r"\.index(\.\w+)?\.json$")
#: Weights that are pickled, or those of other libraries.
_PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle", ".npz", ".msgpack", ".h5")
#: What a tokenizer is read from.
TEXTS = (".json", ".txt", ".model", ".tiktoken", ".jinja")
#: Variants in the order in which one is chosen where there is no plain one: the wider first.
_WIDER = ("fp32", "fp16", "bf16")
#: The most files of a folder that are listed.
_FILES = 5_000


def files_of(names: Iterable[str], index: Mapping[str, Any], variant: str | None, name: str) -> list[str]:
    """Of the files of a checkpoint, by their paths in it, those that are opened.

    Raises AstrogateError for a part of which there are pickled weights alone, and for a variant that no part has.
    """
    below: dict[str, list[str]] = {}
    for path in names:
        part, _, file = path.rpartition("/")
        below.setdefault(part, []).append(file)
    parts = {part: below[part] for part in _parts(index) if part in below}
    found: set[str | None] = set()
    for part, files in parts.items():
        if CONFIG in files:  # it is a model
            check_weights(files, f"{name} has {part}/", f"of {part}")
        found |= {*by_variant(files)}
    if variant is not None and variant not in found:
        there = ", ".join(sorted(kind for kind in found if kind is not None))
        raise AstrogateError(f"{name} has no variant {variant!r}", f"choose {there}" if there else "leave it out")
    top = [file for file in below.get("", ()) if file in (INDEX, *_OWN)]
    ours = [f"{part}/{file}" for part, files in parts.items() for file in part_files(files, variant, part)]
    return [*top, *_code(below, index), *ours]


def _code(below: Mapping[str, Iterable[str]], index: Mapping[str, Any]) -> list[str]:
    """The modules that diffusers looks for: by a part's library, and by the pipeline that nobody asked for."""
    wanted = {part: f"{told[0]}.py" for part, told in index.items() if isinstance(told, list) and told}
    named = {"": "None.py", **wanted}.items()
    return [f"{part}/{file}".lstrip("/") for part, file in named if file in below.get(part, ())]


def part_files(files: Collection[str], variant: str | None = None, part: str = "") -> list[str]:
    """Of the files of one part, those that are opened; a tokenizer's where it is called so, or stands alone."""
    chosen, weights = chosen_weights(files, variant)
    reads = TEXTS if not part or "tokenizer" in part or "processor" in part else (".json",)
    small = {file for file in files if file.endswith(reads) and not _INDEX.search(file)}
    if all("-of-" in file for file in weights):
        small |= {file for file in files if (found := _SHARDS.fullmatch(file)) and found["variant"] == chosen}
    return sorted({*small, *weights, *({"codebook.safetensors"} & set(files))})


def check_weights(files: Iterable[str], has: str, of: str) -> None:
    """Raise AstrogateError for a part of which there are pickled weights alone; it `has` a file, and none `of` it."""
    weights = sorted(file for file in files if file.endswith(_PICKLED) or _WEIGHTS.fullmatch(file))
    if weights and not any(map(_WEIGHTS.fullmatch, weights)):
        raise AstrogateError(
            f"{has}{weights[0]}, and no safetensors {of}",
            "convert it to safetensors, or name a revision or a repository that has them; it is never opened",
        )


def chosen_weights(files: Iterable[str], variant: str | None = None) -> tuple[str | None, list[str]]:
    """The variant of a part that is opened, and its files: the one asked for if it is there, else the plain one."""
    kinds = by_variant(files)
    indexes = {found["variant"] for file in files if (found := _SHARDS.fullmatch(file))}
    if variant in kinds:
        chosen = variant
    elif None in kinds or not kinds:
        chosen = None
    else:
        chosen = min(kinds, key=lambda kind: (_WIDER.index(kind) if kind in _WIDER else len(_WIDER), str(kind)))
    weights = kinds.get(chosen, [])
    whole, shards = ([file for file in weights if ("-of-" in file) is sharded] for sharded in (False, True))
    # Of both, diffusers opens the shards, and transformers the whole file.
    first = shards if chosen in indexes and not any(file.startswith("model") for file in whole) else whole
    return chosen, first or shards


def listed(folder: Path) -> list[str]:
    """The files of a folder and of the folders in it, by their paths in it.

    Raises AstrogateError for one that holds too many to be a checkpoint's.
    """
    found: list[str] = []
    for path in _inside(folder):
        found += [f"{path.name}/{file.name}" for file in _inside(path)] or [path.name]
        if len(found) > _FILES:
            break
    if len(found) > _FILES:
        raise AstrogateError(f"{folder} holds more than {_FILES:,} files", "name the folder of one checkpoint")
    return found


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder; nothing in what is none, or can't be read."""
    try:
        return list(islice(folder.iterdir(), _FILES + 1))
    except OSError:
        return []


def by_variant(files: Iterable[str]) -> dict[str | None, list[str]]:
    """The weights of a part by their variant."""
    kinds: dict[str | None, list[str]] = {}
    for file in sorted(files):
        if found := _WEIGHTS.fullmatch(file):
            kinds.setdefault(found["a"] or found["b"], []).append(file)
    return kinds


def _parts(index: Mapping[str, Any]) -> list[str]:
    """The folders of the parts that are loaded of a checkpoint with an index."""
    row = next((row for row in families() if index.get("_class_name") in row.pipelines), None)
    if isinstance(row, Family):
        told = {part: value for part, value in index.items() if isinstance(value, list) and part not in row.loading}
        return [part for part, value in told.items() if not part.startswith("_") and value != [None, None]]
    rows = [row] if row is not None else families()
    names = {part for row in rows if isinstance(row, StackFamily) for part in row.parts}
    return sorted({*names, *(part.removeprefix("prior_") for part in names)})
