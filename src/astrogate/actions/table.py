"""Every request, by its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from astrogate.actions.paths import Pan, Walk
from astrogate.actions.pictures import Blend, Diff, Imagine, Probe, Vary
from astrogate.actions.request import Request
from astrogate.actions.strips import Grid, Guide, Insert, Manipulate, Slide, Style
from astrogate.actions.typed import SHORT
from astrogate.core.errors import AstrogateError

REQUESTS: Mapping[str, type[Request]] = {
    request.kind: request
    for request in (
        *(Slide, Insert, Style, Guide, Grid, Walk, Pan),
        *(Imagine, Vary, Blend, Diff, Probe, Manipulate),
    )
}


def request_of(asked: Mapping[str, Any], source: str) -> Request:
    """The request that a JSON object holds. Raises AstrogateError, which names the source, for one that holds none."""
    options = dict(asked)
    kind = options.pop("kind", None)
    if not isinstance(kind, str) or kind not in REQUESTS:
        raise AstrogateError(
            f"{source} asks for {SHORT.repr(kind)}, which is unknown", f"choose from {', '.join(REQUESTS)}"
        )
    return REQUESTS[kind].of(**options)
