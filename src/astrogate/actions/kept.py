"""The request for the pictures of a file that was drawn from Python: its points are in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

from astrogate.actions.options import Loading
from astrogate.actions.request import Plan, argument, option
from astrogate.actions.typed import InputFile
from astrogate.core.errors import AstrogateError
from astrogate.core.texts import counted

if TYPE_CHECKING:
    from pathlib import Path

    from astrogate.core.point import Point
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame, Recipe

#: What a file's record has beside what a Strip says of itself.
_OWN = ("point", "edits", "hold", "recipe", "recipe_hash", "versions", "strip")


class Kept(Loading):
    """Draw again what FILE holds, by the points in it."""

    kind: ClassVar[str] = "kept"
    brief: ClassVar[str] = "Draw again what was drawn from Python."
    file: InputFile = argument("A picture file, or a folder of frames.")
    batch_size: int | None = option(None, "Pictures drawn at once.  [default: as before]", ge=1)

    @cached_property
    def points(self) -> list[tuple[Point, Recipe]]:
        """The points and their recipes. Raises AstrogateError for a file that holds none."""
        from astrogate.rendering.kept import unpacked
        from astrogate.rendering.record import read_points

        found: list[tuple[Point, Recipe]] = []
        for file in sorted(self.file.glob("[0-9]*.png")) if self.file.is_dir() else [self.file]:
            if not (data := read_points(file)):
                told = f"{file} has no record of a request, and holds no points"
                raise AstrogateError(told, "name a file that a command drew, or `Strip.save` or `save_png` wrote")
            found += unpacked(data, file)
        return found

    def folders(self) -> tuple[Path | None, ...]:
        """See `Request.folders`."""
        return (*super().folders(), self.file)

    def check(self) -> None:
        """See `Request.check`."""
        super().check()
        _ = self.points

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.rendering.record import read_record
        from astrogate.rendering.render import render
        from astrogate.rendering.sheet import LARGEST_TILE

        told = read_record(self.file)
        facts = {name: value for name, value in told.items() if name not in _OWN}
        before = facts.get("batch_size")
        at_once = self.batch_size or (before if isinstance(before, int) and before > 0 else 8)

        def frames() -> Iterator[Frame]:
            for recipe, group in groupby(self.points, lambda kept: kept[1]):
                yield from render(model, [point for point, _ in group], recipe=recipe, batch_size=at_once)

        total = len(self.points)
        line = counted(total, "picture")
        layout = told.get("strip")
        if layout is None:
            return Plan(frames, total, facts=facts, line=line, whole=frames)
        damaged = AstrogateError(f"the record of {self.file} is damaged", "name the file as it was written")
        try:
            found = _layout(layout)
        except (LookupError, TypeError, ValueError, ArithmeticError) as error:
            raise damaged from error
        shown = len(found["columns"]) * max(1, len(found["rows"]))
        if shown != total or not 0 <= found["middle"] < total or not 1 <= found["tile"] <= LARGEST_TILE:
            raise damaged
        return Plan(frames, total, **found, facts=facts, line=line)


def _layout(told: Mapping[str, Any]) -> dict[str, Any]:
    """How a strip is laid out, by its record."""
    columns, rows = (tuple(map(str, told[name])) for name in ("columns", "rows"))
    return {"columns": columns, "rows": rows, "middle": int(told["middle"]), "tile": int(told["tile"])}
