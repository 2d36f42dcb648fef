"""Files, images and tensors become one another: what a person sees, and not a bit lost on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.point import Point
from astrogate.core.recipe import Frame, Recipe
from astrogate.ops.pixels import to_pictures, to_pixels
from astrogate.rendering.pixels import fitted, picture_files, read_picture, to_images, to_tensor

#: Every value that a pixel can have, in each channel.
EVERY = np.stack([np.random.default_rng(i).permutation(256).reshape(16, 16) for i in range(3)], -1).astype(np.uint8)


def test_what_has_eight_bits_comes_back() -> None:
    pictures = to_pictures(EVERY)
    assert pictures.shape == (3, 16, 16)
    assert torch.equal(pictures[1], torch.from_numpy(EVERY[..., 1]).double().div(255).float())
    assert pictures.permute(1, 2, 0).is_contiguous()
    assert np.array_equal(to_pixels(pictures), EVERY)
    assert np.array_equal(to_pixels(to_pictures([[EVERY], [EVERY]])), [[EVERY], [EVERY]])
    assert torch.equal(to_pictures(Image.fromarray(EVERY)), pictures)


def test_images_are_diffusers_images() -> None:
    from diffusers.image_processor import VaeImageProcessor

    pictures = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for given in (pictures, pictures.half()):
        wanted = VaeImageProcessor.numpy_to_pil(VaeImageProcessor.pt_to_numpy(given))
        assert all(np.array_equal(a, b) for a, b in zip(to_images(given), wanted, strict=True))


def test_frames_and_images_are_pictures() -> None:
    image = Image.fromarray(EVERY)
    pictures = to_tensor([image, Frame(image, Point({}, ""), Recipe())])
    assert torch.equal(pictures, to_pictures([EVERY, EVERY]))
    assert all(np.array_equal(image, EVERY) for image in to_images(pictures))


def test_picture_files_are_found_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c.txt", "deep/a.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in picture_files(tmp_path)] == ["a.JPG", "b.png"]
    assert [path.name for path in picture_files(tmp_path, deep=True)] == ["a.JPG", "b.png", "a.webp"]


def test_a_picture_of_another_size_is_resized_and_said_so() -> None:
    image = Image.new("L", (40, 30), 128)
    with pytest.warns(AstrogateWarning, match="40 x 30, resized to 32 x 32"):
        assert fitted(image, 32, 32).shape == (3, 32, 32)
    assert torch.equal(fitted(Image.fromarray(EVERY), 16, 16), to_pictures(EVERY))


def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(path)
    assert np.abs(np.asarray(read_picture(path))[..., 0] - ramp / 257).max() <= 0.5
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(path)
    assert read_picture(path).getpixel((0, 0)) == (255, 255, 255)
    Image.new("RGBA", (4, 4), (0, 0, 0, 128)).save(path)
    assert read_picture(path).getpixel((0, 0)) == pytest.approx((127,) * 3, abs=1)
    for mode, colour in (("L", 7), ("1", 1), ("CMYK", (0, 0, 0, 0))):
        target = path if mode != "CMYK" else tmp_path / "x.jpg"
        Image.new(mode, (4, 4), colour).save(target)
        assert read_picture(target).mode == "RGB"
    turned = Image.new("RGB", (4, 2), "red")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").size == (2, 4)


def test_what_is_no_picture_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tmp_path / "whole.png"
    Image.effect_noise((64, 64), 50).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:800])
    (tmp_path / "text.png").write_text("hello")
    for path in (cut, tmp_path / "text.png", tmp_path / "missing.png"):
        with pytest.raises(AstrogateError, match="is no picture"):
            read_picture(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(AstrogateError, match="decompression bomb"):
        read_picture(whole)
