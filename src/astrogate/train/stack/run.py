"""Train a stack of unCLIP, part by part: diffusion prior, autoregressive prior, decoder, upsamplers.

Every part leaves the folder `RUN/NAME` in stock format, whole or not at all, and is skipped when it is there; what was
cut off goes on. Under `accelerate launch` each process has a device of its own and the first one builds the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from astrogate.core.errors import AstrogateError
from astrogate.measure.clip import Clip
from astrogate.models.loading.checks import check_folder, digest
from astrogate.models.loading.load import shipped_folder
from astrogate.models.unclip.conditions import ImageConditions
from astrogate.models.unclip.load import save_codebook
from astrogate.ops.quantise import fit_codebook
from astrogate.train.kit.begin import begin, begin_decoder, weights_of
from astrogate.train.kit.data import PictureData
from astrogate.train.kit.pictures import picture_data
from astrogate.train.kit.stages import TRAINED_ON, keep_stage
from astrogate.train.parts.ar_prior import dot_edges, train_ar_prior
from astrogate.train.parts.decoder import train_decoder
from astrogate.train.parts.embeddings import Embedded, embedded
from astrogate.train.parts.prior import prior_scheduler, train_prior
from astrogate.train.parts.unet import cache_moments
from astrogate.train.parts.upsampler import FACTOR, train_upsampler, upsampler_scheduler
from astrogate.train.stack.presets import (
    UNCLIP_PRESETS,
    UnclipPreset,
    build_ar_prior,
    build_decoder,
    build_prior,
    build_upsampler,
)
from astrogate.train.world.presets import PRESETS, build_scheduler
from astrogate.train.world.world_data import world_data

#: How long processes wait for the first one to build the data.
_PATIENCE = timedelta(hours=12)
PARTS = ("prior", "ar_prior", "decoder", "upsampler", "upsampler_2")


@dataclass(frozen=True, slots=True)
class Source:
    """What a stack is trained on: `pictures` makes the data set of so many pixels a side in a folder.

    `clip` is a CLIPModel folder with its tokenizer, which upsamplers do without, `vae` an AutoencoderKL folder, which
    the decoder alone needs; `size` is the side of the decoder's pictures.
    """

    pictures: Callable[[Path, int], PictureData]
    clip: Path | None
    vae: Path | None
    size: int


def menagerie_source(preset: str) -> Source:
    """The world, at the size of the shipped model, with its CLIP and VAE; `preset` says how many pictures."""
    shipped, cores = shipped_folder(), os.cpu_count() or 1
    size = int(json.loads((shipped / "card.json").read_text())["size"])
    counts = dict(zip((size * FACTOR, size * FACTOR**2), UNCLIP_PRESETS[preset].large, strict=True))

    def pictures(folder: Path, side: int) -> PictureData:
        count = counts.get(side, PRESETS[preset].pictures)
        return world_data(folder, count, size=side, seed=1, captions=6, workers=cores)

    return Source(pictures, shipped / "clip", shipped / "vae", size)


def folder_source(folder: Path, clip: Path | None, vae: Path | None, size: int) -> Source:
    """A folder of pictures, which need captions where there is a `clip`. Raises AstrogateError for weights that must
    not be loaded."""
    for part in (clip, vae):
        if part is not None and not part.is_dir():
            raise AstrogateError(f"there is no folder {part}", "name a folder that save_pretrained wrote")
        if part is not None:
            check_folder(part)
    cores, tokenizer = os.cpu_count() or 1, None if clip is None else _tokenizer(clip)
    return Source(lambda made, side: picture_data(made, folder, tokenizer, size=side, workers=cores), clip, vae, size)


def train_part(
    name: str, source: Source, preset: UnclipPreset, run: Path, *, seed: int = 0, init: Path | None = None
) -> Path:
    """Train one of `PARTS` into `run/NAME` and return that folder; a finished one is kept as it is.

    `init` is a stack's folder, with whose part it begins; a decoder may begin with a text-to-image model's U-Net.
    """
    from accelerate import PartialState

    if name not in PARTS:
        raise AstrogateError(f"there is no part {name!r}", f"choose one of {', '.join(PARTS)}")
    _check(name, source, preset)
    if init is not None:
        check_folder(init)
    known = {"clip": source.clip, "vae": source.vae if name == "decoder" else None}
    known = {} if name.startswith("upsampler") else {k: digest(folder) for k, folder in known.items() if folder}
    if (run / name).exists():
        if json.loads((run / name / TRAINED_ON).read_text()) != known:
            raise AstrogateError(f"{run / name} was trained on another CLIP or VAE", "name another --run")
        return run / name
    torch.manual_seed(seed)
    crew = PartialState(cpu=preset.device == "cpu", timeout=_PATIENCE)
    device, schedule = str(crew.device), preset.schedules[name]

    def of(data: PictureData) -> str:
        """What this training is of; a checkpoint of anything else is refused."""
        sizes = {key: value for key, value in asdict(preset).items() if key not in ("schedules", "device", "large")}
        made = [name, known, sizes, seed, json.loads((data.folder / "done.json").read_text())]
        return json.dumps(made if init is None else [*made, digest(init)])

    def begun(model: Any) -> Any:
        if init is not None:
            begin(model, weights_of(init, name))
        return model

    if name.startswith("upsampler"):
        side = source.size * FACTOR ** (2 if name.endswith("2") else 1)
        with crew.main_process_first():
            data = source.pictures(run / f"data-{side}", side)
        kind = "bsr" if name.endswith("2") else "blur"
        options = {"kind": kind, "folder": run, "seed": seed, "device": device, "name": name, "of": of(data)}
        unet = train_upsampler(begun(build_upsampler(preset, side // FACTOR)), data, schedule, **options)
        return _keep(crew, run, name, (("", unet), ("scheduler", upsampler_scheduler(kind))), known)
    assert source.clip is not None
    with crew.main_process_first():
        data = source.pictures(run / "data", source.size)
        clip = Clip(source.clip, device=device)
        key = digest(source.clip)[:8]
        on = embedded(clip, data, key=key, folder=run, seed=seed, device=device, of=of(data))
    if name == "prior":
        model = train_prior(begun(build_prior(preset, on.clip)), on, schedule)
        return _keep(crew, run, name, (("", model), ("scheduler", prior_scheduler())), known)
    if name == "ar_prior":
        return _train_ar(preset, on, crew, known, begun)
    assert source.vae is not None
    with crew.main_process_first():
        moments = cache_moments(_vae(source.vae, device), data, key=digest(source.vae)[:8], device=device)
    unet, projection, normalizer = build_decoder(preset, on.clip, moments.shape[-1], moments.shape[2])
    if init is not None:
        begin_decoder(unet, projection, init)
    conditions, scheduler = ImageConditions(projection, normalizer), build_scheduler()
    unet, conditions = train_decoder(unet, conditions, scheduler, moments, on, schedule)
    saved = (
        ("", unet),
        ("text_proj", conditions.projection),
        ("image_normalizer", conditions.normalizer),
        ("scheduler", scheduler),
    )
    return _keep(crew, run, name, saved, known)


def _check(name: str, source: Source, preset: UnclipPreset) -> None:
    """Refuse what could not be trained, before any picture is read."""
    upsampler = name.startswith("upsampler")
    halvings, grain = 2 ** (len(preset.upsampler if upsampler else preset.decoder) - 1), 1
    if not upsampler:
        if source.clip is None:
            raise AstrogateError("which CLIP sees the pictures?", "name a CLIPModel folder with --clip")
        config = _config(source.clip, "text_config", "a CLIPModel")
        text, embedding = config["text_config"].get("hidden_size", 512), config.get("projection_dim", 512)
        if text != embedding:
            raise AstrogateError(
                f"a CLIP of text width {text}, embedding {embedding}", "choose one where both are equal"
            )
    if name == "decoder":
        if source.vae is None:
            raise AstrogateError("a decoder draws latents", "name an AutoencoderKL folder with --vae")
        grain = 2 ** (len(_config(source.vae, "block_out_channels", "an AutoencoderKL")["block_out_channels"]) - 1)
    grain *= halvings if name in ("decoder", "upsampler", "upsampler_2") else 1
    if source.size % grain:
        raise AstrogateError(f"pictures of {source.size} pixels", f"choose a --size that {grain} divides")


def _config(folder: Path, needed: str, what: str) -> dict[str, Any]:
    """A model folder's configuration, which has the key `needed`."""
    try:
        found = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise AstrogateError(f"{folder} has no readable config.json", f"name the folder of {what}") from error
    if not isinstance(found, dict) or needed not in found:
        raise AstrogateError(f"{folder} is not {what}", f"name the folder of {what}")
    return found


def _train_ar(
    preset: UnclipPreset, on: Embedded, crew: Any, known: dict[str, str], begun: Callable[[Any], Any]
) -> Path:
    codebook = fit_codebook(on.z, error=0.005, buckets=preset.buckets)
    edges = dot_edges(on, preset.levels)
    model = begun(build_ar_prior(preset, on.clip, len(codebook.basis)))
    model = train_ar_prior(model, codebook, edges, on, preset.schedules["ar_prior"])

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        save_codebook(codebook, edges, folder)

    if crew.is_main_process:
        keep_stage(on.folder, "ar_prior", save, known)
    crew.wait_for_everyone()
    return on.folder / "ar_prior"


def _keep(crew: Any, run: Path, name: str, parts: Sequence[tuple[str, Any]], known: dict[str, str]) -> Path:
    """Save a part with what belongs to it in folders below; the first process does."""

    def save(folder: Path) -> None:
        for below, part in parts:
            part.save_pretrained(folder / below)

    if crew.is_main_process:
        keep_stage(run, name, save, known)
    crew.wait_for_everyone()
    return run / name


def _tokenizer(clip: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(clip)


def _vae(folder: Path, device: str) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(folder, use_safetensors=True).float().to(device).requires_grad_(False)
