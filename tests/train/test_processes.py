"""Work in processes: in order, whole or refused; nothing is left, whoever is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from astrogate.core.errors import AstrogateError
from astrogate.train.kit.processes import in_processes


def squared(n: int) -> int:
    time.sleep(0.01 * (3 - n % 3))
    return n * n


def killed(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


def slow(folder: str) -> str:
    Path(folder, str(os.getpid())).touch()
    time.sleep(60)
    return folder


def test_results_come_in_order() -> None:
    assert list(in_processes(squared, range(10), 2)) == [n * n for n in range(10)]
    assert list(in_processes(squared, [], 1)) == []


def test_what_is_not_wanted_is_not_done() -> None:
    started, found = time.monotonic(), in_processes(time.sleep, [0.1] * 500, 1)
    next(found)
    del found
    assert time.monotonic() - started < 30


def test_a_killed_process_is_one_line() -> None:
    with pytest.raises(AstrogateError, match="killed"):
        list(in_processes(killed, range(20), 2))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux who is alive")
@pytest.mark.parametrize("how", ["killed", "stopped", "Ctrl+C", "the whole group"])
def test_no_process_is_left_and_none_complains(tmp_path: Path, how: str) -> None:
    code = "from tests.train.test_processes import run; run()"
    started = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stderr=subprocess.PIPE, process_group=0)
    for _ in range(600):
        if len(workers := [int(path.name) for path in tmp_path.iterdir()]) == 2:
            break
        time.sleep(0.1)
    number = {"killed": signal.SIGKILL, "Ctrl+C": signal.SIGINT}.get(how, signal.SIGTERM)
    to = os.killpg if how in ("Ctrl+C", "the whole group") else os.kill
    to(started.pid, number)
    _, said = started.communicate(timeout=30)
    for _ in range(100):
        if not any(map(alive, workers)):
            break
        time.sleep(0.1)
    assert len(workers) == 2
    assert not any(map(alive, workers))
    assert b"Traceback" not in said


def run() -> None:
    """What a command does that draws data, stopped as a command is."""
    from astrogate.app.cli.main import _terminated

    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell takes from what it runs in the background
    try:
        list(in_processes(slow, [sys.argv[1]] * 8, 2))
    except (KeyboardInterrupt, AstrogateError):
        sys.exit(130)
