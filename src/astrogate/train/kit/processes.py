"""Work in processes of our own: in order, stopped without a word, and gone when the one that started them is."""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import TypeVar

from astrogate.core.errors import AstrogateError

T = TypeVar("T")
R = TypeVar("R")


def in_processes(work: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """`work(item)` of each item, in order; both are pickled. What is not done when it is stopped is dropped.

    Raises AstrogateError where a process was killed, as a system does that runs out of memory.
    """
    context = get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)  # closed when we are stopped, and by the system when we are gone
    with ours, theirs, ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(theirs,)) as pool:
        try:
            asked = deque(pool.submit(work, item) for item in items)
            while asked:
                yield asked.popleft().result()
        except BrokenProcessPool as error:
            remedy = "start again, with fewer workers if memory is short"
            raise AstrogateError("a process was killed", remedy) from error
        except BaseException:
            ours.close()  # nor is what has begun waited for
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(open_pipe: Connection) -> None:
    """Leave Ctrl+C to the process that asked for work, and end when it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(open_pipe,), daemon=True).start()


def _end_with(open_pipe: Connection) -> None:
    wait([open_pipe])
    os._exit(1)
