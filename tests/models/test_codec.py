"""Laws of what stands between pictures and latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from astrogate.core.protocols import Model
from astrogate.models.codec import Autoencoder, Folded, Frames, Pixels, codec_of
from astrogate.models.loading.load import load
from tests.checkpoints import FAMILIES, PROMPT, made
from tests.checkpoints.parts import vae

Folders = Callable[[str], Path]
STATISTICS: dict[str, dict[str, Any]] = {
    "scale": {"scaling_factor": 0.5},
    "scale and shift": {"scaling_factor": 0.36, "shift_factor": 0.1},
    "by channel": {"scaling_factor": 0.5, "latents_mean": [1.0, 0, -1, 2], "latents_std": [0.5, 2, 1, 3]},
}


def mirror(**config: Any) -> Any:
    """An autoencoder whose latents are the pixels themselves, with a fourth channel of zeros."""

    def encode(pictures: Tensor) -> Any:
        latents = torch.cat([pictures, torch.zeros_like(pictures[:, :1])], 1)
        posterior = SimpleNamespace(mode=lambda: latents, mean=latents, std=torch.ones_like(latents))
        return SimpleNamespace(latent_dist=posterior)

    return SimpleNamespace(
        config=SimpleNamespace(block_out_channels=(8,), **config),
        dtype=torch.float32,
        encode=encode,
        decode=lambda latents: SimpleNamespace(sample=latents[:, :3]),
    )


@pytest.mark.parametrize("kind", STATISTICS)
def test_encoding_undoes_what_decoding_does(kind: str) -> None:
    coder, pictures = Autoencoder(mirror(**STATISTICS[kind])), torch.rand(2, 3, 4, 4)
    latents = coder.latents(pictures)
    assert torch.allclose(coder.picture(latents), pictures, atol=1e-6)
    means, deviations = coder.moments(pictures)
    assert torch.allclose(means, latents, atol=1e-6)
    scale = coder.latents(pictures) - coder.latents(torch.zeros_like(pictures))
    assert torch.allclose(scale[:, :3], 2 * pictures * deviations[:, :3], atol=1e-5)


def test_a_frame_and_folded_latents_come_back() -> None:
    pictures = torch.rand(2, 3, 4, 4)
    frames = mirror(latents_mean=[1.0, 0, -1, 2], latents_std=[0.5, 2, 1, 3])
    frames.temperal_downsample, frames.spatial_compression_ratio = [], 1
    folded = mirror(patch_size=(2, 2), batch_norm_eps=1e-4)
    folded.bn = torch.nn.BatchNorm2d(16, affine=False)
    folded.bn.running_mean.normal_()
    folded.bn.running_var.uniform_(0.5, 2)
    for coded, kind, shape in ((frames, Frames, (2, 4, 4, 4)), (folded, Folded, (2, 16, 2, 2))):
        coder = codec_of(coded)
        latents = coder.latents(pictures)
        assert (type(coder), latents.shape, coder.factor) == (kind, shape, 4 // shape[-1])
        assert torch.allclose(coder.picture(latents), pictures, atol=1e-6)


def test_flux2_encodes_as_its_pipeline_does(tiny_folders: Folders, pictures: Tensor) -> None:
    model: Any = load(str(tiny_folders("flux2_klein")), device="cpu")
    with torch.no_grad():
        expected = model.pipe._encode_vae_image(2 * pictures - 1, torch.Generator())
        assert torch.equal(model.latents(pictures), expected)


def test_a_real_autoencoder_by_channel(pictures: Tensor) -> None:
    plain = vae(4, scaling_factor=1.0)
    wide = vae(4, scaling_factor=1.0, latents_mean=[0.5] * 4, latents_std=[2.0] * 4)
    wide.load_state_dict(plain.state_dict())
    with torch.no_grad():
        own, other = (Autoencoder(model).latents(pictures) for model in (plain, wide))
        assert torch.allclose(other, (own - 0.5) / 2, atol=1e-5)
        assert torch.allclose(Autoencoder(wide).picture(other), Autoencoder(plain).picture(own), atol=1e-5)


def test_pixels_are_their_own_latents(pictures: Tensor) -> None:
    coder = Pixels(16)
    assert torch.allclose(coder.picture(coder.latents(pictures)), pictures, atol=1e-6)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_text_can_be_differentiated_where_it_is_asked_for(model: Model, family: str) -> None:
    """On the model's own device; without asking, the states are plain and on the CPU."""
    with torch.enable_grad():
        states = model.encode([PROMPT], gradient=True)["prompt_embeds"]
    assert states.requires_grad
    assert states.device == next(model.denoiser.parameters()).device
    plain = model.encode([PROMPT])["prompt_embeds"]
    assert not plain.requires_grad
    assert torch.allclose(plain, states, atol=1e-5)
    assert torch.allclose(plain[0], made(model, family).tensors["prompt_embeds"], atol=1e-5)
