"""Archives come back as they were, or are refused in one line with the remedy; directions and bases are archives."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import astrogate
from astrogate.core import archive
from astrogate.core.basis import Basis
from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of

FIELDS = {"name": str, "numbers": list[float], "sizes": dict[str, int], "pair": tuple[float, float] | None, "any": dict}
KEPT: dict[str, Any] = {"name": "é", "numbers": [1, 2.5], "sizes": {"a": 1}, "pair": [0.5, 1], "any": {"a": [None]}}
ASKED: dict[str, Any] = {"what": "a thing", "remedy": "make it again", "format": "thing-1", "fields": FIELDS}

DIRECTION = Direction({"end": torch.arange(3.0)}, "model", "fat", {"of": [{"words": "a"}]}, (-2.0, 1.0))
BASIS = Basis(("a", "b"), torch.tensor([1.0, 0.0]), {"x": torch.ones(2, 3)}, {"x": 2.0}, 1, "model", "pet", {"n": None})


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    one = torch.randn(3, 4, requires_grad=True)
    tensors = {"one": one, "again": one, "turned": one.T, "half": one.half(), "count": torch.tensor(3)}
    archive.write(tmp_path / "below" / "x", tensors, KEPT, format="thing-1")
    back, kept = archive.read(tmp_path / "below" / "x", **ASKED)
    assert kept == KEPT
    assert set(back) == set(tensors)
    assert all(torch.equal(back[k], v) and back[k].dtype == v.dtype for k, v in tensors.items())
    assert all(torch.equal(load_file(tmp_path / "below" / "x")[k], v) for k, v in tensors.items())


def test_files_of_other_programs_are_read_and_written(tmp_path: Path) -> None:
    save_file(
        {"a.b": torch.ones(2), "a.c": torch.zeros(1), "ab": torch.ones(1)},
        tmp_path / "theirs",
        {"x": "{", "format": "pt"},
    )
    found, kept = archive.read(tmp_path / "theirs", what="x", remedy="x")
    assert (sorted(found), kept) == (["a.b", "a.c", "ab"], {})
    assert sorted(archive.below("a", found)) == ["b", "c"]
    archive.write(tmp_path / "ours", found)
    save_file(found, tmp_path / "theirs", {"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_a_file_that_is_none_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "x"
    archive.write(path, {"one": torch.ones(3)}, KEPT, format="thing-1")
    whole = path.read_bytes()
    with pytest.raises(AstrogateError, match="not a thing: make it again"):
        archive.read(path, **{**ASKED, "format": "thing-2"})
    with pytest.raises(AstrogateError, match=r"has no two\); it may be cut off: make it again"):
        archive.read(path, tensors=("one", "two"), **ASKED)
    with pytest.raises(AstrogateError, match="has no other"):
        archive.read(path, **{**ASKED, "fields": {"other": str}})
    for missing in (tmp_path / "none", path / "below"):
        with pytest.raises(AstrogateError, match="does not exist: make it again"):
            archive.read(missing, **ASKED)
    with pytest.raises(AstrogateError, match="could not be read"):
        archive.read(tmp_path, **ASKED)
    for size in (*range(20), len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(AstrogateError, match="cut off: make it again"):
            archive.read(path, **ASKED)


def test_a_damaged_file_never_ends_in_a_traceback(tmp_path: Path) -> None:
    path, draw = tmp_path / "x", random.Random(0)
    archive.write(path, {"one": torch.ones(3)}, KEPT, format="thing-1")
    whole, refused = path.read_bytes(), set[str]()
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 3))):
            damaged[draw.randrange(len(whole) - 12)] = draw.randrange(256)
        path.write_bytes(damaged)
        try:
            archive.read(path, **ASKED)
        except AstrogateError as error:
            refused.add(error.remedy)
    assert refused == {"make it again"}


@pytest.mark.parametrize("text", ["[]", "1", "{}", '{"format": 1}', "null"])
def test_other_json_is_another_format(tmp_path: Path, text: str) -> None:
    save_file({"one": torch.ones(1)}, tmp_path / "x", {"astrogate": text})
    with pytest.raises(AstrogateError, match="not a thing: make it again"):
        archive.read(tmp_path / "x", **ASKED)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("name", "1"),
        ("name", "fat"),
        ("name", ""),
        ("numbers", '"12"'),
        ("numbers", '[1, "2"]'),
        ("numbers", "[true]"),
        ("numbers", "{}"),
        ("sizes", '{"a": 1.5}'),
        ("sizes", '[["a", 1]]'),
        ("pair", "[1]"),
        ("pair", "[1, 2, 3]"),
        ("pair", "0"),
        ("any", "[]"),
        ("any", "null"),
        ("any", '{"a":' * 100_000 + "1" + "}" * 100_000),
        ("any", "[" * 100_000),
    ],
)
def test_metadata_of_another_type_or_too_deep_are_refused(tmp_path: Path, name: str, text: str) -> None:
    whole, tensors = json.dumps({"format": "thing-1", **KEPT, name: "?", "checksum": "!"}), {"one": torch.ones(1)}

    def write(value: str) -> None:
        """A file with this value and, where there can be one, the checksum that fits."""
        told = whole.replace('"?"', value)
        with suppress(ValueError, RecursionError):
            content = {k: v for k, v in json.loads(told).items() if k != "checksum"}
            told = told.replace('"!"', json.dumps(key_of(content, tensors)))
        save_file(tensors, tmp_path / "x", {"astrogate": told})

    write(json.dumps(KEPT[name]))
    assert archive.read(tmp_path / "x", **ASKED)[1] == KEPT
    write(text)
    with pytest.raises(AstrogateError, match=r"could not be read .*: make it again") as raised:
        archive.read(tmp_path / "x", **ASKED)
    assert len(str(raised.value)) < 500


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"of": [value]}
    return value


@pytest.mark.parametrize("value", [{1, 2}, nested(100_000)], ids=["a set", "a deep one"])
def test_metadata_that_json_does_not_hold_leave_the_old_file(tmp_path: Path, value: Any) -> None:
    archive.write(tmp_path / "x", {}, {"a": 1}, format="thing-1")
    before = (tmp_path / "x").read_bytes()
    with pytest.raises(AstrogateError, match="cannot hold its metadata"):
        archive.write(tmp_path / "x", {}, {"a": value}, format="thing-1")
    assert (tmp_path / "x").read_bytes() == before


@pytest.mark.parametrize("noun", [DIRECTION, BASIS], ids=["direction", "basis"])
def test_a_noun_comes_back_from_its_file_or_is_refused(tmp_path: Path, noun: Direction | Basis) -> None:
    path, load = tmp_path / "x", type(noun).load
    noun.save(str(path))
    load(path).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    others: dict[type, Callable[[], object]] = {
        Direction: lambda: Basis.load(path),
        Basis: lambda: Direction.load(path),
    }
    with pytest.raises(AstrogateError, match="is not a d"):
        others[type(noun)]()
    (tmp_path / "again").write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AstrogateError, match="cut off: name a file"):
        load(tmp_path / "again")


def test_a_basis_file_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    BASIS.save(tmp_path / "x")
    tensors, kept = archive.read(
        tmp_path / "x",
        what="",
        remedy="",
        fields=dict.fromkeys(("names", "lengths", "used", "model", "name", "origin"), Any),
    )
    wrong: list[tuple[dict[str, torch.Tensor], dict[str, Any]]] = [
        ({"weights": torch.ones(3)}, {}),
        ({"weights": torch.tensor(1.0)}, {}),
        ({"atoms.x": torch.ones(2)}, {}),
        ({"atoms.y": torch.ones(2, 3)}, {}),
        ({}, {"lengths": {}}),
        ({}, {"used": 0}),
        ({}, {"names": ["a"]}),
        ({}, {"names": "ab"}),
    ]
    for other, changed in wrong:
        archive.write(tmp_path / "x", {**tensors, **other}, {**kept, **changed}, format="astrogate-basis-1")
        with pytest.raises(AstrogateError):
            Basis.load(tmp_path / "x")


def test_a_kept_file_is_made_anew_where_it_is_broken(tmp_path: Path) -> None:
    path, made = tmp_path / "kept", list[int]()

    def make() -> dict[str, torch.Tensor]:
        made.append(1)
        return {"x": torch.arange(3.0)}

    def told() -> int:
        before = len(made)
        assert torch.equal(archive.kept(path, make, ("x",), 3)["x"], torch.arange(3.0))
        return len(made) - before

    assert [told(), told()] == [1, 0]
    whole = path.read_bytes()
    for broken in (whole[:-1], b"", whole[:-1] + bytes([whole[-1] ^ 1]), b"\x00" * len(whole)):
        path.write_bytes(broken)
        assert [told(), told()] == [1, 0]
    for name, rows in (("kept", 2), ("other", 3)):
        archive.write(path, {"x": torch.arange(float(rows))}, {"name": name}, format="astrogate-kept-1")
        assert [told(), told()] == [1, 0]
    assert archive.kept(None, make, ("x",), 3).keys() == {"x"}


def test_nothing_else_reads_or_writes_safetensors() -> None:
    root = Path(astrogate.__file__).parent
    users = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if any(word in path.read_text() for word in ("safetensors.torch", "safe_open"))
    ]
    assert users == ["core/archive.py"]
