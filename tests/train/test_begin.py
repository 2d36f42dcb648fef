"""Trainings that start from weights: the same model, a wider one, a text-to-image model's U-Net."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from astrogate.core.errors import AstrogateError
from astrogate.models.loading.locate import shipped_folder
from astrogate.train.kit.begin import begin, begin_decoder, narrowed, weights_of
from astrogate.train.stack.presets import UNCLIP_PRESETS, build_decoder

#: As much of a CLIP as sizes a decoder for the shipped model.
WIDTHS = SimpleNamespace(config=SimpleNamespace(projection_dim=128, text_config=SimpleNamespace(hidden_size=128)))


def decoder(widths: tuple[int, ...]) -> tuple[Any, Any]:
    torch.manual_seed(1)
    unet, projection, _ = build_decoder(replace(UNCLIP_PRESETS["cpu"], decoder=widths), WIDTHS, 16, 4)
    return unet.eval(), projection


def test_the_channels_that_are_kept_are_the_same_everywhere() -> None:
    a, b = torch.randn(64, 5), torch.randn(128, 5)
    both = narrowed(torch.cat([a, b]), torch.Size([144, 5]))
    assert torch.equal(both, torch.cat([narrowed(a, torch.Size([48, 5])), narrowed(b, torch.Size([96, 5]))]))
    heads = torch.arange(128.0).reshape(4, 32)
    assert torch.equal(narrowed(heads.flatten(), torch.Size([96])).reshape(4, 24), narrowed(heads, torch.Size([4, 24])))
    assert torch.equal(narrowed(a, a.shape), a)


def test_a_narrow_copy_of_a_model_keeps_a_part_of_its_channels() -> None:
    wide, narrow = nn.Linear(8, 4), nn.Linear(8, 3)
    begin(narrow, {name: weight.half() for name, weight in wide.state_dict().items()})
    x = torch.randn(5, 8)
    assert torch.allclose(narrow(x), wide(x)[:, :3], atol=1e-3)
    assert narrow.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"weight": torch.zeros(2, 8)}, r"weight is \[2, 8\], not \[3, 8\] or more: start from"),
        ({"weight": torch.zeros(3)}, "weight is"),
        ({"other": torch.zeros(3, 8)}, "none of the weights"),
    ],
)
def test_what_does_not_fit_is_refused(weights: dict[str, torch.Tensor], reason: str) -> None:
    with pytest.raises(AstrogateError, match=reason):
        begin(nn.Linear(8, 3), weights)


def test_a_folder_without_the_part_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AstrogateError, match="has no weights of prior"):
        weights_of(tmp_path, "prior")


@torch.no_grad()
def test_a_decoder_begins_as_the_text_models_unet() -> None:
    """Of the same widths, it draws what that draws without its reader, whatever the picture's embedding."""
    from diffusers import UNet2DConditionModel

    unet, projection = decoder((64, 128, 192))
    begin_decoder(unet, projection, shipped_folder())
    text: Any = UNet2DConditionModel.from_pretrained(shipped_folder() / "unet").float().eval()
    for said in (text.add_embedding.norm2.weight, text.add_embedding.norm2.bias):
        nn.init.zeros_(said)
    x, t, states = torch.randn(2, 4, 16, 16), torch.tensor([10, 700]), torch.randn(2, 32, 128)
    drawn = unet(x, t, states, class_labels=torch.randn(2, 256)).sample
    assert torch.allclose(drawn, text(x, t, states).sample, atol=1e-5)
    assert torch.equal(projection.encoder_hidden_states_proj(states), states)


@torch.no_grad()
def test_a_decoder_begins_as_another_decoder(tmp_path: Path) -> None:
    unet, projection = decoder((16, 32))
    unet.save_pretrained(tmp_path / "decoder")
    projection.save_pretrained(tmp_path / "text_proj")
    others = decoder((16, 32))
    for part in others:
        for parameter in part.parameters():
            parameter.zero_()
    begin_decoder(*others, tmp_path)
    for part, other in zip((unet, projection), others, strict=True):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in part.state_dict().items())
