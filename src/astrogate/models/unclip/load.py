"""Read and write stacks of unCLIP part by part.

Diffusers' own loader fails on Karlo's index, and even on what its pipeline saved; the parts are stock and load alone.
A folder may hold the parts of several pipelines of one family, such as Karlo's two: what is there is used.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from astrogate.core.errors import AstrogateError
from astrogate.models.loading.load import OWN, UNCLIP
from astrogate.models.loading.quiet import quiet
from astrogate.models.unclip import families
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.models.unclip.priors import DiffusionPrior
from astrogate.models.unclip.stack import Stack
from astrogate.ops.quantise import Codebook

_TEXT, _VISION = "transformers.CLIPTextModelWithProjection", "transformers.CLIPVisionModelWithProjection"
_TOKENIZER, _PROCESSOR = "transformers.CLIPTokenizer", "transformers.CLIPImageProcessor"
_UNET, _PRIOR, _NOISE = "diffusers.UNet2DConditionModel", "diffusers.PriorTransformer", "diffusers.UnCLIPScheduler"
_PROJECTION = "diffusers.pipelines.deprecated.unclip.text_proj.UnCLIPTextProjModel"
_NORMALIZER = "diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer.StableUnCLIPImageNormalizer"

_KARLO = {
    "decoder": _UNET,
    "text_proj": _PROJECTION,
    "text_encoder": _TEXT,
    "tokenizer": _TOKENIZER,
    "decoder_scheduler": _NOISE,
    "prior": _PRIOR,
    "prior_scheduler": _NOISE,
    "image_encoder": _VISION,
    "feature_extractor": _PROCESSOR,
    "super_res_first": "diffusers.UNet2DModel",
    "super_res_last": "diffusers.UNet2DModel",
    "super_res_scheduler": _NOISE,
}
_KANDINSKY = {
    "unet": _UNET,
    "scheduler": "scheduler",
    "movq": "diffusers.VQModel",
    "prior_prior": _PRIOR,
    "prior_image_encoder": _VISION,
    "prior_text_encoder": _TEXT,
    "prior_tokenizer": _TOKENIZER,
    "prior_scheduler": _NOISE,
    "prior_image_processor": _PROCESSOR,
}
_STABLE = {
    "unet": _UNET,
    "scheduler": "scheduler",
    "vae": "diffusers.AutoencoderKL",
    "tokenizer": _TOKENIZER,
    "text_encoder": "transformers.CLIPTextModel",
    "image_normalizer": _NORMALIZER,
    "image_noising_scheduler": "scheduler",
    "image_encoder": _VISION,
    "feature_extractor": _PROCESSOR,
    "prior": _PRIOR,
    "prior_scheduler": _NOISE,
    "prior_tokenizer": _TOKENIZER,
    "prior_text_encoder": _TEXT,
}
_OURS = {
    "decoder": _UNET,
    "text_proj": _PROJECTION,
    "image_normalizer": _NORMALIZER,
    "scheduler": "diffusers.DDIMScheduler",
    "vae": "diffusers.AutoencoderKL",
    "text_encoder": _TEXT,
    "tokenizer": _TOKENIZER,
    "image_encoder": _VISION,
    "feature_extractor": _PROCESSOR,
    "prior": _PRIOR,
    "prior_scheduler": _NOISE,
    "ar_prior": "transformers.GPT2LMHeadModel",
    "upsampler": "diffusers.UNet2DModel",
    "upsampler_scheduler": "diffusers.DDIMScheduler",
    "upsampler_2": "diffusers.UNet2DModel",
    "upsampler_2_scheduler": "diffusers.DDIMScheduler",
}
#: By the class name of an index: the parts, how many of the first are needed, and what makes a family of them.
_LAYOUTS = {
    "karlo": (_KARLO, 5, families.karlo),
    "kandinsky": (_KANDINSKY, 9, families.kandinsky),
    "stable": (_STABLE, 7, families.stable_unclip),
    "ours": (_OURS, 9, families.ours),
}
_CODEBOOK = "codebook.safetensors"


def places_of(folder: Path, prior: Path | None = None) -> dict[str, Path]:
    """Where each part lies: the folders in `folder`, and those of a prior's pipeline under "prior_" and their name."""
    found = {path.name: path for path in folder.iterdir() if path.is_dir()}
    if prior is None:
        return found
    if not (prior / "prior").is_dir():
        raise AstrogateError(f"{prior} holds no prior", "name the folder of a prior's pipeline, such as Karlo's")
    return found | {f"prior_{path.name}": path for path in prior.iterdir() if path.is_dir()}


