"""Packages that only some functions need; an extra of Astrogate brings each: `pip install "astrogate[video]"`."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from astrogate.core.errors import AstrogateError


def check_python() -> None:
    """Raise AstrogateError where Python dropped the docstrings: transformers and diffusers read theirs."""
    if sys.flags.optimize > 1:
        raise AstrogateError("Python dropped the docstrings, which transformers reads", "start it without -OO")


def need(module: str, extra: str) -> None:
    """Raise AstrogateError, which says what to install, where a module of an extra is missing; nothing is imported."""
    if find_spec(module) is None:
        raise AstrogateError(f"the package {module} is not installed", f'pip install "astrogate[{extra}]"')
