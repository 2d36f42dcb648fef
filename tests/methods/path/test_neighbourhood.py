"""Laws of neighbourhoods: distance 0 is the point itself, every distance is noise, every way another."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.seeds import generator
from astrogate.methods.path.neighbourhood import neighbourhood


def test_a_neighbourhood_stays_noise(tiny: Model) -> None:
    a = tiny.point("a dog", seed=1)
    a = replace(a, tensors={**a.tensors, "latents": torch.randn((4, 64, 64), generator=generator(1))})
    near = neighbourhood(a, (0.0, 0.1, 1.0), ways=2, seed=1)
    assert near[0] is a
    assert near[3] is a
    for p, e in zip(near, (0.0, 0.1, 1.0) * 2, strict=True):
        z = p.tensors["latents"]
        assert float(z.std()) == pytest.approx(1, abs=0.02)
        assert float((z * a.tensors["latents"]).mean()) == pytest.approx((1 + e * e) ** -0.5, abs=0.02)
    assert not torch.equal(near[1].tensors["latents"], near[4].tensors["latents"])
    plain = neighbourhood(a, (0.5,), ways=1, normalised=False)[0]
    assert float(plain.tensors["latents"].std()) == pytest.approx(1.25**0.5, abs=0.02)
    with pytest.raises(AstrogateError, match="from 0 on"):
        neighbourhood(a, (-0.1,))
