"""Load a checkpoint: the shipped Menagerie, a diffusers folder, a single file, a hub id (`owner/name[@revision]`).

Only safetensors are read; a folder that holds pickled weights or Python files is refused.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.models.loading.checks import check_folder, check_parts, check_tokenizers
from astrogate.models.loading.quiet import quiet

SHIPPED = "menagerie"
#: The pipelines that a checkpoint may name, and the one that draws for it here.
FAMILIES = {
    "StableDiffusionPipeline": "StableDiffusionPipeline",
    "StableDiffusionImg2ImgPipeline": "StableDiffusionPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline": "StableDiffusionXLPipeline",
    "StableDiffusion3Pipeline": "StableDiffusion3Pipeline",
    "FluxPipeline": "FluxPipeline",
}
#: The class name in the index of a stack of unCLIP of our own, and by every such name the family.
OWN = "AstrogateUnCLIP"
UNCLIP = {
    "UnCLIPPipeline": "karlo",
    "UnCLIPImageVariationPipeline": "karlo",
    "KandinskyV22Pipeline": "kandinsky",
    "KandinskyV22CombinedPipeline": "kandinsky",
    "StableUnCLIPPipeline": "stable",
    "StableUnCLIPImg2ImgPipeline": "stable",
    OWN: "ours",
}
#: The stack of unCLIP that ships; what it shares with the shipped model is kept there.
UNCLIP_SHIPPED = "menagerie-unclip"
_PARTS = (
    *("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"),
    *("decoder", "movq", "text_proj", "image_normalizer", "image_encoder", "super_res_first", "super_res_last"),
    *("prior", "prior_text_encoder", "prior_prior", "prior_image_encoder", "ar_prior", "upsampler", "upsampler_2"),
)
_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "prior_tokenizer")
_WANTED = [
    "model_index.json",
    *("language.json", "card.json", "*scheduler/*.json", "feature_extractor/*.json", "*image_processor/*.json"),
    *(f"{tokenizer}/*" for tokenizer in _TOKENIZERS),
    *(f"{part}/{kind}" for part in _PARTS for kind in ("*.json", "*.safetensors")),
]
_SPARED = ["*.fp16.*", "*non_ema*", "*.py"]


def shipped_folder() -> Path:
    """The folder of the shipped model, in stock diffusers format."""
    return Path(str(files("astrogate") / "menagerie" / "weights"))


def shipped_unclip() -> Path:
    """The folder of the shipped stack of unCLIP."""
    return Path(str(files("astrogate") / "menagerie" / "unclip"))


def load(
    name: str = SHIPPED,
    *,
    device: str | None = None,
    dtype: str = "float32",
    offline: bool = False,
    config: str | None = None,
    offload: bool = False,
    prior: str | None = None,
) -> Model:
    """Load a model by name.

    `device` is a torch device (None: a CUDA GPU if there is one), `dtype` a torch dtype's name. With `offline`, a hub
    id is looked up in the local cache alone. A single file needs `config`, a diffusers folder of its kind (None: that
    of the hub). `offload` keeps parts of a large model in main memory until they work, on a GPU. `prior` names the
    checkpoint of the prior where that is one of its own, as Kandinsky's is.

    Raises AstrogateError for what cannot or must not be loaded.
    """
    import torch
    from safetensors import SafetensorError

    if dtype not in ("float32", "float16", "bfloat16"):
        raise AstrogateError(f"dtype {dtype!r} is unknown", "choose float32, float16 or bfloat16")
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise AstrogateError(f"device {device!r} is not to be had", "use --device cpu") from error
    found, single = getattr(torch, dtype), Path(name) if Path(name).is_file() else None
    language, folder = frozenset[str](), None
    if single is None:
        folder, name = locate(name, offline)
    second = None if prior is None else locate(prior, offline)[0]
    if folder is None and prior is not None:
        raise AstrogateError(f"{name} draws without a prior", "leave prior out")
    try:
        if folder is None:
            kind, pipe = _single_file(Path(name), config, found, offline)
        else:
            kind, language = _class_name(folder, name), _language(folder)
            check_parts(folder, shipped_folder())
            if prior is not None and kind not in UNCLIP:
                raise AstrogateError(f"{name} draws without a prior", "leave prior out")
            if kind in UNCLIP:
                return _unclip(kind, folder, second, name, device, found, offload)
            kind = _known(kind, name)
            pipe = _pipeline(kind, folder, found)
        check_tokenizers(pipe, name)
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ImportError,
        RuntimeError,
        SafetensorError,
    ) as e:
        reason = (str(e).strip() or type(e).__name__).splitlines()[0][:200]
        raise AstrogateError(f"{name} could not be loaded ({reason})", "check that the folder is complete") from e
    if offload:
        try:
            pipe.enable_model_cpu_offload(device=device)
        except (RuntimeError, AssertionError) as error:
            raise AstrogateError(f"device {device!r} can't be offloaded from", "leave offload out") from error
    else:
        pipe = pipe.to(device)
    return _adapter(kind, pipe, name, language)


def _unclip(kind: str, folder: Path, prior: Path | None, name: str, device: str, dtype: Any, offload: bool) -> Model:
    """A stack of unCLIP; the shipped one shares parts with the shipped model."""
    from astrogate.models.unclip.load import load_unclip, places_of

    if offload:
        raise AstrogateError(f"{name} can't be offloaded", "leave offload out")
    places = places_of(folder, prior)
    if name == UNCLIP_SHIPPED:
        clip = shipped_folder() / "clip"
        shared = dict.fromkeys(("text_encoder", "image_encoder", "feature_extractor"), clip)
        places = places_of(shipped_folder()) | shared | places
    model = load_unclip(kind, places, name, _language(folder), device, dtype)
    check_tokenizers(SimpleNamespace(**model.stack.parts), name)
    return model


#: Pipelines with one condition more that the adapters of their families drive as well.
_WRAPPED = {
    **FAMILIES,
    "StableDiffusionControlNetPipeline": "StableDiffusionPipeline",
    "StableDiffusionXLControlNetPipeline": "StableDiffusionXLPipeline",
}


def wrap(pipe: Any, name: str = "a pipeline") -> Model:
    """The Model of a diffusers pipeline that you made yourself, with its LoRAs, IP-Adapter and ControlNet.

    Raises AstrogateError for a pipeline of another kind.
    """
    kind = type(pipe).__name__
    if kind not in _WRAPPED:
        raise AstrogateError(f"a {kind} cannot be wrapped", f"use one of {', '.join(_WRAPPED)}")
    return _adapter(_WRAPPED[kind], pipe, name, frozenset())


def _adapter(kind: str, pipe: Any, name: str, language: frozenset[str]) -> Model:
    """The adapter of a pipeline; only the one that is needed is imported."""
    if kind == "StableDiffusionXLPipeline":
        from astrogate.models.stable_diffusion_xl import StableDiffusionXL

        return StableDiffusionXL(pipe, name)
    if kind == "StableDiffusion3Pipeline":
        from astrogate.models.stable_diffusion_3 import StableDiffusion3

        return StableDiffusion3(pipe, name)
    if kind == "FluxPipeline":
        from astrogate.models.flux import Flux

        return Flux(pipe, name)
    from astrogate.models.stable_diffusion import StableDiffusion

    return StableDiffusion(pipe, name, language)


def locate(name: str, offline: bool = False) -> tuple[Path, str]:
    """The folder of `name`, after checking that it is safe, and the name with a hub id's exact revision."""
    folder = {SHIPPED: shipped_folder, UNCLIP_SHIPPED: shipped_unclip}.get(name, lambda: Path(name))()
    if folder.is_dir():
        check_folder(folder)
        return folder, name
    if name == UNCLIP_SHIPPED:
        raise AstrogateError(f"the weights of {name} are not in this package", "train them, or name another checkpoint")
    repo, _, revision = name.partition("@")
    if repo.count("/") != 1 or repo.startswith((".", "/", "~")) or repo.endswith("/"):
        raise AstrogateError(
            f"unknown model {name!r}",
            f'use "{SHIPPED}", a diffusers folder, or a hub id "owner/name"',
        )
    from huggingface_hub import snapshot_download

    try:
        path = snapshot_download(
            repo, revision=revision or None, allow_patterns=_WANTED, ignore_patterns=_SPARED, local_files_only=offline
        )
    except Exception as error:
        where = "from the local cache" if offline else "from the hub"
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:120]}"
        raise AstrogateError(
            f"{name} was not had {where} ({reason})", "check the name, or name a local folder"
        ) from error
    return Path(path), f"{repo}@{Path(path).name}"


