"""With a ControlNet, an IP-Adapter or a LoRA loaded, the laws are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.guidance import guide
from astrogate.models.extras import with_control, with_image
from astrogate.models.loading.load import load, wrap
from astrogate.rendering.render import render
from tests.checkpoints import PROMPT, made, steered

Folders = Callable[[str], Path]
KINDS = {"stable_diffusion": "StableDiffusion", "stable_diffusion_xl": "StableDiffusionXL"}


def picture(seed: int = 0, side: int = 16) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def plain_pipe(folder: Path, kind: str, **parts: Any) -> Any:
    import diffusers

    pipe = getattr(diffusers, kind).from_pretrained(folder, torch_dtype=torch.float32, **parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def controlled(folder: Path, family: str) -> Any:
    """The family's pipeline with a random ControlNet that does not leave the picture alone."""
    from diffusers import ControlNetModel, UNet2DConditionModel

    torch.manual_seed(1)
    unet = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
    net = ControlNetModel.from_unet(unet, conditioning_channels=3).eval()
    for parameter in net.controlnet_down_blocks.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    net.controlnet_cond_embedding = shallow(net)
    return plain_pipe(folder, f"{KINDS[family]}ControlNetPipeline", controlnet=net)


def shallow(net: Any) -> torch.nn.Module:
    """A conditioning embedding for a VAE that halves sides once (the stock one does three times)."""
    return torch.nn.Conv2d(3, net.config.block_out_channels[0], 3, 2, 1)


def draws(pipe: Any, **options: Any) -> np.ndarray:
    generator = [torch.Generator("cpu").manual_seed(5)]
    return np.asarray(
        pipe(
            [PROMPT], num_inference_steps=3, guidance_scale=4.0, generator=generator, height=16, width=16, **options
        ).images[0]
    )


def ours(model: Model, point: Point) -> np.ndarray:
    return np.asarray(next(render(model, point, recipe=Recipe(3))).image)


def held_acts(model: Model, point: Point) -> bool:
    """Whether a hold changes an edited picture, and next to none changes it by next to nothing."""
    free, near, held = (model.denoise([p], Recipe(3)) for p in (point, point.held(1e-9), point.held(1.0, 0.5)))
    return torch.allclose(near, free, atol=1e-4) and not torch.allclose(held, free, atol=1e-3)


@pytest.fixture(params=sorted(KINDS))
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_controlnet(tiny_folders: Folders, family: str) -> None:
    pipe = controlled(tiny_folders(family), family)
    model = wrap(pipe, "controlled")
    bare = made(model, family)
    point = with_control(model, bare, picture(side=24))
    fitted = picture(side=24).resize((16, 16), Image.Resampling.LANCZOS)
    still = ours(model, point.apply(steered(model, point), 0.0))
    assert np.array_equal(still, draws(pipe, image=fitted))
    assert not np.array_equal(still, ours(model, with_control(model, bare, picture(1))))

    grey = picture(side=16).convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    clear = Image.merge("LA", [grey, Image.new("L", grey.size, 255)])
    same = [with_control(model, bare, image).extras["image"] for image in (grey, wide, clear)]
    assert torch.equal(same[0], same[1])
    assert torch.equal(same[0], same[2])

    seen: list[float] = []
    handle = pipe.controlnet.register_forward_hook(
        lambda m, a, k, o: seen.append(float(k["encoder_hidden_states"][1, 0, 0])), with_kwargs=True
    )
    moved = ours(model, point.apply(steered(model, point)))
    handle.remove()
    first = float(point.tensors["prompt_embeds"][0, 0])
    assert seen == pytest.approx([first + 2] * 3, abs=1e-4)
    assert not np.array_equal(still, moved)
    assert not np.array_equal(still, ours(model, point.apply(guide(point, steered(model, point)))))
    assert held_acts(model, point.apply(steered(model, point)))
    for module in (pipe.unet, pipe.controlnet):
        assert not module._forward_pre_hooks
        assert not module._forward_hooks
    with pytest.raises(AstrogateError, match="needs a control image"):
        ours(model, bare)
    with pytest.raises(AstrogateError, match="only some"):
        model.denoise([bare, point], Recipe(2))


@pytest.mark.parametrize("stride", [1, 4])
def test_a_controlnet_of_another_resolution_is_refused(tiny_folders: Folders, family: str, stride: int) -> None:
    pipe = controlled(tiny_folders(family), family)
    pipe.controlnet.controlnet_cond_embedding.stride = (stride, stride)
    model = wrap(pipe, "controlled")
    with pytest.raises(AstrogateError, match=f"a ControlNet for {stride} pixels .* and controlled has 2: use one that"):
        with_control(model, model.point(PROMPT, seed=5), picture())


def test_a_control_image_needs_a_controlnet(tiny: Model) -> None:
    with pytest.raises(AstrogateError, match="no ControlNet"):
        tiny.denoise([with_control(tiny, tiny.point("a dog"), picture())], Recipe(2))
    with pytest.raises(AstrogateError, match="no IP-Adapter"):
        with_image(tiny, tiny.point("a dog"), picture())


