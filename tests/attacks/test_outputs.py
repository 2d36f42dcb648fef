"""What is written: as others write, whole, in the format that the name says, in colours that players show right."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

import astrogate as ag
from astrogate.core.files import exclusive, whole_file, whole_folder, write_text
from astrogate.models.loading.load import load
from astrogate.rendering.reading import read_frames
from astrogate.rendering.record import parameters, save_png
from astrogate.rendering.video import video

PROMPT, RECIPE = "a painting of a fat dog", ag.Recipe(2)


@pytest.fixture(scope="module")
def frame(tiny: Any) -> ag.Frame:
    return next(ag.render(tiny, [tiny.point(PROMPT)], recipe=RECIPE))


def painted(frame: ag.Frame, colour: tuple[int, int, int], side: int = 64) -> ag.Frame:
    return replace(frame, image=Image.new("RGB", (side, side), colour))


@pytest.mark.parametrize("name", ["x.jpg", "x.webp", "x.tiff", "x", "x.png.txt"])
def test_a_picture_is_what_its_name_says(frame: ag.Frame, tmp_path: Path, name: str) -> None:
    with pytest.raises(ag.AstrogateError, match=r"let it end in \.png"):
        save_png(frame.image, tmp_path / name, frame=frame)
    assert not list(tmp_path.iterdir())
    save_png(frame.image, tmp_path / "X.PNG", frame=frame)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("side", [64, 1280])
def test_colours_are_tagged_and_come_back(frame: ag.Frame, tmp_path: Path, suffix: str, side: int) -> None:
    import av

    for colour in ((0, 255, 0), (255, 0, 0), (0, 0, 255), (128, 64, 32)):
        path = tmp_path / f"x{suffix}"
        video([painted(frame, colour, side)] * 2, path, tile=side)
        with av.open(str(path)) as container:
            shown = next(container.decode(video=0))
            assert int(shown.colorspace) == 1
            assert int(shown.color_range) == 1
            pixels = shown.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
        assert np.abs(pixels.reshape(-1, 3).mean(0) - colour).max() < 6, (colour, pixels.reshape(-1, 3).mean(0))


@pytest.mark.parametrize("fps", [51, 60, 120])
def test_a_gif_is_no_faster_than_browsers_show(frame: ag.Frame, tmp_path: Path, fps: float) -> None:
    with pytest.raises(ag.AstrogateError, match=r"use 0\.1 to 50 in \.gif"):
        video([frame] * 3, tmp_path / "x.gif", fps=fps)
    video([frame] * 3, tmp_path / "x.webp", fps=min(fps, 90))


@pytest.mark.parametrize("fps", [1, 10, 24, 25, 30, 50])
def test_a_gif_lasts_as_long_as_asked(frame: ag.Frame, tmp_path: Path, fps: float) -> None:
    count = 12
    video([painted(frame, (i, 0, 0)) for i in range(count)], tmp_path / "x.gif", fps=fps)
    with Image.open(tmp_path / "x.gif") as image:
        delays = []
        for i in range(image.n_frames):  # type: ignore[attr-defined]
            image.seek(i)
            delays.append(image.info["duration"])
    assert min(delays) >= 20
    assert abs(sum(delays) - 1000 * count / fps) <= 2 * max(delays)


@pytest.mark.parametrize(("suffix", "size"), [(".webp", (16_400, 8)), (".mp4", (16_386, 8)), (".mp4", (1, 1))])
def test_a_codec_s_limits_are_known_at_the_first_frame(
    frame: ag.Frame, tmp_path: Path, suffix: str, size: tuple[int, int]
) -> None:
    drawn: list[int] = []

    def frames() -> Iterator[ag.Frame]:
        for i in range(5):
            drawn.append(i)
            yield replace(frame, image=Image.new("RGB", size))

    with pytest.raises(ag.AstrogateError, match="pixels: use sides"):
        video(frames(), tmp_path / f"x{suffix}", tile=1)
    assert drawn == [0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 4000, b"hello", b"\x1aE\xdf\xa3" + b"\0" * 100, b"RIFF\0\0\0\0AVI LIST"]
)
def test_a_broken_video_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(ag.AstrogateError, match=r"could not be read|no video"):
        list(read_frames(tmp_path / "x.mp4"))


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp"])
def test_a_video_is_read_whole_or_refused(frame: ag.Frame, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    video([painted(frame, (12 * i, 0, 0)) for i in range(20)], path)
    whole = path.read_bytes()
    assert [image.getpixel((5, 5))[0] // 12 for image in read_frames(path)] == pytest.approx(range(20), abs=1)  # type: ignore[index]
    for part in (len(whole) // 10, len(whole) // 2, len(whole) - 10, len(whole) - 1):
        path.write_bytes(whole[:part])
        with pytest.raises(ag.AstrogateError, match="was cut off"):
            list(read_frames(path))


def test_damage_that_a_codec_would_conceal_is_refused(frame: ag.Frame, tmp_path: Path) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "x.mp4"
    noise = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(8)]
    video([replace(frame, image=image) for image in noise], path, tile=64)
    whole, concealed, told = path.read_bytes(), 0, list[str]()
    start = whole.index(b"mdat") + 4  # what is damaged hangs on the pictures alone, not on the record before or behind
    for place in start + rng.integers(200, int.from_bytes(whole[start - 8 : start - 4]) - 200, 30):
        path.write_bytes(whole[:place] + bytes(64) + whole[place + 64 :])
        with av.open(str(path)) as container, suppress(av.error.FFmpegError):
            concealed += len(list(container.decode(video=0))) == len(noise)
        try:
            list(read_frames(path))
        except ag.AstrogateError as error:
            told.append(str(error))
    assert len(told) >= 30 - concealed + concealed / 5 > 3  # the others are pictures that the codec could mean
    assert not any("\n" in line for line in told)


_QUARTERS = ((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0))
_MIRRORED = ((-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0))


@pytest.mark.parametrize("matrix", _QUARTERS + _MIRRORED)
def test_a_video_is_shown_as_it_was_held(frame: ag.Frame, tmp_path: Path, matrix: tuple[int, ...]) -> None:
    """A telephone writes rows of the sensor, and in the track's header how to turn and mirror them."""
    held = Image.new("RGB", (64, 48), "blue")
    held.paste("red", (0, 0, 20, 14))
    video([replace(frame, image=held)] * 3, tmp_path / "x.mp4", tile=64)
    content = bytearray((tmp_path / "x.mp4").read_bytes())
    a, b, c, d = (value << 16 for value in matrix)
    place = content.index(b"tkhd") + 44
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "x.mp4").write_bytes(content)
    shown = next(read_frames(tmp_path / "x.mp4"))
    corner = np.array([10 - 32, 7 - 24]) @ np.array(matrix).reshape(2, 2)
    assert shown.size == ((64, 48) if matrix[0] else (48, 64))
    x, y = (int(middle / 2 + away) for middle, away in zip(shown.size, corner, strict=True))
    assert shown.getpixel((x, y))[0] > 200  # type: ignore[index]
    content[place : place + 36] = struct.pack(">9i", 46341, 46341, 0, -46341, 46341, 0, 0, 0, 1 << 30)
    (tmp_path / "x.mp4").write_bytes(content)
    with pytest.raises(ag.AstrogateError, match="at an angle"):
        list(read_frames(tmp_path / "x.mp4"))


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options", "match"),
    [
        ("x.mkv", "ffv1", "bgra", {}, None),
        ("x.mov", "qtrle", "argb", {}, None),
        ("x.mp4", "libx264", "yuv420p", {"color_trc": 16}, "high dynamic range"),
        ("x.mp4", "libx264", "yuv420p", {"color_trc": 18}, "high dynamic range"),
        ("x.mp4", "libx264", "yuv420p", {"sample_aspect_ratio": Fraction(2)}, None),
    ],
)
def test_what_a_video_says_of_its_pixels(
    tmp_path: Path, name: str, codec: str, pixels: str, options: dict[str, Any], match: str | None
) -> None:
    clear = np.zeros((48, 64, 4), np.uint8)
    clear[:, 32:] = (255, 0, 0, 255)
    with av.open(str(tmp_path / name), "w") as out:
        stream: Any = out.add_stream(codec, 24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for key, value in options.items():
            setattr(stream.codec_context, key, value)
        for _ in range(3):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(clear, "rgba").reformat(format=pixels)))
        out.mux(stream.encode(None))
    if match is not None:
        with pytest.raises(ag.AstrogateError, match=match):
            list(read_frames(tmp_path / name))
        return
    shown = next(read_frames(tmp_path / name))
    assert shown.size == (128 if options else 64, 48)
    assert min(shown.getpixel((shown.width // 4, 24))) > (-1 if options else 250)  # type: ignore[arg-type]
    assert shown.getpixel((shown.width * 3 // 4, 24))[0] > 200  # type: ignore[index]


def test_a_live_video_that_was_cut_off(frame: ag.Frame, tmp_path: Path) -> None:
    """Where a browser records, no length is known."""
    video([painted(frame, (12 * i, 0, 0)) for i in range(20)], tmp_path / "x.webm")
    content = bytearray((tmp_path / "x.webm").read_bytes())
    place = content.index(b"\x18S\x80g") + 4
    content[place : place + 8] = b"\x01" + b"\xff" * 7
    (tmp_path / "x.webm").write_bytes(content)
    assert len(list(read_frames(tmp_path / "x.webm"))) == 20
    (tmp_path / "x.webm").write_bytes(content[: len(content) // 2])
    with pytest.raises(ag.AstrogateError, match="was cut off"):
        list(read_frames(tmp_path / "x.webm"))


def test_a_gif_with_a_hole_is_refused_or_whole(frame: ag.Frame, tmp_path: Path) -> None:
    path = tmp_path / "x.gif"
    video([painted(frame, (12 * i, 0, 0)) for i in range(10)], path, tile=16)
    whole = path.read_bytes()
    for place in range(13, len(whole) - 33, 40):
        path.write_bytes(whole[:place] + bytes(32) + whole[place + 32 :])
        with suppress(ag.AstrogateError):
            assert len(list(read_frames(path))) == 10, place


@pytest.mark.parametrize("content", [b"#EXTM3U\n#EXTINF:1\n{}\n", b"ffconcat version 1.0\nfile {}\n", b"<MPD>{}</MPD>"])
def test_a_playlist_is_no_video(frame: ag.Frame, tmp_path: Path, content: bytes) -> None:
    video([frame] * 3, tmp_path / "x.mp4")
    for name in ("list.mp4", "list.m3u8", "list.txt"):
        (tmp_path / name).write_bytes(content.replace(b"{}", bytes(tmp_path / "x.mp4")))
        with pytest.raises(ag.AstrogateError, match="could not be read"):
            list(read_frames(tmp_path / name))


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/x.mp4", "rtmp://127.0.0.1/x", "concat:a|b", "pipe:0", "-"])
def test_an_address_is_no_file(name: str) -> None:
    with pytest.raises(ag.AstrogateError, match="there is no file"):
        list(read_frames(Path(name)))


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif", ".webp", ".png"])
def test_a_full_disk_is_one_line_and_leaves_nothing(frame: ag.Frame, tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    noisy = [replace(frame, image=Image.fromarray(rng.integers(0, 256, (256, 256, 3), np.uint8))) for _ in range(8)]
    script = tmp_path / "full.py"
    script.write_text(
        "import resource, signal, sys, pickle\n"
        "from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from astrogate.rendering.video import video\nfrom astrogate.rendering.record import save_png\n"
        "path = Path(sys.argv[2])\n"
        "frames = pickle.loads(Path(sys.argv[1]).read_bytes())\n"
        "try:\n"
        "    if path.suffix == '.png':\n"
        "        save_png(frames[0].image, path, frame=frames[0], points=b'')\n"
        "    else:\n"
        "        video(frames, path)\n"
        "except OSError as error:\n"
        "    print('refused', error.filename)\n"
    )
    import pickle

    (tmp_path / "frames").write_bytes(pickle.dumps(noisy))
    (tmp_path / "out").mkdir()
    command = [sys.executable, str(script), str(tmp_path / "frames"), str(tmp_path / "out" / f"x{suffix}")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("refused"), done.stdout
    assert not list((tmp_path / "out").iterdir())


def test_names_may_be_as_long_as_the_system_s(frame: ag.Frame, tmp_path: Path) -> None:
    for length in (200, 250, 255):
        path = tmp_path / ("x" * (length - 4) + ".png")
        save_png(frame.image, path, frame=frame)
        assert path.exists()
        with whole_folder(tmp_path / ("y" * length), "a"):
            pass
    with pytest.raises(ag.AstrogateError, match="cannot write"):
        write_text(tmp_path / ("x" * 256), "x")


def test_it_writes_where_there_are_no_modes_and_no_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(22, "Invalid argument")

    write_text(tmp_path / "x", "old")
    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(shutil, "copymode", refuse)
    write_text(tmp_path / "x", "new")
    with whole_folder(tmp_path / "y", "a") as fresh:
        (fresh / "a").write_text("b")
    assert (tmp_path / "x").read_text() == "new"
    assert (tmp_path / "y" / "a").read_text() == "b"


_KILLED = """
import os, sys
from pathlib import Path
from astrogate.core.files import whole_file, whole_folder
with whole_file(Path(sys.argv[1]) / "a.mp4") as file, whole_folder(Path(sys.argv[1]) / "b", "a") as folder:
    file.write(b"half")
    (folder / "c").write_text("half")
    file.flush()
    os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.parametrize("signal", [9, 15])
def test_what_a_killed_process_left_is_swept_by_the_next(tmp_path: Path, signal: int) -> None:
    done = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path), str(signal)])
    assert done.returncode == -signal
    (tmp_path / ".kept.0123").write_text("not ours")
    write_text(tmp_path / "x", "y")
    assert sorted(os.listdir(tmp_path)) == [".kept.0123", "x"]


def test_a_file_that_is_being_written_is_not_swept(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from astrogate.core.files import write_text as w; "
    code += "w(Path(sys.argv[1]), 'z')"
    with whole_file(tmp_path / "x") as file:
        file.write(b"a")
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "y")], check=True)
        file.write(b"b")
    assert (tmp_path / "x").read_text() == "ab"
    assert sorted(os.listdir(tmp_path)) == ["x", "y"]


def test_one_process_at_a_time_has_a_lock(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from astrogate.core.files import exclusive as e\n"
    code += "with e(Path(sys.argv[1])): 0"
    with exclusive(tmp_path / "lock"):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], capture_output=True, text=True)
        assert "another process is at work" in done.stderr
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")]).returncode == 0
    assert not list(tmp_path.iterdir())


# What A1111's web UI takes a line of settings apart by.
_SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


@pytest.mark.parametrize("name", ["x, Seed: 9, Steps: 1", 'a"b', "a\nSteps: 3", "a: b", "plain", "a\\b, c"])
def test_a_name_is_no_setting(tiny_folder: Path, tmp_path: Path, name: str, frame: ag.Frame) -> None:
    if "\n" not in name and "/" not in name:
        folder = shutil.copytree(tiny_folder, tmp_path / name)
        model = load(str(folder), device="cpu")
        frame = next(ag.render(model, [model.point(PROMPT, negative="a cat")], recipe=RECIPE))
    else:
        point = replace(frame.point, origin={**frame.point.origin, "model": name, "prompt": f"a dog\n{name}"})
        frame = replace(frame, point=point)
    *_, last = parameters(frame).splitlines()
    found = dict(_SETTING.findall(last))
    assert (found["Steps"], found["Seed"]) == ("2", "0")
    assert list(found) == ["Steps", "Sampler", "CFG scale", "Seed", "Size", "Model"]


def test_a_prompt_is_not_read_as_the_negative_one(frame: ag.Frame) -> None:
    """The web UI takes all from the line on that opens with these words."""
    for prompt in ("Negative prompt: a dog", " Negative prompt:", "a dog\nNegative prompt: a cat"):
        point = replace(frame.point, origin={**frame.point.origin, "prompt": prompt})
        head, _ = parameters(replace(frame, point=point)).splitlines()
        assert not head.startswith("Negative prompt:")
        assert head.replace(" :", ":") == " ".join(prompt.split())
