"""Laws of text diffs."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.image.diff import diff
from astrogate.models.sampler.edits import plain
from astrogate.models.unclip.adapter import UnCLIP


def turned(point: Point, edit: Edit, theta: float) -> torch.Tensor:
    """The embedding that the decoder is given."""
    (steer,) = point.apply(edit, theta).steers
    added = plain(steer, point.tensors)
    return point.tensors["image_embeds"] + added.scale * added.vectors["image_embeds"]


def test_a_text_diff_turns_on_the_sphere(stack: UnCLIP, encoded: list[Point]) -> None:
    point, (before, after) = encoded[0], ("a dog", "a cat")
    z = point.tensors["image_embeds"]
    assert point.apply(diff(stack, before, after), 0.0) is point
    z_t0, z_t = stack.embed_text([before, after])
    difference = (z_t - z_t0) / (z_t - z_t0).norm()
    for base, goal in ((before, difference), ("", z_t)):
        edit = diff(stack, base, after)
        assert torch.allclose(turned(point, edit, 1.0), goal, atol=1e-6)
        part = turned(point, edit, 0.4)
        assert float(part.norm()) == pytest.approx(1, abs=1e-5)
        angle = torch.acos((part @ z).clamp(-1, 1)) / torch.acos((goal @ z).clamp(-1, 1))
        assert float(angle) == pytest.approx(0.4, abs=1e-4)
        assert edit.origin == {"method": "diff", "before": base, "after": after}


def test_a_text_diff_draws_the_turned_embedding(stack: UnCLIP, encoded: list[Point]) -> None:
    """The edit in the denoiser does what another embedding of the point would."""
    point, edit, recipe = encoded[0], diff(stack, "a dog", "a cat"), Recipe(3)
    moved = replace(point, tensors={**point.tensors, "image_embeds": turned(point, edit, 0.4)})
    drawn = stack.denoise([point.apply(edit, 0.4), moved, point], recipe)
    assert torch.allclose(drawn[0], drawn[1], atol=1e-4)
    assert not torch.allclose(drawn[0], drawn[2], atol=1e-3)


def test_bad_input_is_named(stack: UnCLIP, encoded: list[Point], tiny: Model) -> None:
    for theta in (-0.1, 1.1, float("nan")):
        with pytest.raises(AstrogateError, match="it goes from 0 to 1"):
            encoded[0].apply(diff(stack, "a dog", "a cat"), theta)
    with pytest.raises(AstrogateError, match="empty"):
        diff(stack, "a dog", " ")
    with pytest.raises(AstrogateError, match="say the same"):
        diff(stack, "a dog", "a dog")
    with pytest.raises(AstrogateError, match="can't draw from an image embedding"):
        diff(tiny, "a dog", "a cat")
