"""Laws of text diffs."""

from __future__ import annotations

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.methods.image.textdiff import textdiff
from astrogate.models.unclip.adapter import UnCLIP


def test_a_text_diff_turns_on_the_sphere(stack: UnCLIP, encoded: list[Point]) -> None:
    point, (before, after) = encoded[0], ("a dog", "a cat")
    z = point.tensors["image_embeds"]
    assert torch.equal(textdiff(stack, point, before, after, 0.0).tensors["image_embeds"], z)
    z_t0, z_t = stack.embed_text([before, after])
    difference = (z_t - z_t0) / (z_t - z_t0).norm()
    for base, goal in ((before, difference), ("", z_t)):
        full = textdiff(stack, point, base, after, 1.0).tensors["image_embeds"]
        assert torch.allclose(full, goal, atol=1e-6)
        part = textdiff(stack, point, base, after, 0.4)
        assert float(part.tensors["image_embeds"].norm()) == pytest.approx(1, abs=1e-5)
        turned = torch.acos((part.tensors["image_embeds"] @ z).clamp(-1, 1)) / torch.acos((goal @ z).clamp(-1, 1))
        assert float(turned) == pytest.approx(0.4, abs=1e-4)
    assert torch.equal(part.tensors["latents"], point.tensors["latents"])
    assert part.origin["textdiff"] == {"before": "", "after": after, "theta": 0.4}


def test_bad_input_is_named(stack: UnCLIP, encoded: list[Point], tiny: Model) -> None:
    for theta in (-0.1, 1.1, float("nan")):
        with pytest.raises(AstrogateError, match="theta"):
            textdiff(stack, encoded[0], "a dog", "a cat", theta)
    with pytest.raises(AstrogateError, match="empty"):
        textdiff(stack, encoded[0], "a dog", " ", 0.3)
    with pytest.raises(AstrogateError, match="say the same"):
        textdiff(stack, encoded[0], "a dog", "a dog", 0.3)
    with pytest.raises(AstrogateError, match="no image embedding"):
        textdiff(tiny, tiny.point("a dog"), "a dog", "a cat", 0.3)
