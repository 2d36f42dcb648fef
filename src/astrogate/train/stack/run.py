"""Train a stack of unCLIP, part by part: diffusion prior, autoregressive prior, decoder, upsamplers.

Every part leaves the folder `RUN/NAME` in stock format, whole or not at all, and is skipped when it is there; a
training that was cut off resumes. Under `accelerate launch` each process has a device of its own and the first one
builds the data.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.packages import need
from astrogate.models.loading.checks import digest
from astrogate.models.loading.locate import check_checkpoint
from astrogate.models.loading.trust import read_settings
from astrogate.train.kit.stages import TRAINED_ON, keep_stage
from astrogate.train.stack.presets import UnclipPreset
from astrogate.train.stack.recipes import PARTS, Training
from astrogate.train.stack.source import Source

#: How long processes wait for the first one to build the data.
_PATIENCE = timedelta(hours=12)


def train_part(
    name: str, source: Source, preset: UnclipPreset, run: Path, *, seed: int = 0, init: Path | None = None
) -> Path:
    """Train one of `PARTS` into `run/NAME` and return that folder; a finished one is kept as it is.

    `init` is a stack's folder, whose part it starts from; a decoder may start from a text-to-image model's U-Net.
    Raises AstrogateError for an unknown part, a source that it can't be trained on, and a run of something else.
    """
    need("accelerate", "train")
    from accelerate import PartialState

    if name not in PARTS:
        raise AstrogateError(f"there is no part {name!r}", f"choose one of {', '.join(PARTS)}")
    part = PARTS[name]
    part.check(source, preset)
    if init is not None:
        check_checkpoint(init)
    trained_on = {need: digest(source.needed(need)) for need in part.needs}
    if (run / name).exists():
        if read_settings(run / name / TRAINED_ON) != trained_on:
            raise AstrogateError(f"{run / name} was trained on another CLIP or VAE", "name another folder for this run")
        return run / name
    torch.manual_seed(seed)
    crew = PartialState(cpu=preset.device == "cpu", timeout=_PATIENCE)
    save = part.train(Training(name, source, preset, run, seed, init, trained_on, crew))
    if crew.is_main_process:
        keep_stage(run, name, save, trained_on)
    crew.wait_for_everyone()
    return run / name
