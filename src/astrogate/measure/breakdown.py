"""Where a style breaks the picture: the subject is no longer read, or the edges go.

edge energy = mean over pixels of |grad luminance|, luminance by ITU-R BT.601
breakdown   = the first strength at which the subject's reading differs from that at 0, or the edge energy is
              below `keep` of that at 0
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

_LUMINANCE = (0.299, 0.587, 0.114)


def edge_energy(pictures: Tensor) -> Tensor:
    """Mean gradient magnitude [n] of the luminance of pictures [n, 3, h, w] in [0, 1]."""
    grey = sum(weight * pictures[:, i] for i, weight in enumerate(_LUMINANCE))
    assert isinstance(grey, Tensor)
    across = grey[:, :-1, 1:] - grey[:, :-1, :-1]
    down = grey[:, 1:, :-1] - grey[:, :-1, :-1]
    return (across.square() + down.square()).sqrt().mean((1, 2))


def breakdown(
    strengths: Sequence[float], subjects: Sequence[str], edges: Sequence[float], *, keep: float = 0.8
) -> float | None:
    """The first broken strength of one strip, whose first strength is 0; None where none is."""
    for strength, subject, edge in zip(strengths, subjects, edges, strict=True):
        if subject != subjects[0] or edge < keep * edges[0]:
            return strength
    return None


def before_breakdown(strengths: Sequence[float], values: Sequence[float], broken: float | None) -> float:
    """The largest of `values`, one per strength, among the strengths before `broken`."""
    return max(v for s, v in zip(strengths, values, strict=True) if broken is None or s < broken)
