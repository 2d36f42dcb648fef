"""Files and folders are written whole or not at all: beside the target, fsync, then put in its place in one step.

A folder that is there is exchanged for the new one by renameat2(RENAME_EXCHANGE), so that at every moment the old or
the new one is there whole. Where the system cannot exchange, the old one is moved aside first, and back on failure.

What is being written has a name of its own, ".NAME.xxxxxxxx.astrogate-part", and a lock. A process that was killed
holds none: the next one that writes into the same folder removes what it left. Links are followed; another name of the
same file (a hard link) keeps the old content.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from errno import EACCES, EEXIST, EINVAL, ENOSYS, ENOTEMPTY, ENOTSUP, EROFS
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from astrogate.core.errors import AstrogateError
from astrogate.core.values import path_of

_PART = re.compile(r"\..*\.[0-9a-f]{8}\.astrogate-part")
_swept: set[Path] = set()


def is_folder(path: Path | str) -> bool:
    """Whether a folder is there; no for a name that none can have."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def is_file(path: Path | str) -> bool:
    """Whether a file is there; no for a name that none can have."""
    return is_there(path) and Path(path).is_file()


def is_there(path: Path | str) -> bool:
    """Whether a file or a folder is there; no for a name that none can have."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def real(path: Path | str) -> Path:
    """Where a path leads through all links. Raises AstrogateError for links in a circle, and for what is no path."""
    try:
        found = Path(os.path.realpath(path_of(path)))
        found.exists()  # the system's word on names that are too long
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or error
        raise AstrogateError(f"cannot write {str(path)[-80:]!r} ({told})", "name another file") from error
    if found.is_symlink():
        raise AstrogateError(f"{path} is a link that leads in a circle", "delete it, or give another path")
    return found


@contextmanager
def whole_file(path: Path) -> Generator[BinaryIO]:
    """Open `path` for writing bytes; it appears, complete, when the block ends without an error.

    Raises AstrogateError if the folder does not take a file.
    """
    path = real(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise FileExistsError(f"{path} is a folder or a device")
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(EACCES, "it is read-only")
        if path.parent not in _swept:  # a cache writes thousands of files into one folder
            _sweep(path.parent)
            _swept.add(path.parent)
        temporary, opened, lock = _locked_file(path)
    except OSError as error:
        raise AstrogateError(f"cannot write {path} ({error.strerror or error})", "name a writable file") from error
    try:
        with opened as file:
            yield file
            file.flush()
            _synced(file.fileno())
        if path.exists():
            _copy_owner(path, temporary)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        _name(error, path)
        raise
    finally:
        if lock is not None:
            os.close(lock)


@contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Hold the lock `path`, a file, while open. Raises AstrogateError where another process does."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AstrogateError(f"another process is at work in {path.parent}", "wait, or name another one") from error
        except OSError:  # a file system without locks
            pass
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):  # let go just now
            raise AstrogateError(f"another process was at work in {path.parent}", "start again")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as file:
        file.write(text.encode(errors="backslashreplace"))


@contextmanager
def whole_folder(path: Path, mark: str) -> Generator[Path]:
    """Yield an empty folder beside `path`; it takes the place of `path` when the block ends without an error.

    Until then a folder at `path` stays as it is. Raises AstrogateError if there can be no folder, and for one that
    holds something and no `mark`, which every folder of this kind has: it is not ours to replace.
    """
    path = real(path)
    if path.is_dir() and any(path.iterdir()) and not (path / mark).exists():
        raise AstrogateError(f"{path} holds something else", "name another folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"{path} is a file")
        _sweep(path.parent)
        fresh, lock = _locked_folder(path)
    except OSError as error:
        raise AstrogateError(f"cannot write {path} ({error.strerror or error})", "name a writable folder") from error
    try:
        yield fresh
        _open_as_usual(fresh)
        _sync(fresh)
        _put(fresh, path)
        _sync_entries(path.parent)
    except OSError as error:
        _name(error, path)
        raise
    finally:  # what is left under the temporary name is unfinished, or the old folder
        shutil.rmtree(fresh, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _beside(path: Path) -> Path:
    """A name beside `path` for what is not finished, no longer than names may be."""
    return path.with_name(f".{path.name[:40]}.{token_hex(4)}.astrogate-part")


def _name(error: BaseException, path: Path) -> None:
    """A full disk names no file of its own."""
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(path)


def _locked_file(path: Path) -> tuple[Path, BinaryIO, int | None]:
    """A new file beside `path`, open, with its lock; one that was swept before it was locked is made again."""
    while True:
        temporary = _beside(path)
        opened = temporary.open("xb")
        lock = _lock(temporary, wait=True)
        if temporary.exists():
            return temporary, opened, lock
        opened.close()


def _locked_folder(path: Path) -> tuple[Path, int | None]:
    """A new folder beside `path`, with its lock; one that was swept before it was locked is made again."""
    while True:
        made = _beside(path)
        made.mkdir()
        lock = _lock(made, wait=True)
        if made.exists():
            return made, lock


def _lock(path: Path, wait: bool = False) -> int | None:
    """Lock a file or a folder until the descriptor is closed, or its process ends. None where another process has the
    lock, or there are none. What was made just now waits: a sweeper may hold it, and is about to remove it."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _sweep(folder: Path) -> None:
    """Remove what killed writers left in a folder: what nobody has locked."""
    with suppress(OSError):  # a folder may take files and not be read
        for left in (path for path in folder.iterdir() if _PART.fullmatch(path.name)):
            with suppress(OSError):
                lock = _lock(left)
                if lock is not None:
                    try:
                        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink()
                    finally:
                        os.close(lock)


def _copy_owner(path: Path, to: Path) -> None:
    """Give `to` the owner, the group and the mode of `path`, where the system has them and lets us."""
    with suppress(OSError, AttributeError):
        found, own = path.stat(), to.stat()
        if (found.st_uid, found.st_gid) != (own.st_uid, own.st_gid):
            os.chown(to, found.st_uid, found.st_gid)
    with suppress(OSError):
        shutil.copymode(path, to)


def _open_as_usual(folder: Path) -> None:
    """Give files the mode that an ordinary write gives: safetensors writes its own for the owner alone."""
    with suppress(OSError):  # a system without modes
        asked = folder / ".mode"
        asked.touch()
        mode = asked.stat().st_mode & 0o777
        asked.unlink()
        for below, _, names in os.walk(folder):
            for path in (Path(below, name) for name in names):
                if not path.is_symlink():
                    path.chmod(mode)


def _synced(descriptor: int) -> None:
    """Bring what is open to the disk, where the system can say so."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (EINVAL, ENOSYS, ENOTSUP, EROFS):
            raise


def _put(fresh: Path, path: Path) -> None:
    """Give a folder the name `path`; one that is there, or was put there meanwhile, takes the fresh one's name."""
    if not path.exists():
        try:
            fresh.rename(path)
            return
        except OSError as error:
            if error.errno not in (ENOTEMPTY, EEXIST):
                raise
    _exchange(fresh, path)


def _exchange(fresh: Path, path: Path) -> None:
    """Swap two folders, whose owner and mode stay: in one step, or by way of a third name."""
    _copy_owner(path, fresh)
    if _swapped(fresh, path):
        return
    aside = path.rename(path.with_name(f".{path.name[:40]}.{token_hex(4)}.old"))  # which nothing sweeps
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
                _synced(file.fileno())
        _sync_entries(Path(below))


def _sync_entries(folder: Path) -> None:
    """Bring the names in a folder to the disk, where a folder can be opened for that."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _synced(descriptor)
        finally:
            os.close(descriptor)
