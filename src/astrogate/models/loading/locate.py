"""Where a model lies: the shipped ones, a diffusers folder, a hub id (`owner/name[@revision]`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

from astrogate.core.errors import AstrogateError
from astrogate.core.files import is_folder
from astrogate.models.loading.hub import download
from astrogate.models.loading.index import INDEX, family_named, index_of
from astrogate.models.loading.opened import CONFIG, TEXTS, check_weights, files_of, listed, part_files
from astrogate.models.loading.trust import check_folder

#: What ships: the model, and its stack of unCLIP, which shares the model's autoencoder and CLIP.
SHIPPED, UNCLIP_SHIPPED = "menagerie", "menagerie-unclip"
#: The same with the small decoder, 64 px and sooner: studies measure these pictures, people see the others.
SMALL, UNCLIP_SMALL = "menagerie-64", "menagerie-unclip-64"


def shipped_folder() -> Path:
    """The folder of the shipped model, in stock diffusers format."""
    return Path(str(files("astrogate") / "menagerie" / "weights"))


def shipped_unclip() -> Path:
    """The folder of the shipped stack of unCLIP."""
    return Path(str(files("astrogate") / "menagerie" / "unclip"))


def home(name: str) -> Path:
    """The folder of a shipped model, else the path that a name is."""
    if is_unclip(name):
        return shipped_unclip()
    return shipped_folder() if is_shipped(name) else Path(name)


def is_shipped(name: str) -> bool:
    """Whether a name is that of a model that ships, whatever lies in the working folder."""
    return name in (SHIPPED, SMALL) or is_unclip(name)


def is_unclip(name: str) -> bool:
    """Whether a name is that of the shipped stack of unCLIP."""
    return name in (UNCLIP_SHIPPED, UNCLIP_SMALL)


def is_small(name: str) -> bool:
    """Whether a shipped model draws with the small decoder."""
    return name in (SMALL, UNCLIP_SMALL)


def locate(name: str, offline: bool = False, variant: str | None = None, *, drawn: bool = True) -> tuple[Path, str]:
    """The folder of `name`, after checking that it is safe, and the name with a hub id's exact revision.

    `variant` is the precision of the files that are wanted. With `drawn`, a hub id must be of a family that we draw.
    """
    folder = home(name)
    if is_folder(folder):
        check_checkpoint(folder, name, variant)
        return folder, name
    if is_unclip(name):
        raise AstrogateError(f"the weights of {name} are not in this package", "train them, or name another checkpoint")
    repo, revision = _hub_id(name, f'use "{SHIPPED}", a diffusers folder, or a hub id "owner/name"')
    path = download(repo, revision, offline, INDEX, partial(_checkpoint, variant=variant, drawn=drawn))
    return path, f"{repo}@{path.name}"


def locate_part(name: str, what: str, offline: bool = False) -> Path:
    """The folder of a model that is one part, such as a CLIP, by its path or hub id, after checking that it is safe."""
    folder = Path(name)
    if is_folder(folder):
        check_part(folder)
        return folder
    repo, revision = _hub_id(name, f'name a folder of {what} on this machine, or a hub id "owner/name"')
    return download(repo, revision, offline, CONFIG, _part)


def check_checkpoint(folder: Path, name: str = "", variant: str | None = None) -> None:
    """Raise AstrogateError for the folder of a checkpoint that holds what must not be opened."""
    check_folder(folder, _checkpoint(folder, listed(folder), name or str(folder), variant, drawn=False))


def check_part(folder: Path) -> None:
    """Raise AstrogateError for a folder of one part that holds what must not be opened."""
    check_folder(folder, _part(folder, listed(folder), str(folder)))


def check_settings(folder: Path) -> None:
    """Raise AstrogateError for a checkpoint's folder, whose settings alone are read, that must not be opened."""
    names = [name for name in listed(folder) if name.endswith((*TEXTS, ".py")) and ".safetensors" not in name]
    check_folder(folder, _checkpoint(folder, names, str(folder), None, drawn=False))


def _hub_id(name: str, remedy: str) -> tuple[str, str | None]:
    """A hub id's repository and revision. Raises AstrogateError for what is none."""
    repo, _, revision = name.partition("@")
    if repo.count("/") != 1 or repo.startswith((".", "/", "~")) or repo.endswith("/"):
        raise AstrogateError(f"unknown model {name[:200]!r}", remedy)
    return repo, revision or None


def _checkpoint(folder: Path, names: Sequence[str], name: str, variant: str | None, *, drawn: bool) -> list[str]:
    """The files of a checkpoint that are opened, its index being in the folder."""
    index = index_of(folder, name) if drawn or (folder / INDEX).exists() else {}
    if drawn:
        family_named(index, name)
    return files_of(names, index, variant, name)


def _part(folder: Path, names: Sequence[str], name: str) -> list[str]:
    """The files of one part that are opened."""
    files = [file for file in names if "/" not in file]
    check_weights(files, f"{name} has ", "beside it")
    return part_files(files)
