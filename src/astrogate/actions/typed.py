"""Values as a person types them, in one text each: a range, a window, a hold, a curve, a setting, numbers, a file."""

from __future__ import annotations

import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Window, checked_window

#: Shows values that are asked for, however long or deep.
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = 80


def _typed(parse: Callable[[str], tuple[Any, ...]], problem: str, remedy: str) -> BeforeValidator:
    """Reads a text by `parse`, and leaves other values as they are. Raises AstrogateError for what it can't read."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse(value)
        except ValueError:
            raise AstrogateError(f"{SHORT.repr(value)} {problem}", remedy) from None

    return BeforeValidator(read)


def _pair(text: str) -> tuple[float, float]:
    low, high = text.split(":")
    return float(low), float(high)


def _window(text: str) -> tuple[Any, ...]:
    kind, _, levels = text.partition(":")
    return ("noise", *_pair(levels)) if kind == "noise" else _pair(text)


def _checked(value: Any) -> Any:
    return checked_window(value) if isinstance(value, (tuple, list)) else value


def _hold(text: str) -> tuple[float, float]:
    share, _, attend = text.partition(":")
    return float(share), float(attend or 1.0)


def _curve(text: str) -> tuple[tuple[float, float], ...]:
    return tuple(_pair(pair) for pair in text.split(",") if text)


def _setting(text: str) -> tuple[str, float]:
    spec, _, scale = text.rpartition("=")
    return spec, float(scale)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


_RANGE = _typed(_pair, "is not a range", "write two numbers with a colon, e.g. 0:1 or =-2:2")
_WINDOW = _typed(_window, "is no window", "write shares of the steps, e.g. 0.2:1, or levels of noise, noise:0.8:0")
_HOLD = _typed(_hold, "is no hold", "write a share, e.g. 1, or a share and a start, 0.5:0.2")
_CURVE = _typed(_curve, "is not a curve", "write pairs of share and weight, e.g. 0.2:0,0.5:1")
_SETTING = _typed(_setting, "has no scale", "write e.g. tall:short=1.5")
_NUMBERS = _typed(_numbers, "are no whole numbers", "write them with commas, e.g. 1,4,16")

Range = Annotated[tuple[float, float], _RANGE, "LOW:HIGH"]
#: When an edit acts, checked before anything is loaded, and its help.
When = Annotated[Window, BeforeValidator(_checked), _WINDOW, "WINDOW"]
WHEN_HELP = "When it acts: shares of the steps, 0.2:1, or levels of noise, noise:0.8:0."
HoldPair = Annotated[tuple[float, float], _HOLD, "SHARE[:START]"]
CurvePairs = Annotated[tuple[tuple[float, float], ...], _CURVE, "U:W,..."]
Setting = Annotated[tuple[str, float], _SETTING, "SPEC=SCALE"]
Numbers = Annotated[tuple[int, ...], _NUMBERS, "N,N,..."]
#: A file that is read, whose content a record names by its digest.
InputFile = Annotated[Path, "PATH"]


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


#: Several, of which one alone may stand for a tuple of one.
Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]
Settings = Annotated[tuple[Setting, ...], BeforeValidator(_several)]
Files = Annotated[tuple[InputFile, ...], BeforeValidator(_several)]
Curves = Annotated[tuple[CurvePairs, ...], BeforeValidator(_several)]
