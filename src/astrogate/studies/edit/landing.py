"""Where held-out prompts of a direction's two poles land on it: as text, and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from astrogate.core import archive
from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.values import real
from astrogate.rendering.letters import shown
from astrogate.studies.kit.report import pyplot, svg

_QUALITY = {"there": list[float], "back": list[float], "auc": float, "standard_error": float}
#: Farther out no prompt lands.
_FAR = 1e6
_BARS = " .:-=+*#%@"


def _shared_edges(there: Sequence[float], back: Sequence[float], bins: int) -> np.ndarray:
    return np.histogram_bin_edges(np.concatenate([there, back]), bins)


def quality_of(direction: Direction) -> dict[str, dict[str, Any]]:
    """How sure a direction is, by role, with where its poles land. Raises AstrogateError for one that says it oddly."""
    found = archive.told(direction.origin, "quality", dict[str, dict[str, Any]], {}, "a direction")
    if odd := sorted(found.keys() - direction.vectors.keys()):
        raise AstrogateError(f"{direction.name!r} has no vector in {odd[0]!r}, which it measures", "fit it anew")
    for quality in found.values():
        for name, kind in _QUALITY.items():
            told = archive.told(quality, name, kind, None, "a direction's quality")
            for value in told if isinstance(told, list) else [told]:
                real(value, f"a direction's {name}", -_FAR, _FAR, "fit it anew")
    return found


def histogram(there: Sequence[float], back: Sequence[float], *, bins: int = 60) -> list[str]:
    """Two rows of characters, the denser the darker, over one axis from the lowest landing to the highest."""
    edges = _shared_edges(there, back, bins)
    rows: list[str] = []
    for name, values in (("toward", there), ("away", back)):
        counts = np.histogram(values, edges)[0]
        shades = np.ceil(counts / max(1, counts.max()) * (len(_BARS) - 1)).astype(int)
        rows.append(f"{name:>6} |{''.join(_BARS[i] for i in shades)}|")
    return rows


def landing_svg(direction: Direction) -> str:
    """A figure with one panel per role. Raises AstrogateError for a direction without landings."""
    quality = quality_of(direction)
    if not quality:
        raise AstrogateError(f"{direction.name!r} does not say where its poles land", "fit it on two subjects or more")
    figure, axes = pyplot().subplots(
        len(quality), 1, figsize=(6, 2.2 * len(quality)), squeeze=False, layout="constrained"
    )
    for axis, (role, found) in zip(axes[:, 0], quality.items(), strict=True):
        edges = _shared_edges(found["there"], found["back"], 40)
        for pole, values in (("away", found["back"]), ("toward", found["there"])):
            name = shown(str(direction.origin.get(pole, pole)))
            axis.hist(values, edges, alpha=0.6, label=f" {name}" if name.startswith("_") else name)
        axis.set_title(f"{role}: AUC {found['auc']:.3f}, standard error {found['standard_error']:.3f}")
        axis.legend()
    axes[-1, 0].set_xlabel("position along the direction, held-out subjects")
    return svg(figure)
