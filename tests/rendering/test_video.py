"""Videos: every frame once, the right size and rate, whole or absent, one frame in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from weakref import finalize

import av
import numpy as np
import pytest
from PIL import Image

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.recipe import Frame, Recipe
from astrogate.rendering.video import FORMATS, side_by_side, video


def frames(n: int, size: tuple[int, int] = (32, 32)) -> Iterator[Frame]:
    for i in range(n):
        level = round(255 * i / max(1, n - 1))
        yield Frame(Image.new("RGB", size, (level, 255 - level, 128)), Point({}, ""), Recipe())


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("kind", [".mp4", ".webm", ".gif"])
def test_frames_come_back_in_order(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"walk{kind}"
    assert video(frames(12), path, fps=12, tile=64) == 12
    got = decoded(path)
    assert len(got) == 12
    assert got[0].shape == (64, 64, 3)
    reds = [float(x[..., 0].mean()) for x in got]
    assert reds == pytest.approx([255 * i / 11 for i in range(12)], abs=8)
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(12, rel=0.05)


def test_webp_loops_and_lasts(tmp_path: Path) -> None:
    path = tmp_path / "walk.webp"
    video(frames(12), path, fps=10, tile=64)
    with Image.open(path) as image:
        image.seek(image.n_frames - 1)
        image.load()
        assert image.info["loop"] == 0
        assert image.info["timestamp"] + image.info["duration"] == pytest.approx(1200, abs=110)


def test_the_same_frames_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        video(frames(5), tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_what_breaks_off_leaves_nothing(kind: str, tmp_path: Path) -> None:
    def broken() -> Iterator[Frame]:
        yield from frames(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video(broken(), tmp_path / f"walk{kind}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [".gif", ".mp4"])
def test_pictures_are_not_collected(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder lets go of a picture, and of its enlargement, before it asks for one further on."""
    alive = most = 0
    resize, crop = Image.Image.resize, Image.Image.crop

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def watched(image: Image.Image) -> Image.Image:
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        finalize(image, gone)
        return image

    monkeypatch.setattr(Image.Image, "resize", lambda *args: watched(resize(*args)))
    monkeypatch.setattr(Image.Image, "crop", lambda *args: watched(crop(*args)))
    given = (Frame(watched(frame.image), frame.point, frame.recipe) for frame in frames(60))
    video(given, tmp_path / f"long{kind}", tile=64)
    assert 2 <= most <= 8


def test_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "both.mp4"
    assert video(side_by_side([frames(4), frames(4)], ["lerp", "slerp"], tile=64), path) == 4
    assert decoded(path)[0].shape[1] >= 2 * 64
    with pytest.raises(AstrogateError, match="fewer frames"):
        list(side_by_side([frames(4), frames(3)]))


def test_bad_videos(tmp_path: Path) -> None:
    for name, given, fps, match in (
        ("walk.avi", frames(2), 24, "no video"),
        ("walk.mp4", frames(0), 24, "no frames"),
        ("walk.mp4", frames(2), 0, "frames per second"),
        ("walk.mp4", iter([*frames(1), *frames(1, (16, 16))]), 24, "one size"),
    ):
        with pytest.raises(AstrogateError, match=match):
            video(given, tmp_path / name, fps=fps)
    assert list(tmp_path.iterdir()) == []
