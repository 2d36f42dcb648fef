"""A checkpoint of the hub: looked at before anything large is downloaded.

The list of its files and its index come first. What no family draws, what has weights that are pickled alone and what
the disk has no room for is refused by these, and only the files of the families' parts are downloaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError
from astrogate.models.family import Family, StackFamily
from astrogate.models.loading.index import INDEX, family_named, index_of
from astrogate.models.loading.trust import check_folder
from astrogate.models.registry import families

_SPARED = ["*.fp16.*", "*non_ema*", "*.py"]
#: How pickled weights are called.
_PICKLED = (".bin", ".ckpt", ".pt", ".pth", ".msgpack")
#: What the disk keeps free behind a download, in bytes.
_ROOM = 2**30


def download(repo: str, revision: str | None, offline: bool) -> Path:
    """The folder of a repository in the local cache, with all that its family needs.

    With `offline`, and where the hub does not answer, that is what the cache holds. Raises AstrogateError for what is
    not there, and for what is not usable.
    """
    from huggingface_hub import snapshot_download

    name = f"{repo}@{revision}" if revision else repo
    patterns = wanted()
    get = partial(snapshot_download, repo, allow_patterns=patterns, ignore_patterns=_SPARED)
    try:
        seen = not offline and _looked_at(repo, revision, name, patterns)
        folder = Path(get(revision=revision, local_files_only=not seen))
    except AstrogateError:
        raise
    except Exception as error:  # whatever the hub's library raises
        where = "from the local cache" if offline else "from the hub"
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
        raise AstrogateError(
            f"{name} is not available {where} ({reason})", "check the name, or name a local folder"
        ) from error
    check_folder(folder, patterns)
    return folder


def wanted() -> list[str]:
    """Patterns of the files that the families' parts consist of."""
    parts = {"vae", "scheduler", "feature_extractor"}
    for row in families():
        if isinstance(row, Family):
            parts |= {*row.encoders, row.denoiser, *(text.tokenizer for text in row.texts), "tokenizer", "tokenizer_2"}
        elif isinstance(row, StackFamily):
            parts |= {part.removeprefix("prior_") for part in row.parts} | set(row.parts)
    tokenizers = sorted(part for part in parts if "tokenizer" in part)
    others = sorted(part for part in parts if "tokenizer" not in part)
    return [
        *(INDEX, "language.json", "card.json"),
        *(f"{tokenizer}/*" for tokenizer in tokenizers),
        *(f"{part}/{kind}" for part in others for kind in ("*.json", "*.safetensors")),
    ]


def _looked_at(repo: str, revision: str | None, name: str, patterns: list[str]) -> bool:
    """Whether the hub answers. Raises AstrogateError for a repository that can't be used."""
    from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import filter_repo_objects

    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=20)
    except HfHubHTTPError:
        raise
    except Exception:  # whatever says that there is no network, or that none is to be used
        return False
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if INDEX not in sizes:
        raise AstrogateError(f"{name} holds no {INDEX}", "name a repository in the format of diffusers")
    index = index_of(Path(snapshot_download(repo, revision=revision, allow_patterns=[INDEX])), name)
    family_named(index, name)
    files = list(filter_repo_objects(sizes, allow_patterns=patterns, ignore_patterns=_SPARED))
    _check_weights(index, [*sizes], files, name)
    missing = [file for file in files if not isinstance(try_to_load_from_cache(repo, file, revision=info.sha), str)]
    _check_room(sum(sizes[file] for file in missing), name)
    return True


def _check_weights(index: Mapping[str, Any], files: Sequence[str], taken: Sequence[str], name: str) -> None:
    """Raise AstrogateError for a part that has weights, none of which would be downloaded."""
    for part in index:
        weights = [file for file in files if file.startswith(f"{part}/") and file.endswith((*_PICKLED, ".safetensors"))]
        if weights and not any(file.startswith(f"{part}/") and file.endswith(".safetensors") for file in taken):
            raise AstrogateError(
                f"{name} has {weights[0]}, and no safetensors of {part}",
                "name a revision or a repository that has them",
            )


def _check_room(size: int, name: str) -> None:
    """Raise AstrogateError where the disk of the local cache has no room for `size` bytes."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    if size + _ROOM > free:
        raise AstrogateError(
            f"{name} takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {there}",
            "make room, or set HF_HOME to a folder on another disk",
        )
