"""A sweep on Ray: a worker killed in its middle, and two workers of one thread beside one.

Every item is once in the result with the right checksum; throughput is items a second of wall time once the workers
are up (the first item of each is left out). Run: python benchmarks/engines.py
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from astrogate.core.keys import key_of
from astrogate.studies.kit.jobs import Store
from astrogate.studies.kit.ray_engine import on_ray
from astrogate.studies.path.sweep import PathWork

ITEMS = 24


def specs() -> list[dict[str, Any]]:
    """Short paths of the shipped model."""
    settings = {"frames": 8, "steps": 20, "guidance": 4.0, "dtype": None}
    common = {"model": "menagerie", "clip": None, **settings, "timing": "uniform"}
    return [{**common, "prompt": "a painting of a dog", "seeds": [i, i + 100], "by": "slerp"} for i in range(ITEMS)]


def throughput(folder: Path, workers: int) -> float:
    """Items a second."""
    times = [time.monotonic() for _ in on_ray(partial(PathWork, device="cpu"), specs(), Store(folder), workers=workers)]
    return (ITEMS - workers) / (times[-1] - times[workers - 1])


def killed(folder: Path) -> int:
    """How many workers were killed while a sweep ran to its end."""
    kills, others = 0, _workers()
    for done, _ in enumerate(on_ray(partial(PathWork, device="cpu"), specs(), Store(folder), workers=2)):
        if done == ITEMS // 3:
            os.kill(min(_workers() - others), signal.SIGKILL)
            kills += 1
    return kills


def _workers() -> set[int]:
    """The processes of all workers on this machine."""
    found = subprocess.run(["pgrep", "-f", "ray::_Worker"], capture_output=True, text=True).stdout
    return {int(pid) for pid in found.split()}


def main() -> None:
    """Print what was lost, and the ratio of the throughputs."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        kills = killed(folder / "killed")
        digest = PathWork(device="cpu").digest
        whole = sum(Store(folder / "killed").get(key_of(spec, digest)) is not None for spec in specs())
        print(
            f"{kills} worker killed: {whole} of {ITEMS} items whole, {len(list((folder / 'killed').iterdir()))} files"
        )
        one, two = (throughput(folder / str(workers), workers) for workers in (1, 2))
        print(f"one worker {one:.3f} items a second, two {two:.3f}: {two / one:.2f} times (to reach: 1.6)")


if __name__ == "__main__":
    main()
