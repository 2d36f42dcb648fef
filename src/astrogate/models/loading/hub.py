"""A checkpoint of the hub: looked at before anything large is downloaded.

The list of its files and its index come first. What no family draws, what has weights that are pickled alone and what
the disk has no room for is refused by these, and only the files that are opened are downloaded.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from glob import escape
from pathlib import Path

from astrogate.core.errors import AstrogateError
from astrogate.core.progress import unseen
from astrogate.models.loading.opened import listed
from astrogate.models.loading.trust import check_folder

#: What the disk keeps free behind a download, in bytes.
_ROOM = 2**30
#: From how many bytes on a download is told.
_TOLD = 10**8
#: Which files of a repository are opened, by a folder that holds its first file, their names, and the repository's.
Opened = Callable[[Path, Sequence[str], str], list[str]]


def download(repo: str, revision: str | None, offline: bool, first: str, opened: Opened) -> Path:
    """The folder of a repository in the local cache, with all files that are opened; `first` is looked at before them.

    With `offline`, and where the hub does not answer, that is what the cache holds. Raises AstrogateError for what is
    not there, and for what is not usable.
    """
    from huggingface_hub import snapshot_download

    name = f"{repo}@{revision}" if revision else repo
    get = partial(snapshot_download, repo, revision=revision)
    try:
        files = None if offline else _looked_at(repo, revision, name, first, opened)
        if files is None:
            folder = Path(get(allow_patterns=[first], local_files_only=True))
            files = opened(folder, listed(folder), name)
        else:
            folder = Path(get(allow_patterns=[escape(file) for file in files]))
    except AstrogateError:
        raise
    except Exception as error:  # whatever the hub's library raises
        where = "from the local cache" if offline else "from the hub"
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
        raise AstrogateError(
            f"{name} is not available {where} ({reason})", "check the name, or name a local folder"
        ) from error
    check_folder(folder, files)
    return folder


def _looked_at(repo: str, revision: str | None, name: str, first: str, opened: Opened) -> list[str] | None:
    """The files of a repository that are opened; None where the hub does not answer.

    Raises AstrogateError for a repository that can't be used.
    """
    from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    try:
        info = HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=20)
    except HfHubHTTPError:
        raise
    except Exception:  # whatever says that there is no network, or that none is to be used
        return None
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if first not in sizes:
        raise AstrogateError(f"{name} holds no {first}", "name a repository in the format of diffusers")
    names = [file for file in sizes if not file.endswith(".py")]  # code stays where it is
    files = opened(Path(snapshot_download(repo, revision=revision, allow_patterns=[first])), names, name)
    missing = [file for file in files if not isinstance(try_to_load_from_cache(repo, file, revision=info.sha), str)]
    _check_room(sum(sizes[file] for file in missing), name)
    return files


def _check_room(size: int, name: str) -> None:
    """Say how many bytes are downloaded, and raise AstrogateError where the disk has no room for them."""
    from huggingface_hub import constants

    cache = Path(constants.HF_HUB_CACHE)
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    told = f"{name} takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free in {there}"
    if size + _ROOM > free:
        raise AstrogateError(told, "make room, or set HF_HOME to a folder on another disk")
    if size >= _TOLD and not unseen():
        sys.stderr.write(f"{told}\n")
