"""Files and folders are whole or not there, whatever interrupts their writing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from safetensors.torch import save_file

from astrogate.core import files
from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_file, whole_folder, write_text

NEW = {"a": "new a", "deep/b": "new b"}
OLD = {"a": "old a", "c": "old c"}


def fill(folder: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_are_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "first")

    def interrupted() -> None:
        with whole_file(path) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "first"
    assert os.listdir(path.parent) == ["file.txt"]
    for wrong in (path / "below-a-file", path.parent, Path(os.devnull)):
        with pytest.raises(AstrogateError, match="cannot write"):
            write_text(wrong, "x")


def test_modes_are_those_of_an_ordinary_write(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "x")
        (tmp_path / "plain").write_text("x")
        (tmp_path / "plain folder").mkdir()
        with whole_folder(tmp_path / "folder", "a") as made:
            save_file({}, made / "weights")  # for its owner alone
    finally:
        os.umask(before)
    for ours, plain in (("file", "plain"), ("folder", "plain folder"), ("folder/weights", "plain")):
        assert (tmp_path / ours).stat().st_mode == (tmp_path / plain).stat().st_mode
    (tmp_path / "file").chmod(0o600)
    (tmp_path / "folder").chmod(0o700)
    write_text(tmp_path / "file", "y")
    (tmp_path / "folder" / "a").touch()
    with whole_folder(tmp_path / "folder", "a"):
        pass
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700


def test_a_link_stays_and_what_it_names_is_written(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    (tmp_path / "file link").symlink_to(tmp_path / "file")
    for content_ in (OLD, NEW):
        with whole_folder(tmp_path / "link", "a") as fresh:
            fill(fresh, content_)
        write_text(tmp_path / "file link", content_["a"])
    assert content(tmp_path / "folder") == NEW
    assert (tmp_path / "file").read_text() == NEW["a"]
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file link").is_symlink()


@pytest.mark.parametrize("exchange", [True, False], ids=["exchanged", "moved aside"])
def test_a_folder_is_replaced_whole(tmp_path: Path, exchange: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_swapped", lambda a, b: False)
    target = tmp_path / "deep" / "target"
    for kept in (OLD, NEW):
        with whole_folder(target, "a") as fresh:
            assert not list(fresh.iterdir())
            fill(fresh, kept)
        assert content(target) == kept
        assert os.listdir(target.parent) == ["target"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(AstrogateError, match="cannot write"), whole_folder(tmp_path / "file", "a"):
        pass
    assert (tmp_path / "file").read_text() == "x"


def test_a_folder_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "pictures", OLD)
    wanted = pytest.raises(AstrogateError, match="holds something else: name another folder")
    with wanted, whole_folder(tmp_path / "pictures", "done.json"):
        raise AssertionError
    assert content(tmp_path / "pictures") == OLD
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty", "done.json") as fresh:
        fill(fresh, {"done.json": "{}"})
    with whole_folder(tmp_path / "empty", "done.json") as fresh:
        fill(fresh, NEW)
    assert content(tmp_path / "empty") == NEW


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_a_failure_in_the_middle_leaves_the_old_folder_alone(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "target"
    fill(target, OLD)

    def interrupted(path: Path) -> None:
        with whole_folder(path, "a") as fresh:
            fill(fresh, NEW)
            raise error

    for path in (target, tmp_path / "none"):
        with pytest.raises(error):
            interrupted(path)
    assert content(target) == OLD
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.parametrize("step", range(3))
def test_without_an_exchange_a_failed_move_puts_the_old_folder_back(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    fill(target, OLD)
    monkeypatch.setattr(files, "_swapped", lambda a, b: False)
    real, moves = Path.rename, [0]

    def rename(self: Path, to: Path) -> Path:
        moves[0] += 1
        if moves[0] == step + 1:
            raise PermissionError("no")
        return real(self, to)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(PermissionError), whole_folder(target, "a") as fresh:
        fill(fresh, NEW)
    assert content(target) == (NEW if step == 2 else OLD)


_KILLED = """
import os, sys
from pathlib import Path
from astrogate.core.files import whole_folder

target, last = Path(sys.argv[1]), 0
OLD, NEW = {"a": "old", "b": "old"}, {"a": "new", "b": "new", "c": "new"}

def write(texts):
    with whole_folder(target, "a") as fresh:
        for name, text in texts.items():
            (fresh / name).write_text(text)

def content():
    return {path.name: path.read_text() for path in target.iterdir()}

write(OLD)
seen = set()
for last in range(1, 1000):
    child = os.fork()
    if child == 0:
        left = last
        def hook(event, arguments):
            global left
            left -= event.partition(".")[0] in ("os", "open", "shutil", "ctypes", "fcntl")
            if left == 0:
                os._exit(9)
        sys.addaudithook(hook)
        write(NEW)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = content()
    assert found in (OLD, NEW), (last, found)
    seen.add((code, tuple(found.values())[0]))
    write(OLD)
    assert not [path for path in target.parent.rglob("*") if path.is_file() and path.parent != target]
    if code == 0:
        break
assert code == 0 and {(9, "old"), (9, "new"), (0, "new")} <= seen, (code, seen)
print(last)
"""


def test_killed_at_any_step_it_leaves_the_old_or_the_new_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "target")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_fills_is_not(tmp_path: Path) -> None:
    target = tmp_path / "target"
    fill(tmp_path / ".target.01234567.astrogate-part", OLD)
    fill(tmp_path, {".other.png.89abcdef.astrogate-part": "x"})
    with whole_folder(target, "a") as first:
        fill(first, OLD)
        with whole_folder(target, "a") as second:
            assert sorted(os.listdir(tmp_path)) == sorted([first.name, second.name])
            fill(second, NEW)
        assert content(first) == OLD
    assert content(target) == OLD
    assert os.listdir(tmp_path) == ["target"]


@pytest.mark.skipif(sys.platform == "win32", reason="no locks")
def test_a_file_that_a_sweeper_takes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, sweepers = files._lock, list[threading.Timer]()

    def late(path: Path, wait: bool = False) -> int | None:
        if wait and not sweepers:  # a sweeper locked it first, and removes it a moment later
            held = lock(path)
            assert held is not None
            sweepers.append(threading.Timer(0.2, lambda: (path.unlink(), os.close(held))))
            sweepers[0].start()
        return lock(path, wait)

    monkeypatch.setattr(files, "_lock", late)
    write_text(tmp_path / "a", "whole")
    assert sweepers
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "whole"


def test_a_folder_that_appears_while_another_is_put_there_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, path = tmp_path / "fresh", tmp_path / "path"
    for folder in (fresh, path):
        folder.mkdir()
        (folder / "a").write_text(folder.name)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", lambda self: False)  # as it was when it was asked
        files._put(fresh, path)
    assert (path / "a").read_text() == "fresh"
    assert (fresh / "a").read_text() == "path"
