"""IP-Adapters of transformers: the laws are the same with a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Recipe
from astrogate.models.extras import with_image
from astrogate.models.loading.load import load, wrap
from astrogate.ops.pixels import to_pixels
from astrogate.rendering.render import render
from tests.checkpoints import PROMPT, SIZE, able, guided, made, row, steered
from tests.models.test_control import picture

Folders = Callable[[str], Path]
FAMILIES = [family for family in able("ip_adapter") if row(family).denoiser == "transformer"]
WIDTH = 24


def flux_adapter(transformer: Any) -> None:
    """Random weights in the published layout: two maps a block of two streams."""
    cross, hidden = transformer.config.joint_attention_dim, transformer.inner_dim
    project = {
        "proj.weight": torch.randn(4 * cross, WIDTH),
        "proj.bias": torch.zeros(4 * cross),
        "norm.weight": torch.ones(cross),
        "norm.bias": torch.zeros(cross),
    }
    maps: dict[str, torch.Tensor] = {}
    for i in range(transformer.config.num_layers):
        for part in ("k", "v"):
            maps[f"{i}.to_{part}_ip.weight"] = torch.randn(hidden, cross)
            maps[f"{i}.to_{part}_ip.bias"] = torch.zeros(hidden)
    transformer._load_ip_adapter_weights({"image_proj": project, "ip_adapter": maps}, low_cpu_mem_usage=False)


def sd3_adapter(transformer: Any) -> None:
    from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
    from diffusers.models.embeddings import IPAdapterTimeImageProjection

    hidden, head = transformer.inner_dim, transformer.config.attention_head_dim
    transformer.image_proj = IPAdapterTimeImageProjection(16, hidden, 16, depth=1, heads=1, num_queries=4)
    transformer.set_attn_processor(
        {
            name: SD3IPAdapterJointAttnProcessor2_0(hidden, hidden, head, timesteps_emb_dim=16, scale=3.0)
            for name in transformer.attn_processors
        }
    )


ADAPTERS = {"flux": flux_adapter, "stable_diffusion_3": sd3_adapter}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pipe(tiny_folders: Folders, family: str) -> Any:
    torch.manual_seed(1)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=4,
        projection_dim=WIDTH,
    )  # fmt: skip
    pipe = diffusers.DiffusionPipeline.from_pretrained(
        tiny_folders(family),
        torch_dtype=torch.float32,
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        feature_extractor=CLIPImageProcessor(size=16, crop_size=16),
    )
    pipe.set_progress_bar_config(disable=True)
    ADAPTERS[family](pipe.transformer)
    return pipe


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_bit_identical_to_diffusers(tiny_folders: Folders, pipe: Any, family: str, scale: float) -> None:
    model, guides = wrap(pipe, "with a picture"), dict[str, Any](guided(family, scale))
    assert model.fingerprint == load(str(tiny_folders(family)), device="cpu").fingerprint
    negative = "a sad cat" if scale > 1 else ""
    bare = made(model, family, negative=negative)
    points = [with_image(model, bare, picture(family, seed)) for seed in (0, 1)]
    expected = pipe(
        prompt=[PROMPT],
        negative_prompt=[negative],
        ip_adapter_image=picture(family),
        num_inference_steps=3,
        generator=[torch.Generator("cpu").manual_seed(5)],
        height=SIZE[family],
        width=SIZE[family],
        output_type="pt",
        **{"guidance_scale": 4.0, **guides},
    ).images
    recipe = Recipe(3, **guides)
    still = next(render(model, [points[0].apply(steered(model, points[0]), 0.0)], recipe=recipe)).image
    assert (torch.from_numpy(to_pixels(expected))[0].numpy() == still).all()
    one, other = (model.denoise([point], recipe) for point in points)
    assert not torch.allclose(one, other, atol=1e-4)
    assert torch.allclose(model.denoise(points, recipe), torch.cat([one, other]), atol=1e-4)
    edited = [point.apply(steered(model, point)) for point in points]
    assert not torch.allclose(model.denoise([edited[0]], recipe), one, atol=1e-3)
    free, near, held = (model.denoise([p], recipe) for p in (edited[0], edited[0].held(1e-9), edited[0].held(1.0, 0.5)))
    assert torch.allclose(near, free, atol=1e-3)
    assert not torch.allclose(held, free, atol=1e-3)
    assert not pipe.transformer._forward_pre_hooks
    with pytest.raises(AstrogateError, match="needs a picture: see `with_image`"):
        model.denoise([bare], recipe)
    with pytest.raises(AstrogateError, match="no IP-Adapter for the picture"):
        load(str(tiny_folders(family)), device="cpu").denoise([points[0]], recipe)
