"""Upsamplers: what they are given, and that a tiny one learns more than its condition shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from astrogate.measure.scores import psnr
from astrogate.models.unclip.upsampling import Upsampler, condition
from astrogate.train.kit.data import PictureData
from astrogate.train.kit.loop import Schedule
from astrogate.train.parts.upsampler import low_of, train_upsampler, upsampler_scheduler


def data(folder: Path, n: int = 64, side: int = 64, seed: int = 0) -> PictureData:
    """Discs of random size and place."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    images = np.empty((n, side, side, 3), np.uint8)
    for i in range(n):
        cx, cy, r = rng.uniform(0.2, 0.8) * side, rng.uniform(0.2, 0.8) * side, rng.uniform(0.1, 0.3) * side
        inside = ((x - cx) ** 2 + (y - cy) ** 2 < r * r)[..., None]
        images[i] = np.where(inside, rng.integers(120, 256, 3), 30)
    return PictureData(folder, {"images": images})


@pytest.mark.parametrize("kind", ["none", "blur", "bsr"])
def test_what_an_upsampler_is_given(kind: str, tmp_path: Path) -> None:
    picture = (data(tmp_path, 2).images(np.arange(2))[0] + 1) / 2
    low = low_of(picture, kind, np.random.default_rng(1))  # type: ignore[arg-type]
    assert low.shape == (3, 16, 16)
    given = condition(low[None], 4)
    assert given.shape == (1, 3, 64, 64)
    assert -1 <= float(given.min()) <= float(given.max()) <= 1
    assert float(((given[0] + 1) / 2 - picture).square().mean()) < 0.02


def test_schedules_are_the_papers() -> None:
    assert upsampler_scheduler("blur").config.beta_schedule == "squaredcos_cap_v2"
    assert upsampler_scheduler("bsr").config.beta_schedule == "linear"


@pytest.mark.slow
def test_a_tiny_upsampler_beats_bicubic_above_its_crop(tmp_path: Path) -> None:
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=16, in_channels=6, out_channels=3, block_out_channels=(16, 32), layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, add_attention=False,
        norm_num_groups=8,
    )  # fmt: skip
    schedule = Schedule(steps=1000, batch=8, lr=4e-3, warmup=20, decay=0.7, ema=0.98)
    unet = train_upsampler(unet, data(tmp_path), schedule, folder=tmp_path, seed=0, device="cpu", corrupted=0.0)
    large = (data(tmp_path, 4, 32, seed=1).images(np.arange(4)) + 1) / 2  # twice the crop, never seen
    small = torch.stack([low_of(picture, "none", np.random.default_rng(0)) for picture in large])
    found = Upsampler(unet, upsampler_scheduler())(small, seeds=range(4), num_inference_steps=10)
    classic = (condition(small, 4) + 1) / 2
    assert found.shape == large.shape
    assert np.median(psnr(found, large)) > np.median(psnr(classic, large))
