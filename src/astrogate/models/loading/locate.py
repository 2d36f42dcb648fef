"""Where a model lies: the shipped ones, a diffusers folder, a hub id (`owner/name[@revision]`)."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from astrogate.core.errors import AstrogateError
from astrogate.core.files import is_folder
from astrogate.models.loading.hub import download
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


def locate(name: str, offline: bool = False) -> tuple[Path, str]:
    """The folder of `name`, after checking that it is safe, and the name with a hub id's exact revision."""
    folder = home(name)
    if is_folder(folder):
        check_folder(folder)
        return folder, name
    if is_unclip(name):
        raise AstrogateError(f"the weights of {name} are not in this package", "train them, or name another checkpoint")
    repo, _, revision = name.partition("@")
    if repo.count("/") != 1 or repo.startswith((".", "/", "~")) or repo.endswith("/"):
        raise AstrogateError(
            f"unknown model {name[:200]!r}",
            f'use "{SHIPPED}", a diffusers folder, or a hub id "owner/name"',
        )
    path = download(repo, revision or None, offline)
    return path, f"{repo}@{path.name}"