def _class_name(folder: Path, name: str) -> str:
    """The class that a checkpoint's index names."""
    index = folder / "model_index.json"
    if not index.exists():
        raise AstrogateError(f"{name} holds no model_index.json", "name a folder that save_pretrained wrote")
    return str(json.loads(index.read_text())["_class_name"])


def _language(folder: Path) -> frozenset[str]:
    words = folder / "language.json"
    return frozenset[str](json.loads(words.read_text()) if words.exists() else ())


def _known(kind: str, name: str) -> str:
    if kind not in FAMILIES:
        raise AstrogateError(
            f"{name} is a {kind}", "use a checkpoint of Stable Diffusion 1, 2, XL or 3, of Flux.1, or of unCLIP"
        )
    return FAMILIES[kind]


def _pipeline(kind: str, folder: Path, dtype: Any) -> Any:
    unchecked = {"safety_checker": None, "requires_safety_checker": False} if kind == "StableDiffusionPipeline" else {}
    with quiet():
        import diffusers

        return getattr(diffusers, kind).from_pretrained(
            folder, torch_dtype=dtype, use_safetensors=True, local_files_only=True, **unchecked
        )


def _single_file(path: Path, config: str | None, dtype: Any, offline: bool) -> tuple[str, Any]:
    """The pipeline of one file with all weights, as the original trainers and most sharing sites write it."""
    if path.suffix != ".safetensors":
        raise AstrogateError(f"{path} may be pickled", "convert it to safetensors; it is never opened")
    if config is not None and Path(config).is_dir():
        check_folder(Path(config))
    with quiet():
        import diffusers
        from diffusers.loaders.single_file_utils import fetch_diffusers_config
        from safetensors.torch import load_file

        config = config or str(fetch_diffusers_config(load_file(path))["pretrained_model_name_or_path"])
        index = diffusers.DiffusionPipeline.load_config(config, local_files_only=offline)
        kind = _known(index["_class_name"], str(path))
        unchecked = {"safety_checker": None} if kind == "StableDiffusionPipeline" else {}
        pipe = getattr(diffusers, kind).from_single_file(
            str(path), config=config, torch_dtype=dtype, local_files_only=offline, **unchecked
        )
    return kind, pipe
