"""The presets that train Menagerie's stack, stage by stage: data, VAE, CLIP, U-Net, the oracle and its witness.

Every stage leaves `RUN/NAME` in stock format and is skipped when that is there; `resume` starts missing U-Nets from the
shipped weights. `assemble` (see `packing.py`) turns a run into the folder that ships.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from astrogate.menagerie.captions import WORDS
from astrogate.menagerie.factors import CATEGORICAL
from astrogate.menagerie.oracle import OracleNet, save_oracle
from astrogate.train.clip import train_clip
from astrogate.train.data import PictureData
from astrogate.train.loop import Schedule
from astrogate.train.oracle import cache_reconstructions, train_oracle
from astrogate.train.tokenizer import build_tokenizer, save_tokenizer
from astrogate.train.unet import cache_moments, train_unet
from astrogate.train.vae import train_vae
from astrogate.train.world_data import MAX_LENGTH, world_data

STAGES = ("vae", "clip", "unet", "oracle", "witness")


@dataclass(frozen=True, slots=True)
class Preset:
    """Sizes and schedules: `size` in pixels, `vae` widths (one halving between neighbours), pictures and their use."""

    size: int
    pictures: int
    rebuilt: int
    vae: tuple[int, ...]
    schedules: dict[str, Schedule]
    device: str
    workers: int
    compiled: bool = False


PRESETS: dict[str, Preset] = {
    "cpu": Preset(
        size=64,
        pictures=140_000,
        rebuilt=20_000,
        vae=(24, 64, 96),
        schedules={
            "vae": Schedule(
                steps=3_600, batch=16, lr=1e-3, minutes=24, warmup=100, decay=0.5, ema=0.995, weight_decay=0
            ),
            "clip": Schedule(steps=2_200, batch=256, lr=1e-3, minutes=24, warmup=150, decay=0.7, ema=0.99),
            "unet": Schedule(steps=18_000, batch=64, lr=6e-4, minutes=180, warmup=300, decay=0.5, ema=0.999),
            "oracle": Schedule(steps=6_000, batch=96, lr=2e-3, minutes=30, warmup=100, decay=0.7, ema=0.995),
            "witness": Schedule(steps=6_000, batch=96, lr=1e-3, minutes=20, warmup=200, decay=0.7, ema=0.995),
        },
        device="cpu",
        workers=2,
        compiled=True,
    ),
    "cuda": Preset(
        size=128,
        pictures=300_000,
        rebuilt=60_000,
        vae=(24, 48, 64, 96),
        schedules={
            "vae": Schedule(
                steps=9_000, batch=64, lr=1e-3, minutes=5, warmup=100, decay=0.5, ema=0.998, weight_decay=0
            ),
            "clip": Schedule(steps=5_000, batch=1024, lr=1e-3, minutes=4, warmup=300, decay=0.7, ema=0.998),
            "unet": Schedule(steps=60_000, batch=512, lr=1e-3, minutes=9, warmup=500, decay=0.5, ema=0.9995),
            "oracle": Schedule(steps=12_000, batch=256, lr=2e-3, minutes=3, warmup=200, decay=0.7, ema=0.998),
            "witness": Schedule(steps=12_000, batch=256, lr=1e-3, minutes=2, warmup=200, decay=0.7, ema=0.998),
        },
        device="cuda",
        workers=16,
        compiled=True,
    ),
}


def build_vae(preset: Preset) -> Any:
    from diffusers import AutoencoderKL

    stages = len(preset.vae)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * stages,
        up_block_types=("UpDecoderBlock2D",) * stages,
        block_out_channels=preset.vae,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=preset.size,
    )


def build_clip(preset: Preset, tokenizer: Any) -> Any:
    from transformers import CLIPConfig, CLIPModel

    shared = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "projection_dim": 128}
    ids = {
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = {**shared, **ids, "num_hidden_layers": 3, "max_position_embeddings": MAX_LENGTH}
    vision = {**shared, "num_hidden_layers": 4, "image_size": preset.size, "patch_size": preset.size // 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=128))


def build_unet() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(64, 128, 192),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def build_witness(side: int) -> torch.nn.Module:
    """The second reader, of another architecture: a small vision transformer that answers like `OracleNet`."""
    from astrogate.train.witness import Witness

    return Witness(side)


def train_menagerie(
    preset: Preset, run: Path, *, stages: tuple[str, ...] = STAGES, seed: int = 0, start: Path | None = None
) -> None:
    """Run the named stages into the folder `run`; `start` holds weights in stock format to begin the U-Net from."""
    from diffusers import AutoencoderKL
    from transformers import CLIPModel

    tokenizer = build_tokenizer(WORDS, max_length=MAX_LENGTH)
    data = world_data(run / "data", preset.pictures, size=preset.size, seed=1, captions=6, workers=preset.workers)
    todo = [name for name in stages if not (run / name).exists()]
    common: dict[str, Any] = {"folder": run, "seed": seed, "device": preset.device}
    torch.manual_seed(seed)
    if "vae" in todo:
        train_vae(build_vae(preset), data, preset.schedules["vae"], **common).save_pretrained(run / "vae")
    if "clip" in todo:
        clip = build_clip(preset, tokenizer)
        clip = train_clip(clip, data, preset.schedules["clip"], groups=look_alikes(data), **common)
        save_tokenizer(tokenizer, run / "tokenizer")
        clip.save_pretrained(run / "clip")
    if "unet" in todo:
        vae, clip = AutoencoderKL.from_pretrained(run / "vae"), CLIPModel.from_pretrained(run / "clip")
        unet = build_unet() if start is None else type(build_unet()).from_pretrained(start / "unet")
        unet = train_unet(
            unet.float(),
            clip.text_model.float(),
            build_scheduler(),
            data,
            cache_moments(vae.float().to(preset.device), data, device=preset.device),
            preset.schedules["unet"],
            empty=tokenizer("", padding="max_length", return_tensors="pt").input_ids[0],
            compiled=preset.compiled,
            **common,
        )
        unet.save_pretrained(run / "unet")
    if "oracle" in todo or "witness" in todo:
        vae = AutoencoderKL.from_pretrained(run / "vae").float().to(preset.device)
        rebuilt = cache_reconstructions(vae, data, preset.rebuilt, seed=seed, device=preset.device)
        for name in ("oracle", "witness"):
            if name in todo:
                net = OracleNet(preset.size) if name == "oracle" else build_witness(preset.size)
                net = train_oracle(net, data, rebuilt, preset.schedules[name], name=name, **common)
                save_oracle(net, run / name)  # type: ignore[arg-type]


def look_alikes(data: PictureData) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Pictures that share subject and medium are alike."""
    names = list(CATEGORICAL)
    classes = np.asarray(data.arrays["classes"], np.int64)
    subject, medium = classes[:, names.index("subject")], classes[:, names.index("medium")]
    return subject * len(CATEGORICAL["medium"]) + medium
