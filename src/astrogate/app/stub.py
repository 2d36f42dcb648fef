"""What `astrogate` exports, for type checkers and editors: `make stub` writes it to `astrogate/__init__.pyi`."""

from __future__ import annotations

import sys

import astrogate


def stub() -> str:
    """The stub's text, from the table in `astrogate/__init__.py`."""
    homes: dict[str, str] = vars(astrogate)["_HOME"]
    order = sorted(homes, key=lambda name: (homes[name], not name[0].isupper(), name))
    lines = [f"from astrogate.{homes[name]} import {name} as {name}" for name in order]
    exported = [f'    "{name}",' for name in astrogate.__all__]
    head = ["# Written by `make stub` from the table in __init__.py.", ""]
    return "\n".join([*head, *lines, "", "__version__: str", "__all__ = [", *exported, "]", ""])


if __name__ == "__main__":
    sys.stdout.write(stub())
