"""CPU time of work in this process and of child processes: what the benchmarks beside this file share."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Callable, Sequence


def cpu_seconds(work: Callable[[], object]) -> float:
    """Process CPU time of one call."""
    started = time.process_time()
    work()
    return time.process_time() - started


def child_seconds(command: Sequence[str]) -> float:
    """CPU time of a child process, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
