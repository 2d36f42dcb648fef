"""Load a checkpoint: the shipped Menagerie, a diffusers folder, or a hub id (`owner/name`, `owner/name@revision`).

Only safetensors are read; a folder that holds pickled weights or Python files is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model

SHIPPED = "menagerie"
_PICKLED = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}
FAMILIES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline")


def shipped_folder() -> Path:
    """The folder of the shipped model, in stock diffusers format."""
    return Path(str(files("astrogate") / "menagerie" / "weights"))


def load(name: str = SHIPPED, *, device: str | None = None, dtype: str = "float32", offline: bool = False) -> Model:
    """Load a model by name.

    `device` is a torch device (None: a GPU if there is one), `dtype` a torch dtype's name. With `offline`, a hub id
    is looked up in the local cache alone. Raises AstrogateError for what cannot or must not be loaded.
    """
    import torch

    if dtype not in ("float32", "float16", "bfloat16"):
        raise AstrogateError(f"dtype {dtype!r} is unknown", "choose float32, float16 or bfloat16")
    source, options = _locate(name, offline)
    language = frozenset[str]()
    if source.is_dir():
        words = source / "language.json"
        language = frozenset(json.loads(words.read_text())) if words.exists() else language
    pipe = _pipeline(str(source), options | {"torch_dtype": getattr(torch, dtype)}, name)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        pipe = pipe.to(device)
    except (RuntimeError, AssertionError) as error:
        raise AstrogateError(f"device {device!r} is not to be had", "use --device cpu") from error
    from astrogate.models.stable_diffusion import StableDiffusion

    return StableDiffusion(pipe, name, language)


def _locate(name: str, offline: bool) -> tuple[Path, dict[str, Any]]:
    """The folder of `name`, after checking that it is safe, and what from_pretrained needs besides."""
    folder = shipped_folder() if name == SHIPPED else Path(name)
    if not folder.is_dir():
        folder = _from_hub(name, offline)
    index = folder / "model_index.json"
    if not index.exists():
        raise AstrogateError(f"{name} holds no model_index.json", "name a folder that save_pretrained wrote")
    check_folder(folder)
    _check_parts(folder)
    kind = json.loads(index.read_text()).get("_class_name")
    if kind not in FAMILIES:
        raise AstrogateError(f"{name} is a {kind}", "use a checkpoint of Stable Diffusion 1 or 2")
    return folder, {"local_files_only": True}


def _from_hub(name: str, offline: bool) -> Path:
    owner, _, rest = name.partition("/")
    if not owner or not rest or "/" in rest or name.startswith((".", "/", "~")):
        raise AstrogateError(
            f"unknown model {name!r}", f'use "{SHIPPED}", a diffusers folder, or a hub id "owner/name"'
        )
    from huggingface_hub import snapshot_download

    repo, _, revision = name.partition("@")
    wanted = ["*.json", "*.safetensors", "*.txt"]
    try:
        path = snapshot_download(repo, revision=revision or None, allow_patterns=wanted, local_files_only=offline)
    except Exception as error:
        where = "in the local cache" if offline else "on the hub"
        raise AstrogateError(f"{name} was not found {where}", "check the name, or name a local folder") from error
    return Path(path)


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a part's files."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def _check_parts(folder: Path) -> None:
    """Refuse a mixture: where a card says what each part is and was trained on, the parts must be those."""
    card = folder / "card.json"
    if not card.exists():
        return
    content = json.loads(card.read_text())
    found = {name: digest(folder / name) for name in content["parts"] if (folder / name).is_dir()}
    claims = [("card.json", content["parts"]), *content["trained_on"].items()]
    for owner, parts in claims:
        for name, expected in parts.items():
            if found.get(name) != expected:
                raise AstrogateError(
                    f"{folder}: {name} is not the one that {owner} was made for", "restore the matching parts"
                )


def check_folder(folder: Path) -> None:
    """Refuse a folder with pickled weights or Python files. Raises AstrogateError that names the file."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".py":
            raise AstrogateError(
                f"{path} is code in a model folder", "delete it if you trust the rest; it is never run"
            )
        if path.suffix in _PICKLED:
            raise AstrogateError(
                f"{path} may be pickled", "convert it to safetensors and delete it; it is never opened"
            )


@contextmanager
def _quiet() -> Generator[None]:
    """Keep the libraries' progress bars and notes off the screen while a checkpoint loads, and no longer."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    both = (diffusers_logging, transformers_logging)
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in both]
    for log in both:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, (verbosity, bars) in zip(both, before, strict=True):
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()


def _pipeline(source: str, options: dict[str, Any], name: str) -> Any:
    from diffusers import StableDiffusionPipeline

    try:
        with _quiet():
            pipe = StableDiffusionPipeline.from_pretrained(
                source, use_safetensors=True, safety_checker=None, requires_safety_checker=False, **options
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0][:200]
        raise AstrogateError(f"{name} could not be loaded ({first})", "check that the folder is complete") from error
    tokenizer = pipe.tokenizer
    if len(tokenizer) < 3 or tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise AstrogateError(f"{name} has an empty tokenizer", "restore its vocab.json and merges.txt")
    if len(tokenizer) > pipe.text_encoder.config.vocab_size:
        raise AstrogateError(f"{name}: tokenizer and text encoder differ in size", "restore the matching tokenizer")
    return pipe
