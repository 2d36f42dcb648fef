"""Laws of blends."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.methods.image.blend import blend
from astrogate.models.loading.load import load
from astrogate.models.unclip.adapter import UnCLIP
from tests.unclip_checkpoints import WIDTH, kandinsky


def test_blends_reach_both_ends(stack: UnCLIP, encoded: list[Point]) -> None:
    a, b = encoded
    way = blend(a, b)
    assert way(0.0) is a
    assert way(1.0) is b
    z = way(0.3).tensors["image_embeds"]
    assert float(z.norm()) == pytest.approx(1, abs=1e-5)
    expected = 0.7 * a.tensors["latents"].norm() + 0.3 * b.tensors["latents"].norm()
    assert float(way(0.3).tensors["latents"].norm()) == pytest.approx(float(expected), rel=1e-5)
    fixed = blend(a, b, seed=4)
    for u in (0.0, 0.5, 1.0):
        assert torch.equal(fixed(u).tensors["latents"], stack.point_at(z, seed=4).tensors["latents"])
    assert (way(0.5).recipe, fixed(0.5).recipe) == (a.recipe, None)
    assert torch.equal(fixed(1.0).tensors["image_embeds"], b.tensors["image_embeds"])


def test_points_of_two_stacks_do_not_mix(encoded: list[Point], tmp_path: Path) -> None:
    kandinsky(tmp_path)
    other = load(str(tmp_path), device="cpu", prior=str(tmp_path / "prior-pipeline"))
    assert isinstance(other, UnCLIP)
    with pytest.raises(AstrogateError, match="different models"):
        blend(encoded[0], other.point_at(torch.randn(WIDTH)))
