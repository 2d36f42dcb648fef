"""Path: where to go. When to be there is a timing, apart (`ops.timing`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.point import Point


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A point for every u in [0, 1]. `keys` are the u of its key points; a closed path ends where it began."""

    at: Callable[[float], Point]
    keys: tuple[float, ...] = (0.0, 1.0)
    closed: bool = False

    def __call__(self, u: float) -> Point:
        """The point at u. Raises AstrogateError outside [0, 1]."""
        if not 0 <= u <= 1:
            raise AstrogateError(f"u = {u:g}", "a path runs from 0 to 1")
        return self.at(u)

    def sample(self, us: Iterable[float]) -> Iterator[Point]:
        """The points at `us`, made as they are asked for."""
        return (self(u) for u in us)
