"""Processes that write the same files, folders and caches at once: what anyone reads is one writer's, whole.

A few seconds here; `ASTROGATE_RACES=60 pytest tests/attacks/test_races.py` for a long run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.files import exclusive, whole_file, whole_folder, write_text
from astrogate.rendering.cache import FrameCache
from astrogate.studies.kit.jobs import Store

SECONDS = float(os.environ.get("ASTROGATE_RACES", "3"))
WORKERS = 3
CALM = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


class Worker:
    """Writes and reads everything in one folder in random order; counts what it did."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng, self.done = folder, random.Random(seed), dict[str, int]()

    def work(self, seconds: float) -> None:
        kinds = ("text", "tensors", "picture", "frame", "result", "parts", "count")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            kind = self.rng.choice(kinds)
            number = getattr(self, kind)(self.rng.randrange(256))
            self.done[kind] = self.done.get(kind, 0) + number

    def text(self, n: int) -> int:
        path = self.folder / "notes.txt"
        write_text(path, f"{n}\n" * 5_000)
        lines = path.read_text().splitlines()
        assert len(lines) == 5_000
        assert len(set(lines)) == 1
        return 1

    def tensors(self, n: int) -> int:
        path = self.folder / "found.safetensors"
        archive.write(path, {"x": torch.full((5_000,), float(n)), "y": torch.full((5,), float(n))})
        found, _ = archive.read(path, what="tensors", remedy="none")
        assert len({*found["x"].tolist(), *found["y"].tolist()}) == 1
        return 1

    def picture(self, n: int) -> int:
        path = self.folder / "shown.png"
        with whole_file(path) as file:
            Image.new("RGB", (64, 64), (n, n, n)).save(file, "PNG")
        assert len(np.unique(np.asarray(Image.open(path)))) == 1
        return 1

    def frame(self, n: int) -> int:
        cache = FrameCache(self.folder / "cache")
        cache.put("key", Image.new("RGB", (64, 64), (n, n, n)))
        kept = cache.get("key")
        assert kept is not None
        assert len(np.unique(np.asarray(kept))) == 1
        return 1

    def result(self, n: int) -> int:
        store = Store(self.folder / "store")
        store.put("key", {"n": n}, {"n": [n] * 1_000})
        kept = store.get("key")
        assert kept is not None
        assert kept[1]["n"] == [kept[0]["n"]] * 1_000
        return 1

    def parts(self, n: int) -> int:
        path = self.folder / "parts"
        with whole_folder(path, "a") as fresh:
            for name in "abc":
                (fresh / name).write_text(str(n))
        before = path.stat().st_ino
        names, numbers = sorted(os.listdir(path)), set[str]()
        for name in names:
            with suppress(FileNotFoundError):
                numbers.add((path / name).read_text())
        if path.stat().st_ino == before:  # of a folder that was replaced meanwhile, the old one's files go
            assert names == ["a", "b", "c"]
            assert len(numbers) == 1
        return 1

    def count(self, n: int) -> int:
        path = self.folder / "count"
        with suppress(AstrogateError), exclusive(self.folder / ".count.lock"):
            path.write_text(str(1 + int(path.read_text() if path.exists() else 0)))
            return 1
        return 0


def test_what_is_read_is_one_writers_and_whole(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    arguments = [sys.executable, "-m", "tests.attacks.test_races", str(folder), str(SECONDS)]
    started = [
        subprocess.Popen([*arguments, str(seed)], env=CALM, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for seed in range(WORKERS)
    ]
    said = [process.communicate(timeout=120 + 2 * SECONDS) for process in started]
    assert [process.returncode for process in started] == [0] * WORKERS, [errors for _, errors in said]
    done: list[dict[str, Any]] = [json.loads(out) for out, _ in said]
    assert all(sum(one.values()) > 20 for one in done)
    assert int((folder / "count").read_text()) == sum(one.get("count", 0) for one in done)
    left = [path for path in folder.rglob("*") if path.name.endswith((".astrogate-part", ".old"))]
    assert not left


if __name__ == "__main__":
    worker = Worker(Path(sys.argv[1]), int(sys.argv[3]))
    worker.work(float(sys.argv[2]))
    print(json.dumps(worker.done))
