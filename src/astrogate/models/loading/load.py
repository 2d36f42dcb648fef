"""Load a checkpoint: the shipped Menagerie, a diffusers folder, a single file, a hub id (`owner/name[@revision]`).

Only safetensors are read: what else lies there is left alone, and pickled weights alone are refused.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from warnings import warn

from astrogate.core import archive
from astrogate.core.errors import AstrogateError, AstrogateWarning, reason
from astrogate.core.files import is_file, is_folder
from astrogate.core.packages import check_python, need
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.state import usual
from astrogate.core.values import path_of
from astrogate.models import identity
from astrogate.models.family import Family, Row, StackFamily
from astrogate.models.loading.checks import check_adapters, check_parts, check_scheduler, check_tokenizers, latents_vae
from astrogate.models.loading.index import check_drawn, family_named, index_of
from astrogate.models.loading.locate import (
    SHIPPED,
    check_settings,
    is_shipped,
    is_small,
    is_unclip,
    locate,
    shipped_folder,
)
from astrogate.models.loading.parts import check_classes, check_layers, load_module, modules_of, tokenizers_of
from astrogate.models.loading.quiet import quiet
from astrogate.models.loading.student import as_student, lora_file, parted
from astrogate.models.registry import families, require
from astrogate.models.sampler.loop import check_steps


@usual()
def load(
    name: str | Path = SHIPPED,
    *,
    device: Any = None,
    dtype: Any = "float32",
    offline: bool = False,
    config: str | Path | None = None,
    offload: bool = False,
    prior: str | Path | None = None,
    student: bool = False,
    variant: str | None = None,
) -> Model:
    """Load a model by name.

    `device` is a torch device or its name (None: a CUDA GPU if there is one), `dtype` a torch dtype or its name. With
    `offline`, a hub id is looked up in the local cache alone. A single file needs `config`, a diffusers folder of its
    kind (None: that of the hub). `offload` keeps parts of a large model in main memory until they work, on a GPU.
    `prior` names the checkpoint of the prior where that is one of its own, as Kandinsky's is. With `student`, its
    few-step student draws, which lies in its folder; "NAME+FILE" names one that lies elsewhere. `variant` chooses
    files of another precision, such as "fp16", for the parts that have them (None: the plain ones, or what there is).

    Raises AstrogateError for what cannot or must not be loaded.
    """
    import torch

    check_python()
    name, dtype = _named(name), str(dtype).removeprefix("torch.")
    config, prior = (None if one is None else _named(one) for one in (config, prior))
    if dtype not in ("float32", "float16", "bfloat16"):
        raise AstrogateError(f"dtype {dtype!r} is unknown", "choose float32, float16 or bfloat16")
    for option, value in (("offline", offline), ("offload", offload)):
        if value not in (True, False):
            raise AstrogateError(f"{option} {value!r}", "say True or False")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device is None else device
    try:
        place = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError):
        place = None
    if place is None or place.type == "meta":  # which holds no numbers
        raise AstrogateError(f"the device {str(device)!r} is not available", 'use "cpu"')
    device = str(place)
    name, lora = parted(name, student)
    found, single = getattr(torch, dtype), Path(name) if is_file(name) and not is_shipped(name) else None
    if config is not None and single is None:
        raise AstrogateError(f"config {config} does nothing beside {name}, which is no single file", "leave it out")
    folder = None
    if single is None:
        folder, name = locate(name, offline, variant)
    elif variant is not None:
        raise AstrogateError(f"variant {variant!r} does nothing beside {name}, which is one file", "leave it out")
    second = None if prior is None else locate(prior, offline, drawn=False)[0]
    merged = lora_file(folder, lora, name, own=student) if lora else None
    try:
        if folder is None:
            family, pipe = _single_file(Path(name), config, found, offline, offload)
            language = frozenset[str]()
        else:
            family, language = family_named(index_of(folder, name), name), _language(folder)
            check_parts(folder, shipped_folder())
            _check_offload(family, offload)
            if isinstance(family, StackFamily):
                if merged is not None:
                    raise AstrogateError(f"{name} has no student", "leave it out")
                return _stack(family, folder, second, name, device, found, language, variant)
            assert isinstance(family, Family)
            pipe = _pipeline(family, folder, found, variant, small=is_small(name))
        if prior is not None:
            raise AstrogateError(f"{name} draws without a prior", "leave prior out")
        check_tokenizers(pipe, name)
        check_scheduler(pipe, name)
        check_steps(pipe, family, name)
    except AstrogateError:
        raise
    except Exception as error:  # whatever three libraries raise on files that are not what they should be
        remedy = "check what is installed" if isinstance(error, ImportError) else "check that the folder is complete"
        raise AstrogateError(f"{name} could not be loaded ({reason(error)})", remedy) from error
    if offload:
        if device == "cpu":
            warn("offloading to main memory does nothing on the CPU", AstrogateWarning, stacklevel=3)
        try:
            pipe.enable_model_cpu_offload(device=device)
        except (RuntimeError, AssertionError) as error:
            raise AstrogateError(f"nothing can be offloaded from the device {device!r}", "leave offload out") from error
    else:
        with quiet():  # it says that half precision cannot be drawn with on a CPU
            pipe = pipe.to(device)
    from astrogate.models.adapter import PipelineModel

    own = Recipe() if language else None  # our own world is drawn and measured by it, whatever its family is
    if merged is None:
        return PipelineModel(family, pipe, name, language=language, recipe=own)
    return as_student(PipelineModel(family, pipe, f"{name}+{lora}", language=language, recipe=own), merged)


def _named(name: str | Path) -> str:
    """A model's name as it was written: "./menagerie" is not "menagerie". Raises AstrogateError for no text."""
    path_of(name, "model")
    if not (text := os.fspath(name)).partition("+")[0].strip():
        raise AstrogateError(f"unknown model {text!r}", "name a diffusers folder, a file, a hub id, or menagerie")
    return text


