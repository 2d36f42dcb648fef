"""Read and write stacks of unCLIP part by part.

Diffusers' own loader fails on Karlo's index, and even on what its pipeline saved; the parts are stock and load alone.
A folder may hold the parts of several pipelines of one family, such as Karlo's two: what is there is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_folder
from astrogate.models.families.astrogate_unclip import FAMILY as OWN_FAMILY
from astrogate.models.families.astrogate_unclip import OWN
from astrogate.models.family import StackFamily
from astrogate.models.loading.parts import load_module
from astrogate.models.loading.quiet import quiet
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.models.unclip.priors import DiffusionPrior
from astrogate.models.unclip.stack import Stack
from astrogate.ops.quantise import Codebook

_CODEBOOK = "codebook.safetensors"
#: Parts of a kind, and the file that names the class of one.
_AUTOENCODERS = ("AutoencoderKL", "AsymmetricAutoencoderKL")
_OWN_CLASS = {"scheduler": "scheduler_config.json", "autoencoder": "config.json"}


def places_of(folder: Path, prior: Path | None = None) -> dict[str, Path]:
    """Where each part lies: the folders in `folder`, and those of a prior's pipeline under "prior_" and their name."""
    found = {path.name: path for path in folder.iterdir() if path.is_dir()}
    if prior is None:
        return found
    if not (prior / "prior").is_dir():
        raise AstrogateError(f"{prior} holds no prior", "name the folder of a prior's pipeline, such as Karlo's")
    return found | {f"prior_{path.name}": path for path in prior.iterdir() if path.is_dir()}


def load_unclip(
    family: StackFamily,
    places: Mapping[str, Path],
    name: str,
    language: frozenset[str],
    device: str,
    dtype: torch.dtype,
    variant: str | None = None,
) -> UnCLIP:
    """The model of the parts in `places`, by its family's row. Raises AstrogateError where one is missing."""
    table = family.parts
    if lacking := [part for part in list(table)[: family.needed] if part not in places]:
        of_prior = any(part.startswith("prior_") for part in lacking)
        hint = "name the folder of its prior, too" if of_prior else "restore what is missing"
        raise AstrogateError(f"{name} has no {', '.join(lacking)}", hint)
    if (
        "prior_prior" not in table and "prior_prior" in places
    ):  # a prior's own folder, whoever's: Kandinsky's or Karlo's
        scheduler = places.get("prior_prior_scheduler", places.get("prior_scheduler"))
        places = {**places, "prior": places["prior_prior"]} | ({"prior_scheduler": scheduler} if scheduler else {})
    with quiet():
        parts = {
            part: _part(places[part], where, device, dtype, variant) for part, where in table.items() if part in places
        }
        if "ar_prior" in parts:
            parts["codebook"] = _codebook(places["ar_prior"] / _CODEBOOK, parts)
        stack = family.make(parts)
        _check_widths(family, stack, name)
        return UnCLIP(family, stack, name, language)


def _check_widths(family: StackFamily, stack: Stack, name: str) -> None:
    """Refuse a prior or towers whose embeddings are of another width than those that the decoder draws from."""
    width = int(stack.parts[family.denoiser].config.get("encoder_hid_dim") or len(stack.missing))
    towers = {"text encoder": stack.towers.text, "image encoder": stack.towers.vision}
    found = {what: tower.config.projection_dim for what, tower in towers.items() if tower is not None}
    prior = stack.priors.get("diffusion")
    if isinstance(prior, DiffusionPrior):
        found["prior"] = prior.model.config.embedding_dim
    for what, other in found.items():
        if other != width:
            raise AstrogateError(
                f"{name} draws from embeddings of {width} dimensions, its {what} makes {other}",
                "load one of the same CLIP",
            )


def own_part(name: str, folder: Path, dtype: torch.dtype) -> Any:
    """One part of a stack of our own by its name, from the folder that holds it."""
    return _part(folder, OWN_FAMILY.parts[name], "cpu", dtype)


def _part(folder: Path, where: str, device: str, dtype: torch.dtype, variant: str | None = None) -> Any:
    """One part by the class that the table names; for one of `_OWN_CLASS` by the one that its own config names."""
    if (config := _OWN_CLASS.get(where)) is not None:
        name = str(json.loads((folder / config).read_text())["_class_name"])
        if where == "autoencoder" and name not in _AUTOENCODERS:
            raise AstrogateError(f"{folder} is a {name}", f"use one of {', '.join(_AUTOENCODERS)}")
        where = f"diffusers.{name}"
    home, _, name = where.rpartition(".")
    kind = getattr(import_module(home), name)
    from_pretrained: Any = kind.from_pretrained
    if not issubclass(kind, nn.Module):
        return from_pretrained(folder, local_files_only=True)
    return load_module(kind, folder, dtype, variant).to(device).eval()


def _codebook(path: Path, parts: Mapping[str, Any]) -> tuple[Codebook, torch.Tensor]:
    fields = ("mean", "basis", "low", "high", "edges")
    found, _ = archive.read(path, tensors=fields, what="a codebook", remedy="restore it")
    edges = found.pop("edges")
    return Codebook(**found, buckets=int(parts["ar_prior"].config.vocab_size) - len(edges) - 1), edges


def save_codebook(codebook: Codebook, edges: torch.Tensor, folder: Path) -> None:
    """Write the symbols' meaning beside the autoregressive prior that speaks them."""
    tensors = {name: getattr(codebook, name) for name in ("mean", "basis", "low", "high")} | {"edges": edges}
    archive.write(folder / _CODEBOOK, tensors)


def save_unclip(model: UnCLIP, folder: Path) -> None:
    """Write a stack in its family's own layout, which `load` reads again. Raises AstrogateError where there is one."""
    if folder.exists() and any(folder.iterdir()):
        raise AstrogateError(f"{folder} is not empty", "name a new folder")
    parts = model.stack.parts
    index = {"_class_name": _index_name(parts)}
    index |= {k: [package_of(v), type(v).__name__] for k, v in parts.items() if k != "codebook"}
    with whole_folder(folder, "model_index.json") as fresh:
        for name, part in parts.items():
            if name == "codebook":
                codebook, edges = part
                save_codebook(codebook, edges, fresh / "ar_prior")
            else:
                part.save_pretrained(fresh / name)
        (fresh / "model_index.json").write_text(json.dumps(index, indent=1))
        if model.language:
            (fresh / "language.json").write_text(json.dumps(sorted(model.language)))


def _index_name(parts: Mapping[str, Any]) -> str:
    """Which of a family's pipelines these are the parts of."""
    if "movq" in parts:
        return "KandinskyV22CombinedPipeline"
    if "decoder_scheduler" in parts:
        return "UnCLIPPipeline" if "prior" in parts else "UnCLIPImageVariationPipeline"
    if "decoder" in parts:
        return OWN
    return "StableUnCLIPPipeline" if "prior" in parts else "StableUnCLIPImg2ImgPipeline"


def package_of(part: Any) -> str:
    """Where an index says that a part's class is: a library, or the pipeline of diffusers that defines it."""
    library, *rest = type(part).__module__.split(".")
    return rest[1] if rest[:1] == ["pipelines"] else library
