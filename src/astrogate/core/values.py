"""Values at the door: numbers of NumPy and torch become Python's own, so that one value has one form, hash and file."""

from __future__ import annotations

import math
import operator
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
#: What truth values call their type, in Python, NumPy and torch.
_TRUTHS = ("bool", "torch.bool")
#: How far beyond black and white rounding may lead.
_ROUNDING = 0.01


def whole(value: Any, what: str, low: int, high: int, remedy: str = "") -> int:
    """A whole number of any library as an int. Raises AstrogateError for anything else, and outside [low, high].

    `what` is what the error calls it, such as "seed" or "{} steps".
    """
    found = _number(value)
    if found is None or not low <= found <= high or found != int(found):
        raise AstrogateError(_called(what, value), remedy or f"use a whole number from {low} to {high}")
    return int(found)


def wholes(values: Any, what: str, low: int, high: int, remedy: str = "") -> list[int]:
    """Whole numbers of any library, one of them as a list of one. Raises AstrogateError for none, and as `whole`."""
    try:
        found = [values] if isinstance(values, (str, bytes)) else list(values)
    except TypeError:
        found = [values]
    if not found:
        raise AstrogateError(f"there is no {what}", remedy or f"use whole numbers from {low} to {high}")
    return [whole(value, what, low, high, remedy) for value in found]


def number(value: Any, what: str) -> float:
    """A number of any library as a float, infinite ones and NaN too. Raises AstrogateError for anything else."""
    found = _number(value)
    if found is None:
        raise AstrogateError(_called(what, value), "use a number")
    return float(found)


def real(value: Any, what: str, low: float = -math.inf, high: float = math.inf, remedy: str = "") -> float:
    """A finite number of any library as a float. Raises AstrogateError for anything else, and outside [low, high]."""
    found = _number(value)
    if found is None or not math.isfinite(found) or not low <= found <= high:
        bounds = "" if math.inf in (-low, high) else f" from {low:g} to {high:g}"
        raise AstrogateError(_called(what, value), remedy or f"use a finite number{bounds}")
    return float(found)


def pair(values: Any, what: str, remedy: str = "give two numbers") -> tuple[Any, Any]:
    """Two values, whatever holds them. Raises AstrogateError for more, for fewer, and for what holds none."""
    try:
        first, second = values
    except (TypeError, ValueError):
        raise AstrogateError(f"{what} {repr(values)[:40]}", remedy) from None
    return first, second


def several(given: Any, kind: type[T], what: str, remedy: str) -> list[T]:
    """Things of a kind as a list, one of them as a list of one. Raises AstrogateError for none, and for other things.

    `what` is what the error calls one of them, such as "point".
    """
    if isinstance(given, kind):
        return [given]
    found: list[Any] = [given] if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__") else list(given)
    for one in found:
        if not isinstance(one, kind):
            raise AstrogateError(f"a {type(one).__name__} is no {what}", remedy)
    if not found:
        raise AstrogateError(f"there is no {what}", remedy)
    return found


def path_of(value: Any, what: str = "file") -> Path:
    """A path of text. Raises AstrogateError for anything else: bytes, nothing, a number."""
    with suppress(TypeError):
        return Path(value)
    raise AstrogateError(f"a {type(value).__name__} names no {what}", "give a text or a Path")


def plain(value: Any) -> Any:
    """A number of NumPy or torch, or a path, as JSON takes it: for `json.dumps(..., default=plain)`."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def _number(value: Any) -> int | float | None:
    """An int or a float; None for what is no number, such as a truth value."""
    if isinstance(value, (str, bytes, bytearray)) or str(getattr(value, "dtype", type(value).__name__)) in _TRUTHS:
        return None
    try:
        found = operator.index(value)
        return found if abs(found) < 2**1000 else None
    except TypeError:
        pass
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _called(what: str, value: Any) -> str:
    """What an error calls a value."""
    found = _number(value)
    try:
        shown = repr(value)[:40] if found is None else f"{found:g}" if isinstance(found, float) else str(found)[:40]
    except ValueError:  # a number of thousands of digits
        shown = "a number that is too long"
    return what.format(shown) if "{}" in what else f"{what} {shown}"


def check_pictures(pictures: Tensor) -> None:
    """Raise AstrogateError for what are no pictures [n, 3, h, w] in [0, 1]."""
    if not hasattr(pictures, "is_floating_point"):
        found = f"a {type(pictures).__name__}"
    elif pictures.ndim != 4 or pictures.shape[1] != 3 or 0 in pictures.shape or not pictures.is_floating_point():
        found = f"{list(pictures.shape)} of {str(pictures.dtype).removeprefix('torch.')}"
    else:
        low, high = (float(end) for end in pictures.detach().aminmax())
        if low >= -_ROUNDING and high <= 1 + _ROUNDING:
            return
        found = f"numbers from {low:g} to {high:g}"
    raise AstrogateError(f"pictures are {found}", "give [n, 3, h, w] in [0, 1]: `to_tensor` makes them of images")
