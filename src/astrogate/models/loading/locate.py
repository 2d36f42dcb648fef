"""Where a model lies: the shipped ones, a diffusers folder, a hub id (`owner/name[@revision]`)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from astrogate.core.errors import AstrogateError
from astrogate.models.family import Family, StackFamily
from astrogate.models.loading.trust import check_folder
from astrogate.models.registry import families

#: What ships: the model, and its stack of unCLIP, which shares the model's autoencoder and CLIP.
SHIPPED, UNCLIP_SHIPPED = "menagerie", "menagerie-unclip"
#: The same with the small decoder, 64 px and sooner: studies measure these pictures, people see the others.
SMALL, UNCLIP_SMALL = "menagerie-64", "menagerie-unclip-64"
_SPARED = ["*.fp16.*", "*non_ema*", "*.py"]


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
    if _is(folder.is_dir):
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
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(
            repo, revision=revision or None, allow_patterns=_wanted(), ignore_patterns=_SPARED, local_files_only=offline
        )
    except Exception as error:
        where = "from the local cache" if offline else "from the hub"
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
        raise AstrogateError(
            f"{name} is not available {where} ({reason})", "check the name, or name a local folder"
        ) from error
    return Path(path), f"{repo}@{Path(path).name}"


def is_file(name: str) -> bool:
    """Whether a name is that of a file."""
    return _is(Path(name).is_file)


def is_there(name: str) -> bool:
    """Whether a name is that of a file or a folder."""
    return _is(Path(name).exists)


def _is(asked: Callable[[], bool]) -> bool:
    """The answer to a question about a path; no for a name that no path can have, such as one of 300 characters."""
    try:
        return asked()
    except (OSError, ValueError):
        return False


def _wanted() -> list[str]:
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
        *("model_index.json", "language.json", "card.json"),
        *(f"{tokenizer}/*" for tokenizer in tokenizers),
        *(
            f"{part}/{kind}"
            for part in [*others, "scheduler", "feature_extractor"]
            for kind in ("*.json", "*.safetensors")
        ),
    ]
