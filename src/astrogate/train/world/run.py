"""Train Menagerie's stack, stage by stage: data, VAE, CLIP, U-Net, patterns, oracle, witness, the large decoder.

Every stage leaves the folder `RUN/NAME`, whole or not at all, and is skipped when it is there. With `start`, what the
run misses comes from the shipped weights: stages that are not asked for count as finished, the others start from
there. `packing.assemble` turns a run into the folder that ships.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from astrogate.core.errors import AstrogateError
from astrogate.core.packages import need
from astrogate.menagerie.captions import WORDS
from astrogate.menagerie.factors import CATEGORICAL
from astrogate.menagerie.oracle import OracleNet, load_oracle, save_oracle
from astrogate.models.loading.checks import digest, latents_vae
from astrogate.train.kit.data import PictureData
from astrogate.train.kit.denoising import cache_moments, load_vae
from astrogate.train.kit.loop import Schedule
from astrogate.train.kit.stages import keep_stage
from astrogate.train.parts.clip import train_clip
from astrogate.train.parts.unet import train_unet
from astrogate.train.parts.vae import train_vae
from astrogate.train.parts.vae_decoder import train_vae_decoder
from astrogate.train.world.generated import generated_latents
from astrogate.train.world.oracle import cache_reconstructions, train_oracle
from astrogate.train.world.packing import NEEDS, drawing_unet
from astrogate.train.world.presets import Preset, build_clip, build_large_vae, build_scheduler, build_unet, build_vae
from astrogate.train.world.tokenizer import build_tokenizer, save_tokenizer
from astrogate.train.world.witness import Witness
from astrogate.train.world.world_data import MAX_LENGTH, named_more, world_data


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
            train(_Stage(name, preset, run, data, tokenizer, seed, start))


@dataclass(frozen=True, slots=True, eq=False)
class _Stage:
    """One stage of a run, about to be trained."""

    name: str
    preset: Preset
    run: Path
    data: PictureData
    tokenizer: Any
    seed: int
    start: Path | None

    @property
    def schedule(self) -> Schedule:
        return self.preset.schedules[self.name]

    @property
    def common(self) -> dict[str, Any]:
        """The options that every training takes."""
        return {"folder": self.run, "seed": self.seed, "device": self.preset.device}

    def begun(self, module: Any) -> Any:
        """The module as built, or with the shipped weights that it starts from, in float32."""
        folder = None if self.start is None else _shipped(self.start, self.name)
        return module if folder is None or not folder.is_dir() else type(module).from_pretrained(folder).float()

    def vae(self) -> tuple[Any, str]:
        """The run's VAE and a key for what is cached of it."""
        return load_vae(self.run / "vae", self.preset.device), digest(self.run / "vae")[:8]

    def text_model(self) -> Any:
        """The run's text encoder."""
        from transformers import CLIPModel

        return CLIPModel.from_pretrained(self.run / "clip").text_model.float()

    def empty(self) -> Tensor:
        """The tokens [length] of no caption."""
        return self.tokenizer("", padding="max_length", return_tensors="pt").input_ids[0]

    def keep(self, save: Callable[[Path], object]) -> None:
        """Save the stage's result."""
        _keep(self.run, self.name, save)


def _vae(stage: _Stage) -> None:
    vae = train_vae(stage.begun(build_vae(stage.preset)), stage.data, stage.schedule, **stage.common)
    stage.keep(vae.save_pretrained)


def _clip(stage: _Stage) -> None:
    clip, groups = stage.begun(build_clip(stage.preset, stage.tokenizer)), look_alikes(stage.data)
    clip = train_clip(clip, stage.data, stage.schedule, groups=groups, **stage.common)
    _keep(stage.run, "tokenizer", lambda folder: save_tokenizer(stage.tokenizer, folder))
    stage.keep(clip.save_pretrained)


def _unet(stage: _Stage) -> None:
    _denoiser(stage, stage.begun(build_unet()), stage.data)


def _patterns(stage: _Stage) -> None:
    """The U-Net again, from its weights: captions nearly always name the pattern, and the subject counts for more."""
    data = named_more(stage.data, {"pattern": 0.9}, seed=1, captions=6, tokenizer=stage.tokenizer)
    _denoiser(stage, _unet_of(stage.run / "unet"), data, focus=3.0)


def _denoiser(stage: _Stage, unet: Any, data: PictureData, **options: float) -> None:
    vae, key = stage.vae()
    unet = train_unet(
        unet,
        stage.text_model(),
        build_scheduler(),
        data,
        cache_moments(vae, data, key=key, device=stage.preset.device),
        stage.schedule,
        empty=stage.empty(),
        name=stage.name,
        **options,
        **stage.common,
    )
    stage.keep(unet.save_pretrained)


