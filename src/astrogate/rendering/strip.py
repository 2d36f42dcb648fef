"""Strip: frames in rows and columns with labels. `strip` slides along edits, `grid` along two at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Frame, Recipe
from astrogate.core.values import number, several, whole
from astrogate.rendering.cache import FrameCache
from astrogate.rendering.effects import Effect, effects
from astrogate.rendering.kept import packed
from astrogate.rendering.record import save_png
from astrogate.rendering.render import POINT, render
from astrogate.rendering.sheet import sheet


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Frames, row by row, a label for each column and, where there are several, for each row.

    `record` joins what a file says of how it was made; `middle` is the frame whose settings stand for all; `effects`
    say what each edit did.
    """

    frames: tuple[Frame, ...]
    columns: tuple[str, ...]
    rows: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict[str, Any])
    middle: int = 0
    effects: tuple[Effect, ...] = ()

    def __post_init__(self) -> None:
        if not self.frames or len(self.frames) != len(self.columns) * max(1, len(self.rows)):
            raise AstrogateError(
                f"{len(self.frames)} frames in {len(self.columns)} columns and {len(self.rows)} rows",
                "give one frame per column and row",
            )

    def __repr__(self) -> str:
        found = "".join(f"; {effect}" for effect in self.effects)
        return f"<Strip of {len(self.frames)} frames, {self.columns[0]} to {self.columns[-1]}{found}>"

    def image(self, *, tile: int = 128) -> Image.Image:
        """One picture of all, with the labels; see `sheet`."""
        return sheet(self.frames, columns=len(self.columns), labels=self.columns, rows=self.rows, tile=tile)

    def save(self, path: Path | str, *, tile: int = 128) -> None:
        """Write it as a PNG file with its record and all that makes it again, whole or not at all."""
        more, points = self.record, b""
        if self.effects:
            more = {**more, "effects": [effect.to_json() for effect in self.effects]}
        if "request" not in more:
            layout = {"columns": self.columns, "rows": self.rows, "middle": self.middle, "tile": tile}
            more, points = {**more, "strip": layout}, packed(self.frames)
        save_png(self.image(tile=tile), path, frame=self.frames[self.middle], more=more, points=points)

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.image().save(buffer, "PNG")
        return buffer.getvalue()

    def _repr_html_(self) -> str:
        cells = "".join(f"<th>{escape(label)}</th>" for label in self.columns)
        rows = self.rows or ("",)
        body = "".join(
            f"<tr><th>{escape(row)}</th>"
            + "".join(
                f"<td>{frame._repr_html_()}</td>"  # pyright: ignore[reportPrivateUsage]
                for frame in self.frames[i * len(self.columns) : (i + 1) * len(self.columns)]
            )
            + "</tr>"
            for i, row in enumerate(rows)
        )
        return f"<table><tr><th></th>{cells}</tr>{body}</table>"


def strip(
    model: Model,
    points: Point | Sequence[Point],
    edits: Edit | Sequence[Edit],
    low: float | None = None,
    high: float | None = None,
    *,
    n: int = 7,
    recipe: Recipe | None = None,
    batch_size: int = 8,
    cache: FrameCache | None = None,
    progress: bool = False,
) -> Strip:
    """Draw `n` scales of an edit, or of several that move together, one row per point.

    The scales go evenly from `low` to `high`, by default over the range that all the edits share. Raises
    AstrogateError for scales that an edit does not go to.
    """
    starts = several(points, Point, "point", POINT)
    moving = several(edits, Edit, "edit", "place a direction by direction.at(point)")
    scales = spaced(*span(moving, low, high), n)
    every = [along(start, moving, scale) for start in starts for scale in scales]
    frames = tuple(render(model, every, recipe=recipe, batch_size=batch_size, cache=cache, progress=progress))
    rows = told_apart(starts) if len(starts) > 1 else ()
    record = {"along": [told(edit) for edit in moving], "scales": scales, "seeds": [start.seed for start in starts]}
    record |= {"batch_size": batch_size}
    middle = scales.index(0) if 0 in scales else 0
    return Strip(frames, tuple(labels(scales)), rows, record, middle, effects(frames, model))


def told_apart(points: Sequence[Point]) -> tuple[str, ...]:
    """What tells points apart, in as few words as may be."""
    seeds, prompts = [f"seed {point.seed}" for point in points], [point.prompt for point in points]
    ways = (seeds, prompts, [f"{prompt}, {seed}" for prompt, seed in zip(prompts, seeds, strict=True)])
    numbered = [f"picture {i}" for i in range(1, len(points) + 1)]
    return tuple(next((names for names in ways if len(set(names)) == len(names) and "" not in names), numbered))


def grid(
    model: Model,
    point: Point,
    across: Edit,
    down: Edit,
    low: float | None = None,
    high: float | None = None,
    *,
    n: int = 5,
    recipe: Recipe | None = None,
    batch_size: int = 8,
    cache: FrameCache | None = None,
    progress: bool = False,
) -> Strip:
    """Draw a point under two edits at once: one varies within a row, the other from row to row, at `n` scales each."""
    scales = spaced(*span([across, down], low, high), n)
    points = [point.apply(across, a).apply(down, d) for d in scales for a in scales]
    frames = tuple(render(model, points, recipe=recipe, batch_size=batch_size, cache=cache, progress=progress))
    record = {"across": told(across), "down": told(down), "scales": scales, "seeds": [point.seed]}
    record |= {"batch_size": batch_size}
    heads = tuple(labels(scales))
    return Strip(frames, heads, heads, record, len(frames) // 2, effects(frames, model))


def along(point: Point, edits: Iterable[Edit], scale: float) -> Point:
    """A point with edits at one scale."""
    for edit in edits:
        point = point.apply(edit, scale)
    return point


def span(edits: Sequence[Edit], low: float | None = None, high: float | None = None) -> tuple[float, float]:
    """The range to show: what is asked for, else what all the edits' own ranges share.

    Raises AstrogateError without an edit, and for scales that one does not go to.
    """
    edits = several(edits, Edit, "edit", "name one to slide along")
    low = max(edit.range[0] for edit in edits) if low is None else number(low, "scale")
    high = min(edit.range[1] for edit in edits) if high is None else number(high, "scale")
    for edit in edits:
        edit.strength(low)
        edit.strength(high)
    return low, high


def spaced(low: float, high: float, n: int) -> list[float]:
    """`n` evenly spaced scales; a middle that should be 0 is exactly 0. Raises AstrogateError for absurd ones."""
    n = whole(n, "{} pictures", 1, 10_000, "ask for 1 to 10000")
    for value in (low, high):
        if not math.isfinite(value) or abs(value) > 1000:
            raise AstrogateError(f"scale {value:g}", "use finite scales of at most 1000 either way")
    if n == 1:
        return [high]
    if low == high:
        raise AstrogateError(f"{n} pictures from {low:g} to {high:g} are the same", "name two ends that differ")
    steps = [low + (high - low) * i / (n - 1) for i in range(n)]
    return [0.0 if abs(s) < 1e-12 * (abs(low) + abs(high)) else s for s in steps]


def labels(values: Iterable[float], sign: str = "+") -> list[str]:
    """Scales as a reader wants them: signed (`sign` "" is not), a plain 0, and as short as tells them apart."""
    known, found = list(values), list[str]()
    for digits in (2, 3, 4, 6, 9):
        found = [f"{value:{sign}.{digits}g}" if value else "0" for value in known]
        if len(set(found)) == len(set(known)):
            break
    return found


def told(edit: Edit) -> dict[str, Any]:
    """What a record says of an edit."""
    return {"name": edit.name, **edit.origin}
