"""Laws of probing by principal components."""

from __future__ import annotations

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.methods.image.probe import probe
from astrogate.ops.quantise import fit_codebook
from tests.unclip_checkpoints import WIDTH


def test_a_probe_at_full_rank_is_the_picture(encoded: list[Point]) -> None:
    codebook = fit_codebook(torch.randn(200, WIDTH), rank=WIDTH)
    low, full = probe(encoded[0], codebook, [3, WIDTH])
    z = encoded[0].tensors["image_embeds"]
    assert torch.allclose(full.tensors["image_embeds"], z, atol=1e-5)
    seen = codebook.project(z[None], 3)[0]
    assert torch.allclose(low.tensors["image_embeds"], seen / seen.norm(), atol=1e-5)
    for ranks in ([], [0], [WIDTH + 1]):
        with pytest.raises(AstrogateError, match="choose from 1 to"):
            probe(encoded[0], codebook, ranks)


def test_a_point_without_embedding_is_refused(tiny: Model) -> None:
    with pytest.raises(AstrogateError, match="no image embedding"):
        probe(tiny.point("a dog"), fit_codebook(torch.randn(200, WIDTH)), [1])
