"""Scores of readings: agreement, AUC, rank correlation, PSNR, retrieval, with bootstrap intervals where seeds vary.

Intervals are percentile bootstrap over the items given (Efron 1979), 1,000 resamples, seed 0, unless `halves` gives
them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval and the number of items behind it."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self:.3f}"

    def __format__(self, spec: str) -> str:
        """Each number in the format `spec` of floats (none: three decimals)."""
        value, low, high = (format(number, spec or ".3f") for number in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def bootstrap(statistic: Callable[..., float], *samples: ArrayLike, resamples: int = 1000) -> Estimate:
    """The statistic of equally long samples, resampled together. NaN throughout when there are no items."""
    arrays = [np.asarray(s) for s in samples]
    n = len(arrays[0])
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(0)
    draws = np.array([statistic(*(a[i] for a in arrays)) for i in rng.integers(n, size=(resamples, n))])
    defined = draws[~np.isnan(draws)]
    low, high = np.percentile(defined, [2.5, 97.5]) if defined.size else (np.nan, np.nan)
    return Estimate(float(statistic(*arrays)), float(low), float(high), n)


def halves(statistic: Callable[..., float], *samples: ArrayLike, draws: int = 200) -> Estimate:
    """The statistic of equally long samples, and 1.96 times its deviation over halves of the items either side.

    Half of the items, drawn without repeats, deviate from all as all do from the population (the delete-half jackknife,
    Shao & Wu 1989). For statistics that repeated items would mislead, such as distances between distributions.
    """
    arrays = [np.asarray(s) for s in samples]
    n, rng = len(arrays[0]), np.random.default_rng(0)
    found = [statistic(*(a[i] for a in arrays)) for i in (rng.permutation(n)[: n // 2] for _ in range(draws))]
    value, reach = float(statistic(*arrays)), 1.96 * float(np.std(found, ddof=1))
    return Estimate(value, value - reach, value + reach, n)


def mean(values: ArrayLike) -> float:
    """Arithmetic mean; NaN of nothing."""
    array = np.asarray(values, np.float64)
    return float(array.mean()) if array.size else float("nan")


def auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half (Mann-Whitney)."""
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    a, b = scores[positive], scores[~positive]
    if not len(a) or not len(b):
        return float("nan")
    return float(stats.mannwhitneyu(a, b).statistic / (len(a) * len(b)))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Rank correlation; 0 when either side is constant, since nothing then follows the other."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    found: Any = stats.spearmanr(x, y)
    return float(found.statistic)


def r2(truth: ArrayLike, read: ArrayLike) -> float:
    """Coefficient of determination: 1 - residual / total sum of squares; NaN where the truth does not vary."""
    truth, read = np.asarray(truth, np.float64), np.asarray(read, np.float64)
    total = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((truth - read) ** 2).sum() / total) if total else float("nan")


def psnr(a: ArrayLike, b: ArrayLike) -> Floats:
    """Peak signal-to-noise ratio in dB of pictures [n, ...] in [0, 1], one per picture."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    error = ((a - b) ** 2).reshape(len(a), -1).mean(1)
    return -10 * np.log10(np.maximum(error, 1e-12))


def retrieval(image: ArrayLike, text: ArrayLike, size: int = 100) -> Floats:
    """Whether a picture's own text is the nearest among `size`, over consecutive groups; unit rows [n, d]."""
    image, text = np.asarray(image), np.asarray(text)
    blocks = [slice(start, start + size) for start in range(0, len(image) - size + 1, size)]
    hits = [(image[b] @ text[b].T).argmax(1) == np.arange(size) for b in blocks]
    return np.concatenate(hits).astype(np.float64) if hits else np.empty(0)
