"""Train a stack of unCLIP, part by part: diffusion prior, autoregressive prior, decoder, upsamplers.

Every part leaves the folder `RUN/NAME` in stock format, whole or not at all, and is skipped when it is there; what was
cut off goes on. Under `accelerate launch` each process has a device of its own and the first one builds the data.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from astrogate.core.errors import AstrogateError
from astrogate.measure.features import Clip
from astrogate.models.checks import check_folder, digest
from astrogate.models.image_conditions import ImageConditions
from astrogate.models.load import shipped_folder
from astrogate.models.unclip_load import save_codebook
from astrogate.ops.quantise import fit_codebook
from astrogate.train.ar_prior import dot_edges, train_ar_prior
from astrogate.train.data import PictureData
from astrogate.train.decoder import train_decoder
from astrogate.train.embeddings import Embedded, embedded
from astrogate.train.pictures import picture_data
from astrogate.train.presets import PRESETS, build_scheduler
from astrogate.train.prior import prior_scheduler, train_prior
from astrogate.train.stages import keep_stage
from astrogate.train.unclip_presets import (
    UNCLIP_PRESETS,
    UnclipPreset,
    build_ar_prior,
    build_decoder,
    build_prior,
    build_upsampler,
)
from astrogate.train.unet import cache_moments
from astrogate.train.upsampler import FACTOR, train_upsampler, upsampler_scheduler
from astrogate.train.world_data import world_data

#: How long processes wait for the first one to build the data.
_PATIENCE = timedelta(hours=12)
PARTS = ("prior", "ar_prior", "decoder", "upsampler", "upsampler_2")


@dataclass(frozen=True, slots=True)
class Source:
    """What a stack is trained on: `pictures` makes the data set of so many pixels a side in a folder.

    `clip` is a CLIPModel folder with its tokenizer, `vae` an AutoencoderKL folder, which the decoder alone needs;
    `size` is the side of the decoder's pictures.
    """

    pictures: Callable[[Path, int], PictureData]
    clip: Path
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


def folder_source(folder: Path, clip: Path, vae: Path | None, size: int) -> Source:
    """A folder of captioned pictures. Raises AstrogateError for weights that must not be loaded."""
    for part in (clip, vae):
        if part is not None and not part.is_dir():
            raise AstrogateError(f"there is no folder {part}", "name a folder that save_pretrained wrote")
        if part is not None:
            check_folder(part)
    cores = os.cpu_count() or 1
    return Source(
        lambda target, side: picture_data(target, folder, _tokenizer(clip), size=side, workers=cores), clip, vae, size
    )


def train_part(name: str, source: Source, preset: UnclipPreset, run: Path, *, seed: int = 0) -> Path:
    """Train one of `PARTS` into `run/NAME` and return that folder; a finished one is kept as it is."""
    from accelerate import PartialState

    if name not in PARTS:
        raise AstrogateError(f"there is no part {name!r}", f"choose one of {', '.join(PARTS)}")
    if (run / name).exists():
        return run / name
    _check(name, source)
    torch.manual_seed(seed)
    crew = PartialState(cpu=preset.device == "cpu", timeout=_PATIENCE)
    device, schedule = str(crew.device), preset.schedules[name]
    if name.startswith("upsampler"):
        side = source.size * FACTOR ** (2 if name.endswith("2") else 1)
        with crew.main_process_first():
            data = source.pictures(run / f"data-{side}", side)
        kind = "bsr" if name.endswith("2") else "blur"
        unet = build_upsampler(preset, side // FACTOR)
        unet = train_upsampler(unet, data, schedule, kind=kind, folder=run, seed=seed, device=device, name=name)
        saved: Sequence[tuple[str, Any]] = (("", unet), ("scheduler", upsampler_scheduler(kind)))
        return _keep(crew, run, name, saved, {})
    with crew.main_process_first():
        data = source.pictures(run / "data", source.size)
        clip = Clip(source.clip, device=device)
        on = embedded(clip, data, key=digest(source.clip)[:8], folder=run, seed=seed, device=device)
    known = {"clip": digest(source.clip)}
    if name == "prior":
        model = train_prior(build_prior(preset, on.clip), on, schedule)
        return _keep(crew, run, name, (("", model), ("scheduler", prior_scheduler())), known)
    if name == "ar_prior":
        return _train_ar(preset, on, crew, known)
    assert source.vae is not None
    with crew.main_process_first():
        vae = _vae(source.vae, device)
        moments = cache_moments(vae, data, key=digest(source.vae)[:8], device=device)
    unet, projection, normalizer = build_decoder(preset, on.clip, moments.shape[-1], moments.shape[2])
    conditions, scheduler = ImageConditions(projection, normalizer), build_scheduler()
    unet, conditions = train_decoder(unet, conditions, scheduler, moments, on, schedule)
    saved = (
        ("", unet),
        ("text_proj", conditions.projection),
        ("image_normalizer", conditions.normalizer),
        ("scheduler", scheduler),
    )
    return _keep(crew, run, name, saved, {**known, "vae": digest(source.vae)})


def _check(name: str, source: Source) -> None:
    """Refuse what could not be trained, before any picture is read."""
    if name.startswith("upsampler"):
        return
    if name == "decoder" and source.vae is None:
        raise AstrogateError("a decoder draws latents", "name an AutoencoderKL folder with --vae")
    config = json.loads((source.clip / "config.json").read_text())
    width, embedding = config["text_config"].get("hidden_size", 512), config.get("projection_dim", 512)
    if name != "decoder" and width != embedding:
        raise AstrogateError(f"a CLIP of text width {width}, embedding {embedding}", "choose one where they are equal")


def _train_ar(preset: UnclipPreset, on: Embedded, crew: Any, known: dict[str, str]) -> Path:
    codebook = fit_codebook(on.z, error=0.005, buckets=preset.buckets)
    edges = dot_edges(on, preset.levels)
    model = build_ar_prior(preset, on.clip, len(codebook.basis))
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
