"""Pictures by every door: scaled right, seen as a person sees them, or refused in one line and little memory."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zlib
from copy import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import astrogate as ag
from astrogate.measure.clip import Clip
from astrogate.ops.pixels import to_pictures
from astrogate.rendering.pixels import MOST_PIXELS, fitted, picture_files, read_picture, rgb, to_tensor
from astrogate.rendering.reading import read_frames
from astrogate.rendering.sheet import sheet
from astrogate.rendering.strip import labels

RAMP = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
EIGHT = (RAMP.astype(np.float64) / 257).round().astype(np.uint8)


def wide(image: Image.Image) -> np.ndarray:
    return np.asarray(rgb(image))[..., 0]


def test_sixteen_bits_and_floats_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "x.png")
    for image in (
        Image.fromarray(RAMP),
        Image.fromarray((RAMP / 65535).astype(np.float32)),
        read_picture(tmp_path / "x.png"),
    ):
        assert np.abs(wide(image).astype(int) - EIGHT).max() <= 1
        assert np.abs((fitted(image, 16, 16)[0].numpy() * 255).round() - EIGHT).max() <= 1
        assert np.abs((to_tensor([image])[0, 0].numpy() * 255).round() - EIGHT).max() <= 1
    with Image.open(tmp_path / "x.png") as image:
        assert np.abs(wide(image).astype(int) - EIGHT).max() <= 1


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(np.full((4, 4), 2.0, np.float32)),
        Image.fromarray(np.full((4, 4), np.nan, np.float32)),
        Image.fromarray(np.full((4, 4), -0.5, np.float32)),
        Image.fromarray(np.full((4, 4), 100, np.int32)),
        Image.fromarray(np.full((4, 4), 70_000, np.int32)),
    ],
)
def test_numbers_that_may_mean_anything_are_refused(image: Image.Image) -> None:
    for use in (rgb, lambda one: fitted(one, 4, 4), lambda one: to_tensor([one])):
        with pytest.raises(ag.AstrogateError, match="numbers from"):
            use(image)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_of_eight_bits_becomes_rgb(mode: str) -> None:
    image = Image.new(mode, (4, 4))
    assert rgb(image).mode == "RGB"
    assert to_tensor([image]).shape == (1, 3, 4, 4)


@pytest.mark.parametrize("kind", [np.uint16, np.int64, np.float32, np.float64, bool])
def test_pixels_of_other_numbers_are_refused(kind: type) -> None:
    with pytest.raises(ag.AstrogateError, match="pixels of"):
        to_pictures(np.zeros((4, 4, 3), kind))


def test_pictures_of_several_sizes_are_not_squeezed() -> None:
    images = [Image.new("RGB", (8, 8)), Image.new("RGB", (8, 9))]
    with pytest.raises(ag.AstrogateError, match="8 x 8 and 8 x 9"):
        to_tensor(images)
    with pytest.raises(ag.AstrogateError, match="one size"):
        sheet(images)
    with pytest.raises(ag.AstrogateError, match="no size"):
        to_tensor([])


GIF = b"GIF89a\xc8\x32\xc8\x32\xf0\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"


def png_of(width: int, height: int) -> bytes:
    """A PNG whose header claims a size."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    packed = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bomb.gif", GIF),
        ("bomb.png", GIF),
        ("large.png", png_of(60_000, 60_000)),
        ("wide.png", png_of(2**31 - 1, 1)),
        ("cut.png", png_of(64, 64)),
        ("empty.png", b""),
        ("text.png", b"hello"),
        ("none.jpg", b"\xff\xd8\xff"),
    ],
)
def test_what_is_no_picture_is_refused_in_little_memory(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    tracemalloc.start()
    with pytest.raises(ag.AstrogateError, match=r"no picture|too large"):
        read_picture(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


@pytest.mark.parametrize("form", ["TIFF", "BMP", "GIF", "PPM", "ICO", "TGA", "PCX", "SGI", "DDS"])
def test_formats_are_known_by_content_and_few_are_read(tmp_path: Path, form: str) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png", form)
    with pytest.raises(ag.AstrogateError, match="is no picture"):
        read_picture(tmp_path / "x.png")


def test_pipes_devices_and_folders_are_no_pictures(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.png")
    (tmp_path / "f.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none")
    for path in (tmp_path / "p.png", tmp_path / "f.png", tmp_path / "dangling.png", Path("/dev/zero"), "a\0b"):
        with pytest.raises(ag.AstrogateError, match="is no picture"):
            read_picture(path)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "x.png")
    assert read_picture(tmp_path / "link.png").size == (8, 8)


def test_a_picture_is_the_first_one_and_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 4), "red")
    image.save(tmp_path / "x.webp", save_all=True, append_images=[Image.new("RGB", (8, 4), "blue")], lossless=True)
    assert read_picture(tmp_path / "x.webp").getpixel((0, 0)) == (255, 0, 0)
    exif = Image.Exif()
    exif[274] = 6
    image.save(tmp_path / "x.jpg", exif=exif)
    assert read_picture(tmp_path / "x.jpg").size == (4, 8)


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for i in range(1, 13):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    assert [image.getpixel((0, 0))[0] for image in read_frames(tmp_path)] == list(range(1, 13))  # type: ignore[index]
    for name in ("a2", "a10", "b", "a2b", "a02"):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    names = [path.stem for path in picture_files(tmp_path)]
    assert names.index("a2") < names.index("a10") < names.index("b")


@pytest.mark.parametrize("side", [64, 224])
def test_clip_sees_the_middle_of_a_picture_that_is_not_square(clip: Clip, side: int) -> None:
    from transformers import CLIPImageProcessor

    clip, rng = copy(clip), np.random.default_rng(0)
    clip.side = side
    processor = CLIPImageProcessor(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    for high, wide_ in ((40, 90), (90, 40), (side, side), (side, 2 * side), (37, 53), (300, 451), (1024, 768)):
        image = Image.fromarray(rng.integers(0, 256, (high, wide_, 3), np.uint8))
        theirs = torch.tensor(np.asarray(processor(image, return_tensors="np")["pixel_values"]))
        mine = (clip._pixels(to_tensor([image])) * clip.std + clip.mean) * 2 - 1
        assert mine.shape == theirs.shape
        assert (mine - theirs).abs().mean() < 0.02


def test_labels_tell_scales_apart() -> None:
    for values in ([-1, 0, 1], [1.04, 1.05], [0.123, 0.1234], [1e-9, 2e-9], [99.5, 100.5], [0.5, 0.5]):
        assert len(set(labels(values))) == len(set(values))
    assert labels([-1.0, 0.0, 0.25]) == ["-1", "0", "+0.25"]


def test_the_most_pixels_take_less_than_a_gigabyte() -> None:
    assert 12 * MOST_PIXELS < 1e9
