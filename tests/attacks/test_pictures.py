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


def png(bits: int, colour: int, row: bytes, clear: bytes) -> bytes:
    """A PNG of one row of so many bits a value, with a colour that is clear."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width = len(row) * 8 // bits // (3 if colour == 2 else 1)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"tRNS", clear) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        (png(2, 0, bytes([0b00011011]), struct.pack(">H", 1)), [0, 255, 170, 255]),
        (png(4, 0, bytes([0x1F]), struct.pack(">H", 1)), [255, 255]),
        (png(4, 0, bytes([0x13]), struct.pack(">H", 1)), [255, 51]),
        (png(8, 0, bytes([7, 9]), struct.pack(">H", 7)), [255, 9]),
        (png(16, 0, struct.pack(">HH", 300, 40_000), struct.pack(">H", 300)), [255, 156]),
        (png(16, 2, struct.pack(">6H", 300, 300, 300, 9_000, 0, 0), struct.pack(">HHH", 300, 300, 300)), [255, 35]),
        (png(8, 2, bytes([1, 2, 3, 200, 0, 0]), struct.pack(">HHH", 1, 2, 3)), [255, 200]),
    ],
)
def test_the_clear_colour_of_any_depth_is_white(tmp_path: Path, content: bytes, seen: list[int]) -> None:
    (tmp_path / "x.png").write_bytes(content)
    assert np.asarray(read_picture(tmp_path / "x.png"))[0, :, 0].tolist() == seen


def test_images_that_can_no_longer_be_read_are_refused_in_one_line(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "x.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "x.png").read_bytes()[:3000])
    closed, half = Image.open(tmp_path / "x.png"), Image.open(tmp_path / "half.png")
    closed.close()
    for image in (closed, half):
        with pytest.raises(ag.AstrogateError, match="could not be read"):
            rgb(image)


def test_turns_that_cannot_be_read_turn_nothing() -> None:
    image = Image.new("RGB", (4, 2), "red")
    for junk in (b"Exif\0\0II*\0", b"\0" * 9, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12" * 40):
        image.info["exif"] = junk
        assert rgb(image).size == (4, 2)


def test_colours_that_were_multiplied_by_what_is_clear() -> None:
    for mode in ("La", "RGBa"):
        assert rgb(Image.new(mode, (2, 2))).getpixel((0, 0)) == (255, 255, 255)


def test_a_jpeg_of_endless_scans_is_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "x.jpg", progressive=True)
    data = (tmp_path / "x.jpg").read_bytes()
    start = data.rfind(b"\xff\xda")
    (tmp_path / "x.jpg").write_bytes(data[:start] + data[start:-2] * 500 + b"\xff\xd9")
    with pytest.raises(ag.AstrogateError, match="scans"):
        read_picture(tmp_path / "x.jpg")


@pytest.mark.parametrize("suffix", ["gif", "webp", "mp4", "webm"])
def test_equal_frames_are_all_read_again(tiny: ag.Model, tmp_path: Path, suffix: str) -> None:
    (frame,) = ag.render(tiny, tiny.point("a dog"), recipe=ag.Recipe(1))
    colours = ["red"] * 3 + ["blue"] * 5 + ["red"]
    frames = [ag.Frame(Image.new("RGB", (16, 16), colour), frame.point, frame.recipe) for colour in colours]
    ag.video(frames, tmp_path / f"x.{suffix}", fps=10)
    read = [image.getpixel((8, 8)) for image in read_frames(tmp_path / f"x.{suffix}")]
    assert ["red" if red > blue else "blue" for red, _, blue in read] == colours  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.mp4", b"\0\0\0\x14ftypisom\0\0\0\0isom" + b"\0\0\0\x08free" * 3_000_000),
        ("x.gif", b"GIF89a\1\0\1\0\0\0\0" + b"!\xfe" + b"\1a" * 3_000_000),
    ],
)
def test_files_of_endless_parts_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ag.AstrogateError, match="parts"):
        list(read_frames(tmp_path / name))


def test_labels_stay_apart_and_none_is_dropped() -> None:
    image = Image.new("RGB", (32, 200), "blue")
    assert sheet([image] * 2, labels=["w" * 5000, "x"], rows=["y" * 5000], tile=64).width < 600
    assert sheet([image], tile=64).size == sheet([image], tile=200).size
    for wrong in ({"labels": ["a", "b", "c"]}, {"rows": ["a", "b"]}, {"labels": "ab"}):
        with pytest.raises(ag.AstrogateError, match="labels for"):
            sheet([image] * 2, **wrong)  # type: ignore[arg-type]
