"""Train Menagerie's stack, stage by stage: data, VAE, CLIP, U-Net, the oracle and its witness.

Every stage leaves the folder `RUN/NAME`, whole or not at all, and is skipped when it is there. With `start`, what the
run lacks comes from the shipped weights: stages that are not asked for count as finished, those that are begin from
there. `packing.assemble` turns a run into the folder that ships.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from astrogate.core.errors import AstrogateError
from astrogate.menagerie.captions import WORDS
from astrogate.menagerie.factors import CATEGORICAL
from astrogate.menagerie.oracle import OracleNet, save_oracle
from astrogate.models.loading.checks import digest
from astrogate.train.kit.data import PictureData
from astrogate.train.kit.stages import keep_stage
from astrogate.train.parts.clip import train_clip
from astrogate.train.parts.unet import cache_moments, train_unet
from astrogate.train.parts.vae import train_vae
from astrogate.train.world.oracle import cache_reconstructions, train_oracle
from astrogate.train.world.packing import NEEDS
from astrogate.train.world.presets import Preset, build_clip, build_scheduler, build_unet, build_vae
from astrogate.train.world.tokenizer import build_tokenizer, save_tokenizer
from astrogate.train.world.witness import Witness
from astrogate.train.world.world_data import MAX_LENGTH, world_data

STAGES = ("vae", "clip", "unet", "oracle", "witness")


def train_menagerie(
    preset: Preset, run: Path, *, stages: tuple[str, ...] = STAGES, seed: int = 0, start: Path | None = None
) -> None:
    """Run the named stages into the folder `run`; `start` holds shipped weights to go on from."""
    if start is not None:
        _take_over(run, start, stages)
    _check_order(run, stages)
    tokenizer = build_tokenizer(WORDS, max_length=MAX_LENGTH)
    cores = os.cpu_count() or 1
    data = world_data(run / "data", preset.pictures, size=preset.size, seed=1, captions=6, workers=cores)
    common: dict[str, Any] = {"folder": run, "seed": seed, "device": preset.device}
    for name in STAGES:
        if name not in stages or (run / name).exists():
            continue
        torch.manual_seed(seed)
        schedule = preset.schedules[name]
        first = start / name if start is not None and (start / name).is_dir() else None
        if name == "vae":
            vae = train_vae(_begin(build_vae(preset), first), data, schedule, **common)
            _keep(run, name, vae.save_pretrained)
        elif name == "clip":
            clip = _begin(build_clip(preset, tokenizer), first)
            clip = train_clip(clip, data, schedule, groups=look_alikes(data), **common)
            _keep(run, "tokenizer", lambda folder: save_tokenizer(tokenizer, folder))
            _keep(run, name, clip.save_pretrained)
        elif name == "unet":
            unet = _train_unet(preset, run, data, _begin(build_unet(), first), tokenizer, common)
            _keep(run, name, unet.save_pretrained)
        else:
            key = digest(run / "vae")[:8]
            rebuilt = cache_reconstructions(
                _load_vae(run, preset), data, preset.rebuilt, key=key, seed=seed, device=preset.device
            )
            net = OracleNet(preset.size) if name == "oracle" else Witness(preset.size)
            own = common | {"seed": seed + STAGES.index(name)}
            net = train_oracle(net, data, rebuilt, schedule, name=name, **own)
            _keep(run, name, lambda folder, net=net: save_oracle(net, folder))


def _take_over(run: Path, start: Path, stages: tuple[str, ...]) -> None:
    """Copy what is not to be trained from the shipped weights, where the run has none of its own."""
    for name in ("vae", "clip", "unet", "oracle", "tokenizer"):
        asked = name in stages or (name == "tokenizer" and "clip" in stages)
        if not asked and not (run / name).exists() and (start / name).is_dir():
            _keep(run, name, lambda folder, name=name: shutil.copytree(start / name, folder, dirs_exist_ok=True))


def _check_order(run: Path, stages: tuple[str, ...]) -> None:
    for name in stages:
        for part in NEEDS.get(name, ()):
            if part not in stages and not (run / part).exists():
                raise AstrogateError(f"stage {name} needs {part}, which {run} lacks", f"add --stage {part} or --resume")


def _keep(run: Path, name: str, save: Callable[[Path], object]) -> None:
    """Save a stage with the digests of the run's own stages that it was trained on."""
    keep_stage(run, name, save, {need: digest(run / need) for need in NEEDS.get(name, ())})


def _begin(module: Any, folder: Path | None) -> Any:
    """The module as built, or with the weights of `folder`, in float32."""
    return module if folder is None else type(module).from_pretrained(folder).float()


def _load_vae(run: Path, preset: Preset) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL.from_pretrained(run / "vae").float().to(preset.device)


def _train_unet(preset: Preset, run: Path, data: PictureData, unet: Any, tokenizer: Any, common: dict[str, Any]) -> Any:
    from transformers import CLIPModel

    return train_unet(
        unet,
        CLIPModel.from_pretrained(run / "clip").text_model.float(),
        build_scheduler(),
        data,
        cache_moments(_load_vae(run, preset), data, key=digest(run / "vae")[:8], device=preset.device),
        preset.schedules["unet"],
        empty=tokenizer("", padding="max_length", return_tensors="pt").input_ids[0],
        **common,
    )


def look_alikes(data: PictureData) -> list[NDArray[np.int64]]:
    """Two groupings of pictures [n]: alike in medium, scene and colour, and alike in these and the subject."""
    names = list(CATEGORICAL)
    classes = np.asarray(data.arrays["classes"], np.int64)
    column = {name: classes[:, names.index(name)] for name in names}
    coarse = (column["medium"] * 100 + column["scene"]) * 100 + column["colour"]
    return [coarse, coarse * 100 + column["subject"]]