def _stack(
    family: StackFamily,
    folder: Path,
    prior: Path | None,
    name: str,
    device: str,
    dtype: Any,
    language: frozenset[str],
    variant: str | None,
) -> Model:
    """A stack of unCLIP; the shipped one shares parts with the shipped model."""
    from astrogate.models.unclip.load import load_unclip, places_of

    places = places_of(folder, prior)
    if is_unclip(name):
        shipped = shipped_folder()
        shared = dict.fromkeys(("text_encoder", "image_encoder", "feature_extractor"), shipped / "clip")
        small = {"vae": latents_vae(shipped)} if is_small(name) else {}
        places = places_of(shipped) | shared | small | places
    model = load_unclip(family, places, name, language, device, dtype, variant)
    check_tokenizers(SimpleNamespace(**model.stack.parts), name)
    return model


@usual()
def wrap(pipe: Any, name: str = "a pipeline") -> Model:
    """The Model of a diffusers pipeline that you made yourself, with its LoRAs, IP-Adapter and ControlNet.

    Raises AstrogateError for a pipeline of another kind, and for a refiner.
    """
    from astrogate.models.adapter import PipelineModel

    kind, known = type(pipe).__name__, dict[str, Family]()
    for family in families():
        if isinstance(family, Family):
            known |= dict.fromkeys((family.pipelines[0], *family.wraps), family)
    if kind not in known:
        raise AstrogateError(f"a {kind} cannot be wrapped", f"use one of {', '.join(known)}")
    check_drawn(known[kind], pipe.config, name)
    check_scheduler(pipe, name)
    check_steps(pipe, known[kind], name)
    check_tokenizers(pipe, name)
    model = PipelineModel(known[kind], pipe, name)
    check_adapters(model.parts)
    return model


def _language(folder: Path) -> frozenset[str]:
    """The words that a checkpoint knows, empty for all."""
    path = folder / "language.json"
    try:
        words: Any = json.loads(path.read_text()) if path.exists() else []
    except ValueError as error:
        raise AstrogateError(f"{path} is cut off or no JSON ({error})", "restore it") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise AstrogateError(f"{path} is no list of words", "restore it")
    return frozenset[str](words)


def _pipeline(family: Family, folder: Path, dtype: Any, variant: str | None, *, small: bool) -> Any:
    """The pipeline of a folder that the family draws with; `small`: with the autoencoder of its latents."""
    with quiet():
        import diffusers

        kept: dict[str, Any] = {"torch_dtype": dtype, "use_safetensors": True, "local_files_only": True}
        pipeline: Any = getattr(diffusers, family.pipelines[0])
        index = {k: v for k, v in index_of(folder, str(folder)).items() if k not in family.loading}
        if small:
            index = {k: v for k, v in index.items() if k != "vae"}
        parts, readers = modules_of(folder, index, pipeline, dtype, variant), tokenizers_of(folder, index)
        if small:
            parts["vae"] = load_module(diffusers.AutoencoderKL, latents_vae(folder), dtype)
        pipe = pipeline.from_pretrained(folder, **kept, **family.loading, **parts, **dict.fromkeys(readers))
        pipe.register_modules(**readers)
        return pipe


def _check_offload(family: Row, offload: bool) -> None:
    """Raise AbilityError for a family that can't be offloaded, AstrogateError without the package for it."""
    if offload:
        require(family, "offload", remedy="leave offload out")
        need("accelerate", "offload")


def _single_file(path: Path, config: str | None, dtype: Any, offline: bool, offload: bool) -> tuple[Family, Any]:
    """The pipeline of one file with all weights, as the original trainers and most sharing sites write it."""
    if path.suffix != ".safetensors":
        raise AstrogateError(f"{path} may be pickled", "convert it to safetensors; it is never opened")
    if config is not None and is_folder(config):
        check_settings(Path(config))
    with quiet():
        import diffusers
        from diffusers.loaders.single_file_utils import fetch_diffusers_config

        weights, _ = archive.read(path, what="a checkpoint", remedy="download it again", copied=False)
        stored = Counter(
            t.dtype for t in weights.values() if t.dtype.is_floating_point and t.element_size() > 1
        ).most_common(1)
        if config is None:
            config = str(fetch_diffusers_config(weights)["pretrained_model_name_or_path"])
        index: Any = diffusers.DiffusionPipeline.load_config(config, local_files_only=offline)
        check_classes(index, config)
        for settings in Path(config).glob("*/config.json"):
            check_layers(settings, len(weights))
        family = family_named(index, str(path))
        _check_offload(family, offload)
        if not isinstance(family, Family):
            raise AstrogateError(f"{path} is no single file of a pipeline", "name the folder of its parts")
        kind = stored[0][0] if stored else dtype
        pipe = getattr(diffusers, family.pipelines[0]).from_single_file(
            str(path), config=config, torch_dtype=kind, local_files_only=offline, **family.loading
        )
    for name in (*family.encoders, family.denoiser, "vae"):
        part = getattr(pipe, name)
        if part is None or any(tensor.is_meta for tensor in part.state_dict().values()):
            raise AstrogateError(f"{path} lacks weights of {name}", "name the folder of the whole checkpoint")
        identity.digest_of(part)  # of the weights as they are stored
    return family, pipe if kind == dtype else pipe.to(dtype)
