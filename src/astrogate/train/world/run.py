"""Train Menagerie's stack, stage by stage, in a folder of its own; an interrupted run goes on where it stopped.

Every stage leaves the folder `RUN/NAME`, whole or not at all, and is skipped when it is there. With `start`, what the
run misses comes from the shipped weights: stages that are not asked for count as finished, the others start from
there. `packing.assemble` turns a run into the folder that ships.
"""

from __future__ import annotations

import json
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.packages import need
from astrogate.menagerie.captions import WORDS
from astrogate.models.loading.checks import digest
from astrogate.train.kit.stages import TRAINED_ON, keep_stage
from astrogate.train.world.packing import NEEDS, needed
from astrogate.train.world.presets import Preset
from astrogate.train.world.stages import STAGES, Stage, shipped_part
from astrogate.train.world.tokenizer import build_tokenizer
from astrogate.train.world.world_data import MAX_LENGTH, world_data


def train_menagerie(
    preset: Preset, run: Path, *, stages: tuple[str, ...] | None = None, seed: int = 0, start: Path | None = None
) -> None:
    """Run stages, by default all of `STAGES`, into the folder `run`; `start` holds shipped weights to start from.

    Raises AstrogateError for an unknown stage, and for one that needs a part which the run misses.
    """
    chosen = tuple(STAGES) if stages is None else stages
    if unknown := [name for name in chosen if name not in STAGES]:
        raise AstrogateError(f"unknown stage {unknown[0]!r}", f"choose from {', '.join(STAGES)}")
    need("accelerate", "train")
    if start is not None:
        _take_over(run, start, chosen)
    _check_order(run, chosen)
    tokenizer, cores = _tokenizer(run, start), os.cpu_count() or 1
    shown: dict[str, Any] = {"size": preset.size, "seed": 1, "captions": 6, "tokenizer": tokenizer}
    data = world_data(run / "data", preset.pictures, **shown, workers=cores)
    for name, train in STAGES.items():
        if name in chosen and not (run / name).exists():
            torch.manual_seed(seed)
            train(Stage(name, preset, run, data, tokenizer, seed, start))


def _take_over(run: Path, start: Path, stages: tuple[str, ...]) -> None:
    """Copy what is not to be trained from the shipped weights, where the run has none of its own.

    A student goes with its U-Net alone. Each part comes with the record of what it was trained on.
    """
    card = json.loads((start / "card.json").read_text())
    for name in ("vae", "clip", "unet", "oracle", "tokenizer", "vae_decoder", "student"):
        asked, there = name in stages or (name == "tokenizer" and "clip" in stages), shipped_part(start, name)
        if asked or (run / name).exists() or not there.is_dir():
            continue
        trained_on = card["trained_on"].get("vae" if name == "vae_decoder" else name, {})
        record = {need: trained_on[need] for need in NEEDS.get(name, ()) if need in trained_on}
        if name == "student":
            unet = needed(run, name, "unet")
            if {"unet", "patterns"} & {*stages} or digest(unet) != record["unet"]:
                continue
        keep_stage(run, name, partial(shutil.copytree, there, dirs_exist_ok=True), record)


def _tokenizer(run: Path, start: Path | None) -> Any:
    """The tokenizer of the run's CLIP, or of the one that it starts from; a new one where there is neither."""
    from transformers import CLIPTokenizer

    homes = [home / "tokenizer" for home in (run, start) if home is not None]
    there = next((home for home in homes if home.is_dir()), None)
    return build_tokenizer(WORDS, max_length=MAX_LENGTH) if there is None else CLIPTokenizer.from_pretrained(there)


def _check_order(run: Path, stages: tuple[str, ...]) -> None:
    for folder in (run / name for name in (*STAGES, "tokenizer")):
        if folder.is_dir() and any(folder.iterdir()) and not (folder / TRAINED_ON).exists():
            raise AstrogateError(f"{folder} is no stage of a training", "name another folder for this run")
    for name in stages:
        for part in NEEDS.get(name, ()):
            if part not in stages and not (run / part).exists():
                raise AstrogateError(
                    f"stage {name} needs {part}, which {run} misses", f"train {part}, too, or start from a whole model"
                )