def load_unclip(
    kind: str, places: Mapping[str, Path], name: str, language: frozenset[str], device: str, dtype: torch.dtype
) -> UnCLIP:
    """The adapter of the parts in `places`, by an index's class `kind`. Raises AstrogateError where one is lacking."""
    layout = UNCLIP[kind]
    table, needed, make = _LAYOUTS[layout]
    if lacking := [part for part in list(table)[:needed] if part not in places]:
        hint = "name the folder of its prior, too" if layout == "kandinsky" else "restore what is missing"
        raise AstrogateError(f"{name} has no {', '.join(lacking)}", hint)
    if layout != "kandinsky" and "prior_prior" in places:  # a prior's own folder, whoever's: Kandinsky's or Karlo's
        scheduler = places.get("prior_prior_scheduler", places.get("prior_scheduler"))
        places = {**places, "prior": places["prior_prior"]} | ({"prior_scheduler": scheduler} if scheduler else {})
    with quiet():
        parts = {part: _part(places[part], where, device, dtype) for part, where in table.items() if part in places}
        if "ar_prior" in parts:
            parts["codebook"] = _codebook(places["ar_prior"] / _CODEBOOK, parts)
        stack = make(parts)
        _check_widths(stack, name)
        return UnCLIP(stack, name, language)


def _check_widths(stack: Stack, name: str) -> None:
    """Refuse a prior or towers whose embeddings are of another width than those that the decoder draws from."""
    width = int(stack.parts[stack.denoiser].config.get("encoder_hid_dim") or len(stack.missing))
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
    return _part(folder, _OURS[name], "cpu", dtype)


def _part(folder: Path, where: str, device: str, dtype: torch.dtype) -> Any:
    """One part by the class that the table names; for "scheduler" by the one that its own config names."""
    if where == "scheduler":
        config = json.loads((folder / "scheduler_config.json").read_text())
        where = f"diffusers.{config['_class_name']}"
    home, _, name = where.rpartition(".")
    kind: Any = getattr(import_module(home), name)
    if not issubclass(kind, nn.Module):
        return kind.from_pretrained(folder, local_files_only=True)
    typed = {"dtype" if home == "transformers" else "torch_dtype": dtype}
    return kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, **typed).to(device).eval()


def _codebook(path: Path, parts: Mapping[str, Any]) -> tuple[Codebook, torch.Tensor]:
    found = load_file(path)
    edges = found.pop("edges")
    return Codebook(**found, buckets=int(parts["ar_prior"].config.vocab_size) - len(edges) - 1), edges


def save_codebook(codebook: Codebook, edges: torch.Tensor, folder: Path) -> None:
    """Write the symbols' meaning beside the autoregressive prior that speaks them."""
    tensors = {name: getattr(codebook, name) for name in ("mean", "basis", "low", "high")} | {"edges": edges}
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, folder / _CODEBOOK)


def save_unclip(model: UnCLIP, folder: Path) -> None:
    """Write a stack in its family's own layout, which `load` reads again. Raises AstrogateError where there is one."""
    if folder.exists() and any(folder.iterdir()):
        raise AstrogateError(f"{folder} is not empty", "name a new folder")
    fresh = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    parts = model.stack.parts
    for name, part in parts.items():
        if name == "codebook":
            save_codebook(*part, fresh / "ar_prior")
        else:
            part.save_pretrained(fresh / name)
    index = {"_class_name": _index_name(parts)}
    index |= {k: [package_of(v), type(v).__name__] for k, v in parts.items() if k != "codebook"}
    (fresh / "model_index.json").write_text(json.dumps(index, indent=1))
    if model.language:
        (fresh / "language.json").write_text(json.dumps(sorted(model.language)))
    if folder.exists():
        folder.rmdir()
    fresh.rename(folder)


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
