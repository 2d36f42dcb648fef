"""Every reader on files that were changed at random: what was written, or one line; soon, and in little memory.

A second a reader here, half a minute in all; the long run is
`ASTROGATE_FUZZ=10000 pytest -m slow tests/attacks/test_fuzz.py`.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import astrogate as ag
from astrogate.core import archive
from astrogate.core.basis import Basis
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Guide, Hold, Parts, Steer
from astrogate.core.texts import lines_of
from astrogate.models.loading.load import load
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.kept import packed, unpacked
from astrogate.rendering.pixels import read_picture
from astrogate.rendering.reading import read_frames
from astrogate.rendering.record import read_record, save_png
from astrogate.rendering.video import video
from astrogate.studies.kit.jobs import Store
from astrogate.studies.path.sweep import read_sweep
from astrogate.train.kit.pictures import captioned

LONG = int(os.environ.get("ASTROGATE_FUZZ", "0"))
#: How long a reader is tried, and the longest that one file may take, in seconds.
BUDGET, PATIENCE = 1.0, 20.0
WORDS = (b"null", b"-1", b"1e999", b'"x"', b"[]", b"{}", b"NaN", b"true", b"99999999999999999999", b"\\ud800", b"..")


def changed(data: bytes, rng: random.Random) -> bytes:
    """A file with one to four changes: bits, a cut, bytes put in, left out, repeated or overwritten, words of JSON."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(found) + 1)
        size = rng.choice((1, 2, 4, 8, 64, 1024))
        kind = rng.randrange(7)
        if kind == 0 and found:
            found[at % len(found)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del found[at:]
        elif kind == 2:
            found[at:at] = rng.randbytes(size)
        elif kind == 3:
            del found[at : at + size]
        elif kind == 4:
            found[at:at] = found[at : at + size]
        elif kind == 5:
            found[at : at + size] = bytes(min(size, len(found) - at))
        else:
            marks = [i for i, byte in enumerate(found[:20_000]) if byte in b':,["0123456789']
            if marks:
                place = rng.choice(marks) + 1
                found[place : place + rng.choice((0, 1, 3))] = rng.choice(WORDS)
    return bytes(found)


def tried(path: Path, read: Callable[[Path], Any], same: Callable[[Any], bool] | None = None) -> None:
    """Read changed copies of a file, in its place."""
    whole, rng, started, done = path.read_bytes(), random.Random(path.name), time.monotonic(), 0
    while done < LONG or (not LONG and time.monotonic() - started < BUDGET):
        done += 1
        data = changed(whole, rng)
        path.write_bytes(data)
        begun = time.monotonic()
        told = ""
        try:
            found = read(path)
        except AstrogateError as error:
            told = str(error)
        else:
            assert same is None or data == whole or same(found), f"change {done} was taken as what was written"
        assert "\n" not in told
        assert time.monotonic() - begun < PATIENCE
    path.write_bytes(whole)
    read(path)
    assert done > 4
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4e6  # kilobytes, with torch and the tests themselves


def equal(a: Any, b: Any) -> bool:
    """Whether two nouns hold the same."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return all(equal(getattr(a, name), getattr(b, name)) for name in a.__dataclass_fields__)
    return bool(a == b)


VECTOR = torch.linspace(-1, 1, 32)


def test_directions(tmp_path: Path) -> None:
    noun = ag.Direction(
        {"end": VECTOR, "subject": VECTOR}, "0123", "fat - thin", {"method": "x", "quality": {"a": [1.5]}}
    )
    noun.save(tmp_path / "direction")
    tried(tmp_path / "direction", ag.Direction.load, lambda found: equal(found, noun))


def test_edits(tmp_path: Path) -> None:
    steer = Steer({"prompt_embeds": VECTOR.view(4, 8)}, 0.5, (0, 0.5), curve=((0.0, 1.0), (1.0, 0.5)))
    noun = Edit(Parts((steer,), (Guide({"prompt_embeds": VECTOR.view(4, 8)}),), Hold(0.5)), name="x", origin={"a": 1})
    noun.save(tmp_path / "edit")
    tried(tmp_path / "edit", Edit.load, lambda found: equal(found, noun))


def test_bases(tmp_path: Path) -> None:
    noun = Basis(
        ("a", "b"), torch.tensor([0.5, 1.0]), {"x": VECTOR.view(2, 16)}, {"x": 1.5}, 2, "0123", "y", {"plan": {}}
    )
    noun.save(tmp_path / "basis")
    tried(tmp_path / "basis", Basis.load, lambda found: equal(found, noun))


def test_states(tmp_path: Path) -> None:
    archive.write(tmp_path / "state", {"a": VECTOR}, {"step": 3, "seconds": 1.5, "of": "x"}, format="t-1")
    fields = {"step": int, "seconds": float, "of": str}

    def read(path: Path) -> Any:
        return archive.read(path, what="a state", remedy="x", format="t-1", fields=fields, tensors=("a",))

    tried(tmp_path / "state", read, lambda found: equal(found, ({"a": VECTOR}, {"step": 3, "seconds": 1.5, "of": "x"})))


def test_points_of_a_picture(tiny: Any, tmp_path: Path) -> None:
    frame = next(ag.render(tiny, [tiny.point("a dog", seed=1)], recipe=ag.Recipe(1)))
    (tmp_path / "points").write_bytes(packed([frame]))
    tried(
        tmp_path / "points",
        lambda path: unpacked(path.read_bytes(), path),
        lambda found: equal(found, [(frame.point, frame.recipe)]),
    )


@pytest.mark.parametrize("name", ["x.png", "x.jpg", "x.webp"])
def test_pictures(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(tmp_path / name)
    tried(tmp_path / name, read_picture)


def test_records(tiny: Any, tmp_path: Path) -> None:
    frame = next(ag.render(tiny, [tiny.point("a dog", seed=1)], recipe=ag.Recipe(1)))
    save_png(frame.image, tmp_path / "x.png", frame=frame)
    tried(tmp_path / "x.png", read_record)


@pytest.mark.parametrize("name", ["x.mp4", "x.gif", "x.webm"])
def test_videos(tiny: Any, tmp_path: Path, name: str) -> None:
    frame = next(ag.render(tiny, [tiny.point("a dog", seed=1)], recipe=ag.Recipe(1)))
    video([frame] * 4, tmp_path / name, tile=16)
    tried(tmp_path / name, lambda path: list(read_frames(path)))


def test_kept_frames(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    cache.put("ab12", image)
    (path,) = tmp_path.rglob("*.png")
    tried(path, lambda _: cache.get("ab12"), lambda found: found is None or found.tobytes() == image.tobytes())


def test_kept_results(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("ab12", {"a": 1}, {"b": [1.5, "x"]})
    (path,) = tmp_path.rglob("*.json")
    tried(path, lambda _: store.get("ab12"), lambda found: found is None or found == ({"a": 1}, {"b": [1.5, "x"]}))


def test_sweeps(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(
        'prompts = ["a dog"]\npairs = [[1, 2]]\nways = [["lerp", "uniform"]]\nframes = 4\n'
    )
    tried(tmp_path / "x.toml", read_sweep)


def test_captions(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "a.png", "text": "a dog"}) + "\n")
    tried(tmp_path / "metadata.jsonl", lambda path: captioned(path.parent))
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "a.txt").write_text("a dog\na cat\n")
    tried(tmp_path / "a.txt", lambda path: captioned(path.parent))
    tried(tmp_path / "a.txt", lines_of)


@pytest.mark.parametrize(
    "name",
    [
        "model_index.json",
        "unet/config.json",
        "text_encoder/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
        "tokenizer/vocab.json",
        "vae/config.json",
        "unet/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_model_folders(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    if (folder / name).exists():
        tried(folder / name, lambda _: load(str(folder), device="cpu").fingerprint)
