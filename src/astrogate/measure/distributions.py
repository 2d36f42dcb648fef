"""How far two sets of pictures are apart, by their features x, y [n, d].

    FID = |m_x - m_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2))                          Heusel et al. 2017
    KID = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),  k = (x.y / d + 1)^3       Binkowski et al. 2018
    diversity = mean over pairs of 1 - cos(x, x')

FID is biased upwards for small sets, so sets that are compared have one size; KID, without the diagonals, is unbiased.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from astrogate.core.errors import AstrogateError
from astrogate.measure.scores import Floats


def fid(x: ArrayLike, y: ArrayLike) -> float:
    """Frechet distance of Gaussians fitted to two sets. Raises AstrogateError for fewer than two rows."""
    a, b = _pair(x, y)
    means, (s, t) = (a.mean(0) - b.mean(0)), (np.cov(a, rowvar=False), np.cov(b, rowvar=False))
    # The trace of (S T)^(1/2) is that of the root of a symmetric matrix with the same eigenvalues.
    root = _root(s)
    middle = np.linalg.eigvalsh(root @ t @ root).clip(0)
    return float(means @ means + np.trace(s) + np.trace(t) - 2 * np.sqrt(middle).sum())


def _root(s: Floats) -> Floats:
    values, vectors = linalg.eigh(s)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T


def kid(x: ArrayLike, y: ArrayLike) -> float:
    """The unbiased squared maximum mean discrepancy of two sets; it may fall below 0 for equal ones."""
    a, b = _pair(x, y)
    d, (n, m) = a.shape[1], (len(a), len(b))
    xx, yy, xy = ((p @ q.T / d + 1) ** 3 for p, q in ((a, a), (b, b), (a, b)))
    within = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def diversity(x: ArrayLike) -> float:
    """Mean cosine distance between the rows of one set. Raises AstrogateError for fewer than two."""
    a = np.asarray(x, np.float64)
    if len(a) < 2:
        raise AstrogateError(f"diversity of {len(a)} pictures", "give two or more")
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    cosines = a @ a.T
    return float(1 - (cosines.sum() - np.trace(cosines)) / (len(a) * (len(a) - 1)))


def _pair(x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise AstrogateError(f"features of shapes {a.shape} and {b.shape}", "give two rows or more each, of one width")
    return a, b
