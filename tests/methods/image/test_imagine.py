"""Laws of points from a prior."""

from __future__ import annotations

import torch

from astrogate.methods.image.imagine import imagine
from astrogate.models.unclip.adapter import UnCLIP


def test_priors_make_points(stack: UnCLIP) -> None:
    prompts, seeds = ["a dog", "a fat cat"], [3, 4]
    for kind in ("diffusion", "ar", "none"):
        made = imagine(stack, prompts, seeds=seeds, kind=kind)
        again = stack.imagine(prompts, seeds=seeds, kind=kind)
        for point, prompt, seed, z in zip(made, prompts, seeds, again, strict=True):
            assert torch.equal(point.tensors["image_embeds"], z)
            assert point.origin["prompt"] == prompt
            assert point.seed == seed
    bare, captioned = (imagine(stack, prompts, seeds=seeds, captioned=c)[0].tensors for c in (False, True))
    assert torch.equal(bare["prompt_embeds"], bare["negative_prompt_embeds"])
    assert not torch.equal(bare["prompt_embeds"], captioned["prompt_embeds"])
