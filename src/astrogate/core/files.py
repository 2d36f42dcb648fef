"""Files and folders are written whole or not at all: beside the target, fsync, then put in its place in one step.

A folder that is there is exchanged for the new one by renameat2(RENAME_EXCHANGE), so that at every moment the old or
the new one is there whole. Where the system cannot exchange, the old one is moved aside first, and back on failure.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from errno import EINVAL, ENOSYS, ENOTSUP
from glob import escape
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from astrogate.core.errors import AstrogateError


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """Open `path` for writing bytes; it appears, complete, when the block ends without an error.

    Raises AstrogateError if the folder does not take a file.
    """
    path = Path(os.path.realpath(path))
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise FileExistsError(f"{path} is a folder or a device")
        opened = temporary.open("xb")
    except OSError as error:
        raise AstrogateError(f"cannot write {path} ({error.strerror or error})", "name a writable file") from error
    try:
        with opened as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name(error, path)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode())


@contextmanager
def whole_folder(path: Path) -> Generator[Path]:
    """Yield an empty folder beside `path`; it takes the place of `path` when the block ends without an error.

    Until then a folder at `path` stays as it is. What a killed writer left beside it is removed; one that still writes
    holds a lock. Raises AstrogateError if there can be no folder.
    """
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"{path} is a file")
        _remove_abandoned(path)
        fresh, lock = _locked_folder(path)
    except OSError as error:
        raise AstrogateError(f"cannot write {path} ({error.strerror or error})", "name a writable folder") from error
    try:
        yield fresh
        _sync(fresh)
        if path.exists():
            shutil.copymode(path, fresh)
            _exchange(fresh, path)
        else:
            fresh.rename(path)
        _sync_entries(path.parent)
    except OSError as error:
        _name(error, path)
        raise
    finally:  # what is left under the temporary name is unfinished, or the old folder
        shutil.rmtree(fresh, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _beside(path: Path, suffix: str = "") -> Path:
    return path.with_name(f".{path.name}.{token_hex(4)}{suffix}")


def _name(error: BaseException, path: Path) -> None:
    """A full disk names no file of its own."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def _locked_folder(path: Path) -> tuple[Path, int | None]:
    """A new folder beside `path`, and the open lock that tells that its writer lives.

    It is locked before it has the name that `_remove_abandoned` looks for.
    """
    made = _beside(path)
    made.mkdir()
    lock = _lock(made)
    return made.rename(_beside(path, ".part")), lock


def _lock(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed, or its process ends. None where there are no locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_abandoned(path: Path) -> None:
    for left in path.parent.glob(f".{escape(path.name)}.*.part"):
        with suppress(OSError):
            lock = _lock(left)
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)


def _exchange(fresh: Path, path: Path) -> None:
    """Swap two folders: in one step, or by way of a third name."""
    if _swapped(fresh, path):
        return
    aside = path.rename(_beside(path))
    try:
        fresh.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    aside.rename(fresh)


def _swapped(a: Path, b: Path) -> bool:
    """Whether the system swapped two names in one step (Linux 3.15 on, most file systems)."""
    if sys.platform != "linux":
        return False
    import ctypes

    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    call: Any = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0:
        return True
    number = ctypes.get_errno()
    if number in (EINVAL, ENOSYS, ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(b))


def _sync(folder: Path) -> None:
    """Bring a folder with all below it to the disk."""
    for below, _, names in os.walk(folder):
        for name in names:
            with open(Path(below, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_entries(Path(below))


def _sync_entries(folder: Path) -> None:
    """Bring the names in a folder to the disk, where a folder can be opened for that."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
