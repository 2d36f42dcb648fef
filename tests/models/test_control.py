"""ControlNets whose pictures go through the autoencoder: the laws are the same as without one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.guidance import guide
from astrogate.models.extras import with_control
from astrogate.models.loading.load import wrap
from astrogate.models.sampler.loop import sampler_generator
from tests.checkpoints import PROMPT, SIZE, able, guided, made, row, steered

Folders = Callable[[str], Path]
FAMILIES = [family for family in able("control") if row(family).encoded_control]


def own(kind: Any, transformer: Any, **options: Any) -> Any:
    """A ControlNet of the transformer's own sizes, with one layer."""
    known = {k: v for k, v in transformer.config.items() if not k.startswith("_")}
    return kind.from_config({**known, **options})


NETS: dict[str, Callable[[Any], Any]] = {
    "flux": lambda t: own(diffusers.FluxControlNetModel, t),
    "qwen_image": lambda t: own(diffusers.QwenImageControlNetModel, t, num_layers=1),
    "stable_diffusion_3": lambda t: own(diffusers.SD3ControlNetModel, t, num_layers=1),
    "z_image": lambda t: diffusers.ZImageControlNetModel(
        [0], [], 4, dim=24, n_refiner_layers=1, n_heads=2, n_kv_heads=2
    ),
}


def controlled(folder: Path, family: str) -> Any:
    """The family's pipeline with a random ControlNet that does not leave the picture alone."""
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    torch.manual_seed(1)
    net = NETS[family](pipe.transformer).eval()
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    kind = getattr(diffusers, row(family).wraps[0])
    made = kind(**pipe.components, controlnet=net)
    made.set_progress_bar_config(disable=True)
    return made


def picture(family: str, seed: int = 0) -> Image.Image:
    shape = SIZE[family], SIZE[family], 3
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pipe(tiny_folders: Folders, family: str) -> Any:
    return controlled(tiny_folders(family), family)


def plain(pipe: Any, family: str, point: Point, image: Image.Image, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """The latents of diffusers' own call, from the point's noise, with the generator of its seed behind that."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution as Encoded

    latents, packing = point.tensors["latents"][None], row(family).packing
    if packing > 1:
        latents = torch.nn.functional.pixel_unshuffle(latents, packing).flatten(2).mT
    drawn = Encoded.sample

    def sample(self: Encoded, generator: Any = None) -> torch.Tensor:
        return drawn(self, [sampler_generator(point)] * len(self.mean) if generator is None else generator)

    monkeypatch.setattr(Encoded, "sample", sample)
    options: dict[str, Any] = {"guidance_scale": 4.0, **row(family).options}
    if argument := row(family).guidance.argument:
        options |= {"negative_prompt": [""], argument: 4.0}
    try:
        return pipe(
            prompt=[PROMPT],
            control_image=image,
            num_inference_steps=3,
            generator=[sampler_generator(point)],
            height=SIZE[family],
            width=SIZE[family],
            latents=latents,
            output_type="latent",
            **options,
        ).images
    finally:
        monkeypatch.undo()


def test_bit_identical_to_diffusers(pipe: Any, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, image = wrap(pipe, "controlled"), picture(family)
    bare = made(model, family)
    point, other = with_control(model, bare, image), with_control(model, bare, picture(family, 1))
    expected, packing = plain(pipe, family, point, image, monkeypatch), row(family).packing
    if packing > 1:
        side = point.tensors["latents"].shape[-1] // packing
        expected = torch.nn.functional.pixel_shuffle(expected.mT.unflatten(2, [side, side]), packing)
    still = model.denoise([point.apply(steered(model, point), 0.0)], Recipe(3))
    assert torch.equal(still, expected)
    assert not torch.equal(still, model.denoise([other], Recipe(3)))
    assert "encode" not in vars(pipe.vae)
    both = model.denoise([other, point], Recipe(3))
    assert torch.allclose(both[1:], still, atol=1e-4)
    with pytest.raises(AstrogateError, match="needs a control image"):
        model.denoise([bare], Recipe(2))


def test_a_controlnet_reads_the_moved_prompt(pipe: Any, family: str) -> None:
    """In the half that it sees; where it is given no pooled text, it is given none."""
    model = wrap(pipe, "controlled")
    point, seen = with_control(model, made(model, family), picture(family)), list[tuple[torch.Tensor, Any]]()

    def note(net: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
        states = kwargs["encoder_hidden_states"] if kwargs.get("encoder_hidden_states") is not None else args[2]
        last = 0 if row(family).guidance.order[0] == "positive" else -1
        seen.append((states[last], kwargs.get("pooled_projections")))

    still = model.denoise([point], Recipe(3))
    handle = pipe.controlnet.register_forward_hook(note, with_kwargs=True)
    edited = point.apply(steered(model, point))
    moved = model.denoise([edited], Recipe(3, **guided(family, 3.0)))
    handle.remove()
    own, zeros = point.tensors["prompt_embeds"], pipe.controlnet.config.get("force_zeros_for_pooled_projection")
    assert len(seen) == 3
    for states, pooled in seen:
        assert torch.allclose(states, own[: len(states)] + 2, atol=1e-4)
        assert not (zeros and pooled.any())
    assert not torch.allclose(still, moved, atol=1e-3)
    for module in (pipe.transformer, pipe.controlnet):
        assert not module._forward_pre_hooks
        assert not module._forward_hooks


def test_guides_and_holds(pipe: Any, family: str) -> None:
    model = wrap(pipe, "controlled")
    point = with_control(model, made(model, family), picture(family))
    edited = point.apply(steered(model, point))
    still, free = (model.denoise([p], Recipe(3)) for p in (point, edited))
    guides = model.denoise([point.apply(guide(point, steered(model, point)))], Recipe(3))
    assert not torch.allclose(guides, still, atol=1e-3)
    near, held = (model.denoise([p], Recipe(3)) for p in (edited.held(1e-9), edited.held(1.0, 0.5)))
    assert torch.allclose(near, free, atol=1e-3)
    assert not torch.allclose(held, free, atol=1e-3)


def test_a_held_picture_moves_with_the_unedited_one_when_the_edit_is_over(pipe: Any, family: str) -> None:
    """By flow from x_1 on: both take the same steps, so that their difference stays what the first step made it."""
    model = wrap(pipe, "controlled")
    point = with_control(model, made(model, family), picture(family))
    early = point.apply(steered(model, point, window=(0.0, 0.3))).held(1.0)
    steps, own = list[torch.Tensor](), pipe.scheduler.step

    def step(out: torch.Tensor, t: Any, x: torch.Tensor, **options: Any) -> Any:
        (after, *_) = own(out, t, x, **options)
        steps.append((after[1] - after[0]).float())
        return (after,)

    pipe.scheduler.step = step
    model.denoise([point, early], Recipe(3))
    del pipe.scheduler.step
    assert steps[0].norm() > 1e-3
    for later in steps[1:]:
        assert torch.allclose(later, steps[0], atol=1e-4)
