"""Frames without their pictures, as bytes: the points and recipes of a file that was drawn from Python.

A command's file holds its request; what Python drew has none, so that its file holds all that a denoiser starts from.
Tensors and edits that several points share are kept once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from astrogate.core import archive
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of
from astrogate.core.parts import Hold
from astrogate.core.point import Point, check_tensors
from astrogate.core.recipe import Frame, Recipe
from astrogate.core.segment import Segment

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT = "astrogate-points-1"
#: What a point holds, as JSON.
_POINT = {
    "tensors": dict[str, str],
    "model": str,
    "segments": list[dict[str, Any]],
    "prompt": str,
    "edits": list[tuple[str, float]],
    "extras": dict[str, str],
    "seed": int,
    "draw": int,
    "hold": dict[str, float] | None,
    "recipe": dict[str, Any] | None,
    "origin": dict[str, Any],
}
_FIELDS = {"points": list[dict[str, Any]], "recipes": list[dict[str, Any]]}
_REMEDY = "name the file as it was written"
#: A file that would hold more than these bytes holds none of it.
MOST = 32 * 2**20


def packed(frames: Sequence[Frame]) -> bytes:
    """What makes `frames` again, as bytes; none where it is more than `MOST`."""
    import torch

    tensors: dict[str, Tensor] = {}
    edits: dict[int, str] = {}

    def name_of(tensor: Tensor) -> str:
        name = f"tensor.{key_of(tensor)}"
        tensors[name] = tensor
        return name

    def edit_of(edit: Edit) -> str:
        if id(edit) not in edits:
            with TemporaryDirectory() as folder:
                edit.save(path := Path(folder) / "edit")
                edits[id(edit)] = name_of(torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8))
        return edits[id(edit)]

    points = [
        {
            "tensors": {space: name_of(tensor) for space, tensor in point.tensors.items()},
            "model": point.model,
            "segments": [asdict(segment) for segment in point.segments],
            "prompt": point.prompt,
            "edits": [[edit_of(edit), scale] for edit, scale in point.edits],
            "extras": {name: name_of(tensor) for name, tensor in point.extras.items()},
            "seed": point.seed,
            "draw": point.draw,
            "hold": None if point.hold is None else asdict(point.hold),
            "recipe": None if point.recipe is None else point.recipe.to_json(),
            "origin": dict(point.origin),
        }
        for point in (frame.point for frame in frames)
    ]
    if sum(tensor.nbytes for tensor in tensors.values()) > MOST:
        return b""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "points"
        recipes = [frame.recipe.to_json() for frame in frames]
        archive.write(path, tensors, {"points": points, "recipes": recipes}, format=_FORMAT)
        return path.read_bytes()


def unpacked(data: bytes, source: Path | str) -> list[tuple[Point, Recipe]]:
    """The points and recipes that `packed` kept. Raises AstrogateError, which names the source, for damaged ones."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "points"
        path.write_bytes(data)
        try:
            tensors, kept = archive.read(path, what="points", remedy=_REMEDY, format=_FORMAT, fields=_FIELDS)
            edits = {name: _edit(tensors[name], folder) for told in kept["points"] for name, _ in told["edits"]}
            points = [_point(told, tensors, edits) for told in kept["points"]]
            return list(zip(points, [Recipe(**told) for told in kept["recipes"]], strict=True))
        except (AstrogateError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise AstrogateError(f"the points in {source} are damaged", _REMEDY) from error


def _edit(data: Tensor, folder: str) -> Edit:
    path = Path(folder) / "edit"
    path.write_bytes(data.numpy().tobytes())
    return Edit.load(path)


def _point(found: dict[str, Any], tensors: dict[str, Tensor], edits: dict[str, Edit]) -> Point:
    told = {name: archive.told(found, name, kind, None, "a point") for name, kind in _POINT.items()}
    point = Point(
        {space: tensors[name] for space, name in told["tensors"].items()},
        told["model"],
        tuple(Segment.of(segment) for segment in told["segments"]),
        told["prompt"],
        tuple((edits[name], float(scale)) for name, scale in told["edits"]),
        {name: tensors[kept] for name, kept in told["extras"].items()},
        told["seed"],
        told["draw"],
        None if told["hold"] is None else Hold(**told["hold"]),
        None if told["recipe"] is None else Recipe(**told["recipe"]),
        told["origin"],
    )
    check_tensors(point)
    return point
