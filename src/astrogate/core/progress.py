"""Where progress is shown: on the standard error stream, if there is one."""

from __future__ import annotations

import sys
from typing import TextIO, cast


def unseen(*, terminal: bool = False) -> bool:
    """Whether nobody would see a bar; with `terminal`, also where it would go into a file."""
    stream = cast("TextIO | None", sys.stderr)  # None in a program without a console
    gone = stream is None or getattr(stream, "closed", False)
    return gone or (terminal and not getattr(stream, "isatty", lambda: False)())