def ip_adapter(unet: Any, width: int, images: int) -> dict[str, Any]:
    """Random IP-Adapter weights in the published layout: one pair of matrices an attention with text states."""
    g = torch.Generator().manual_seed(2)
    attention = [m for n, m in unet.named_modules() if n.endswith("attn2")]
    pairs: dict[str, torch.Tensor] = {}
    for i, module in enumerate(attention):
        for part in ("k", "v"):
            shape = module.to_k.weight.shape
            pairs[f"{2 * i + 1}.to_{part}_ip.weight"] = torch.randn(shape, generator=g) * 0.3
    cross = unet.config.cross_attention_dim
    project = {
        "proj.weight": torch.randn(images * cross, width, generator=g),
        "proj.bias": torch.zeros(images * cross),
        "norm.weight": torch.ones(cross),
        "norm.bias": torch.zeros(cross),
    }
    return {"image_proj": project, "ip_adapter": pairs}


def test_an_ip_adapter(tiny_folders: Folders, family: str) -> None:
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(1)
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=4,
        projection_dim=24,
    )  # fmt: skip
    folder = tiny_folders(family)
    pipe = plain_pipe(
        folder,
        f"{KINDS[family]}Pipeline",
        image_encoder=CLIPVisionModelWithProjection(vision).eval(),
        feature_extractor=CLIPImageProcessor(size=16, crop_size=16),
    )
    pipe.load_ip_adapter(
        ip_adapter(pipe.unet, 24, 4), subfolder=None, weight_name="ip-adapter", image_encoder_folder=None
    )
    model = wrap(pipe, "with a picture")
    assert model.fingerprint == load(str(folder), device="cpu").fingerprint
    points = [with_image(model, made(model, family), picture(seed)) for seed in (0, 1)]
    expected = draws(pipe, ip_adapter_image=picture(0))
    assert np.array_equal(ours(model, points[0]), expected)
    assert not np.array_equal(expected, ours(model, points[1]))
    together = [np.asarray(f.image, int) for f in render(model, points, recipe=Recipe(3))]
    assert np.abs(together[0] - expected.astype(int)).max() <= 1
    assert not np.array_equal(together[0], together[1])
    direction = Direction({"end": torch.ones(points[0].tensors["prompt_embeds"].shape[-1])}, model.fingerprint)
    assert not np.array_equal(expected, ours(model, points[0].apply(direction.at(points[0]))))
    assert held_acts(model, points[0].apply(direction.at(points[0])))
    assert not pipe.unet._forward_pre_hooks
    bare = made(model, family)
    with pytest.raises(AstrogateError, match="needs a picture: see `with_image`"):
        model.denoise([bare], Recipe(2))
    with pytest.raises(AstrogateError, match="can't go step by step"):
        model.epsilon([bare], bare.tensors["latents"][None], 1)  # type: ignore[attr-defined]
    with pytest.raises(AstrogateError, match="no IP-Adapter for the picture"):
        load(str(folder), device="cpu").denoise([points[0]], Recipe(2))
    pipe.set_ip_adapter_scale(0)
    with pytest.warns(AstrogateWarning, match="the IP-Adapter of the unet has scale 0: no effect"):
        wrap(pipe, "with a picture")


def test_a_lora(tiny_folders: Folders, family: str) -> None:
    """A direction found without the LoRA is placed with it; the picture without steers is diffusers' own."""
    from peft import LoraConfig

    folder = tiny_folders(family)
    bare = load(str(folder), device="cpu")
    pipe = plain_pipe(folder, f"{KINDS[family]}Pipeline")
    torch.manual_seed(3)
    pipe.unet.add_adapter(LoraConfig(r=2, init_lora_weights=False, target_modules=["to_k", "to_v"]))
    model = wrap(pipe, "with a LoRA")
    assert model.fingerprint == bare.fingerprint
    point = made(bare, family)
    assert np.array_equal(ours(model, point), draws(pipe))
    assert not np.array_equal(ours(model, point), ours(bare, point))
    assert not np.array_equal(ours(model, point), ours(model, point.apply(steered(bare, point))))


def test_other_pipelines_are_not_wrapped() -> None:
    with pytest.raises(AstrogateError, match="cannot be wrapped"):
        wrap(object())


def test_a_refiner_is_refused(tiny_folders: Folders, tmp_path: Path) -> None:
    """By the score that it reads, or by the text encoder that it misses."""
    parts = plain_pipe(tiny_folders("stable_diffusion_xl"), "StableDiffusionXLPipeline").components
    bare: dict[str, Any] = {"text_encoder": None, "tokenizer": None}
    import diffusers

    refiner = diffusers.StableDiffusionXLImg2ImgPipeline(**{**parts, **bare}, requires_aesthetics_score=True)
    refiner.save_pretrained(tmp_path)
    with pytest.raises(AstrogateError, match="is a refiner of Stable Diffusion XL"):
        load(str(tmp_path), device="cpu")
    with pytest.raises(AstrogateError, match="is a refiner of Stable Diffusion XL"):
        wrap(diffusers.StableDiffusionXLPipeline(**{**parts, **bare}))
