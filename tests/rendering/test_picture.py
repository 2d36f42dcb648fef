"""Picture files of every mode become what a person sees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.rendering.picture import read_picture


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