def _unet_of(folder: Path) -> Any:
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel.from_pretrained(folder, use_safetensors=True)
    return unet.float()


def _vae_decoder(stage: _Stage) -> None:
    (vae, key), (preset, device) = stage.vae(), (stage.preset, stage.preset.device)
    side, count, free = 4 * preset.size, min(preset.large, len(stage.data)), None
    shown: dict[str, Any] = {"size": side, "seed": 1, "captions": 1, "tokenizer": stage.tokenizer}
    large = world_data(stage.run / f"data-{side}", count, **shown, workers=os.cpu_count() or 1)
    unet = drawing_unet(stage.run)
    if unet is not None and (stage.run / "clip").is_dir():
        free = generated_latents(
            stage.data,
            preset.generated,
            _unet_of(unet),
            stage.text_model(),
            build_scheduler(),
            empty=stage.empty(),
            key=f"{digest(unet)[:8]}-{preset.generated}-{stage.seed}",
            seed=stage.seed,
            device=device,
        )
    moments = cache_moments(vae, stage.data, key=key, device=device)
    reader: Any = load_oracle(stage.run / "oracle").net.to(device).requires_grad_(False)
    trained = train_vae_decoder(
        stage.begun(build_large_vae(vae)),
        vae,
        large,
        moments,
        stage.schedule,
        layers=reader.layers,
        generated=free,
        **stage.common,
    )
    stage.keep(trained.save_pretrained)


def _reader(stage: _Stage, *, kind: Callable[[int], nn.Module], offset: int) -> None:
    """A reader of factors; `offset` is added to the seed, so that no two readers are trained alike."""
    (vae, key), (seed, device) = stage.vae(), (stage.seed, stage.preset.device)
    rebuilt = cache_reconstructions(vae, stage.data, stage.preset.rebuilt, key=key, seed=seed, device=device)
    own: dict[str, Any] = stage.common | {"seed": seed + offset}
    net = train_oracle(kind(stage.preset.size), stage.data, rebuilt, stage.schedule, name=stage.name, **own)
    stage.keep(lambda folder: save_oracle(net, folder))


#: The stages in their order, and how each is trained.
STAGES: dict[str, Callable[[_Stage], None]] = {
    "vae": _vae,
    "clip": _clip,
    "unet": _unet,
    "patterns": _patterns,
    "oracle": partial(_reader, kind=OracleNet, offset=3),
    "witness": partial(_reader, kind=Witness, offset=4),
    "vae_decoder": _vae_decoder,
}


def _take_over(run: Path, start: Path, stages: tuple[str, ...]) -> None:
    """Copy what is not to be trained from the shipped weights, where the run has none of its own."""
    for name in ("vae", "clip", "unet", "oracle", "tokenizer", "vae_decoder"):
        asked, there = name in stages or (name == "tokenizer" and "clip" in stages), _shipped(start, name)
        if not asked and not (run / name).exists() and there.is_dir():
            _keep(run, name, lambda folder, there=there: shutil.copytree(there, folder, dirs_exist_ok=True))


def _tokenizer(run: Path, start: Path | None) -> Any:
    """The tokenizer of the run's CLIP, or of the one that it starts from; a new one where there is neither."""
    from transformers import CLIPTokenizer

    homes = [home / "tokenizer" for home in (run, start) if home is not None]
    there = next((home for home in homes if home.is_dir()), None)
    return build_tokenizer(WORDS, max_length=MAX_LENGTH) if there is None else CLIPTokenizer.from_pretrained(there)


def _shipped(start: Path, name: str) -> Path:
    """Where shipped weights hold a stage: the large decoder is their VAE, where there is a small one beside it."""
    small = latents_vae(start)
    large = start / "vae" if small.name != "vae" else start / name
    return {"vae": small, "vae_decoder": large}.get(name, start / name)


def _check_order(run: Path, stages: tuple[str, ...]) -> None:
    for name in stages:
        for part in NEEDS.get(name, ()):
            if part not in stages and not (run / part).exists():
                raise AstrogateError(
                    f"stage {name} needs {part}, which {run} misses", f"train {part}, too, or start from a whole model"
                )


def _keep(run: Path, name: str, save: Callable[[Path], object]) -> None:
    """Save a stage with the digests of the run's own stages that it was trained on."""
    keep_stage(run, name, save, {need: digest(run / need) for need in NEEDS.get(name, ())})


def look_alikes(data: PictureData) -> list[NDArray[np.int64]]:
    """Two groupings of pictures [n]: alike in medium, scene and colour, and alike in these and the subject."""
    names = list(CATEGORICAL)
    classes = np.asarray(data.arrays["classes"], np.int64)
    column = {name: classes[:, names.index(name)] for name in names}
    coarse = (column["medium"] * 100 + column["scene"]) * 100 + column["colour"]
    return [coarse, coarse * 100 + column["subject"]]
