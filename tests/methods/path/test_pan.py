"""Laws of pans: keys are exact, noise stays noise, a canvas in windows joins and covers."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.recipe import Frame, Recipe
from astrogate.methods.path.pan import crop_views, pan
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import _decode_joined, render

RECIPE = Recipe(2)


def test_a_pan_passes_through_the_noise_of_its_points(tiny: Model) -> None:
    points = [tiny.point("a dog", seed=s) for s in (1, 2, 3)]
    path = pan(*points)
    for key, point in zip(path.keys, points, strict=True):
        assert torch.equal(path(key).tensors["latents"], point.tensors["latents"])
    ring = pan(*points, closed=True)
    assert torch.equal(ring(1.0).tensors["latents"], points[0].tensors["latents"])
    assert len(list(ring.sample(7))) == 7


def test_columns_go_from_one_noise_to_the_next(tiny: Model) -> None:
    points = [tiny.point("a dog", seed=s) for s in (1, 2, 3)]
    for closed in (False, True):
        path = pan(*points, by="columns", closed=closed)
        for key, point in zip(path.keys, [*points, points[0]], strict=False):
            assert torch.equal(path(key).tensors["latents"], point.tensors["latents"])
    a, b, _ = points
    path = pan(a, b, by="columns")
    assert torch.equal(path(0.0).tensors["latents"], a.tensors["latents"])
    assert torch.equal(path(1.0).tensors["latents"], b.tensors["latents"])
    width = a.tensors["latents"].shape[-1]
    half = width // 2
    mixed = torch.cat([a.tensors["latents"][..., :half], b.tensors["latents"][..., half:]], -1)
    assert torch.equal(path(0.5).tensors["latents"], mixed)
    assert path(0.5).origin["pan"] == {"seeds": [1, 2], "by": "columns", "column": half}


def test_pans_of_unlike_points(tiny: Model) -> None:
    a = tiny.point("a dog", seed=1)
    with pytest.raises(AstrogateError, match="two or more"):
        pan(a)
    with pytest.raises(AstrogateError, match="sizes"):
        pan(a, tiny.point("a dog", seed=2, width=32))
    with pytest.raises(AstrogateError, match="window or columns"):
        pan(a, tiny.point("a dog", seed=2), by="rows")  # type: ignore[arg-type]


def test_a_canvas_of_the_models_own_size_is_the_plain_picture(tiny: Model) -> None:
    point = tiny.point("a dog", seed=1)
    plain, windowed = (
        tiny.denoise([point], Recipe(2, stride=stride)) for stride in (None, 8 * tiny.pipe.vae_scale_factor)
    )
    assert torch.equal(plain, windowed)


@pytest.mark.parametrize("family", ["stable_diffusion", "stable_diffusion_xl"])
def test_windows_cover_a_wide_canvas_and_leave_no_trace(family: str, tiny_folders: object) -> None:
    from astrogate.models.loading.load import load

    model = load(str(tiny_folders(family)), device="cpu")  # type: ignore[operator]
    unet, factor = model.pipe.unet, model.pipe.vae_scale_factor
    calls: list[tuple[int, ...]] = []
    handle = unet.conv_in.register_forward_hook(lambda m, args, out: calls.append(tuple(args[0].shape[-2:])))
    side = model.size
    point = model.point("a dog", seed=1, width=3 * side)
    frame = next(render(model, point, recipe=Recipe(2, stride=side // 2)))
    handle.remove()
    assert frame.image.size == (3 * side, side)
    assert set(calls) == {(side // factor, side // factor)}
    assert len(calls) == 2 * 6
    assert "forward" not in vars(unet)
    single = next(render(model, model.point("a dog", seed=1), recipe=RECIPE))
    assert single.image.size == (side, side)


def test_a_wide_canvas_rolls_with_its_noise(tiny: Model) -> None:
    """Windows go round the sides: rolling the noise by a stride rolls what is drawn."""
    from dataclasses import replace

    side, factor = tiny.size, tiny.pipe.vae_scale_factor
    point = tiny.point("a dog", seed=1, width=2 * side)
    cells = side // 2 // factor
    rolled = replace(point, tensors={**point.tensors, "latents": point.tensors["latents"].roll(cells, -1)})
    a, b = (tiny.denoise([p], Recipe(2, stride=side // 2)) for p in (point, rolled))
    assert torch.allclose(a.roll(cells, -1), b, atol=1e-4)


def test_windows_that_do_not_fit(tiny: Model) -> None:
    wide = tiny.point("a dog", seed=1, width=2 * tiny.size)
    with pytest.raises(AstrogateError, match="stride of"):
        tiny.denoise([wide], Recipe(2, stride=2 * tiny.size))


def test_a_canvas_is_decoded_round_its_sides() -> None:
    """On a decoder that blurs across: what is decoded joined is the blur round the ring."""

    class Blur:
        def decode(self, latents: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.avg_pool1d(latents[:, 0], 5, 1, 2)[:, None]

    z = torch.randn(1, 1, 4, 32, generator=torch.Generator().manual_seed(0))
    ring = sum(z.roll(shift, -1) for shift in range(-2, 3)) / 5
    assert torch.allclose(_decode_joined(Blur(), z), ring, atol=1e-6)  # type: ignore[arg-type]
    assert not torch.allclose(Blur().decode(z), ring, atol=1e-2)


def test_views_of_a_canvas_go_round() -> None:
    image = Image.new("RGB", (8, 2))
    image.putdata([(x, 0, 0) for _ in range(2) for x in range(8)])
    canvas = Frame(image, None, Recipe())  # type: ignore[arg-type]
    round_trip = to_tensor(crop_views(canvas, 8)) * 255
    assert round_trip[:, 0, 0, 0].tolist() == list(range(8))
    assert round_trip[7, 0, 0].tolist() == [7, 0]
    across = to_tensor(crop_views(canvas, 4, closed=False)) * 255
    assert across[:, 0, 0, 0].tolist() == [0, 2, 4, 6]
    with pytest.raises(AstrogateError, match="views"):
        list(crop_views(canvas, 1))
