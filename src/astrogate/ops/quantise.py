"""Embeddings as short sequences of symbols: principal components, then buckets (Ramesh et al. 2022, section 2.2).

    y = V (z - mean),  V the leading eigenvectors of cov(z) by falling eigenvalue
    id_k = which of B equally wide buckets of component k's range y_k falls into; back: the bucket's middle

The paper keeps 319 of 1024 components (under 1 % mean error) and 1,024 buckets per component. It does not say how
buckets are cut: here over the range of the central 99.9 % of the fitted values, beyond which y is clipped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from astrogate.core.errors import AstrogateError
from astrogate.core.state import usual
from astrogate.core.values import real, whole


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    """`mean` [d], `basis` [k, d] of orthonormal rows, `low` and `high` [k], and the number of buckets."""

    mean: Tensor
    basis: Tensor
    low: Tensor
    high: Tensor
    buckets: int

    def __repr__(self) -> str:
        return f"<Codebook, {len(self.basis)} components in {self.buckets} buckets>"

    @usual()
    def project(self, z: Tensor, rank: int | None = None) -> Tensor:
        """`z` [n, d] as its first `rank` components show it (None: all that are kept)."""
        basis = self.basis[:rank]
        return self.mean + (z - self.mean) @ basis.T @ basis

    @usual()
    def encode(self, z: Tensor) -> Tensor:
        """`z` [n, d] to symbols [n, k] in 0 .. buckets - 1. Raises AstrogateError for what has none."""
        if z.ndim != 2 or z.shape[1] != len(self.mean) or not z.isfinite().all():
            raise AstrogateError(f"embeddings {list(z.shape)}", f"give finite ones [n, {len(self.mean)}]")
        y = (z - self.mean) @ self.basis.T
        share = (y - self.low) / (self.high - self.low)
        return (share * self.buckets).floor().clamp(0, self.buckets - 1).long()

    @usual()
    def decode(self, ids: Tensor) -> Tensor:
        """Symbols [n, j <= k] to embeddings [n, d]; components that are not there yet are 0."""
        j = ids.shape[-1]
        if j > len(self.basis):
            raise AstrogateError(f"{j} symbols", f"give at most {len(self.basis)}")
        share = (ids.to(self.mean) + 0.5) / self.buckets
        y = self.low[:j] + share * (self.high[:j] - self.low[:j])
        return self.mean + y @ self.basis[:j]


@usual()
def fit_codebook(z: Tensor, *, error: float = 0.01, rank: int | None = None, buckets: int = 1024) -> Codebook:
    """A codebook of embeddings [n, d]: as few components as keep the relative squared error of the deviations from
    the mean under `error`, or `rank` of them.

    Raises AstrogateError for no more embeddings than components; how many keep an error, only more than d can tell.
    """
    if not isinstance(z, Tensor) or z.ndim != 2 or not z.is_floating_point() or not z.isfinite().all():  # pyright: ignore[reportUnnecessaryIsInstance]
        raise AstrogateError(f"embeddings {list(z.shape)} of {z.dtype}", "give a tensor of finite ones [n, d]")
    n, d = z.shape
    buckets = whole(buckets, "{} buckets", 2, 2**20)
    rank = None if rank is None else whole(rank, "{} components", 1, d)
    if n <= (least := rank or d):
        raise AstrogateError(f"{n} embeddings for {least} components of {d} dimensions", f"fit on more than {least}")
    error = real(error, "an error of {}", 0, 1)
    if not (z != z[:1]).any():
        raise AstrogateError("all embeddings are the same", "fit on different ones")
    mean, covariance = _moments(z)
    values, vectors = np.linalg.eigh(covariance)
    values, basis = values[::-1].clip(0), vectors.T[::-1]
    if rank is None:
        rank = int((1 - values.cumsum() / values.sum() >= error).sum()) + 1
    basis = basis[:rank]
    seen = z[:: max(1, n // 100_000)].double().numpy()
    low, high = np.quantile((seen - mean) @ basis.T, [0.0005, 0.9995], axis=0)
    m, v, a, b = (torch.as_tensor(np.ascontiguousarray(part)).to(z) for part in (mean, basis, low, high))
    return Codebook(m, v, a, b, buckets)


def _moments(z: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean [d] and covariance [d, d] in double precision, a part of the rows at a time."""
    mean = z.mean(0, dtype=torch.float64)
    total = torch.zeros(z.shape[1], z.shape[1], dtype=torch.float64)
    for start in range(0, len(z), 50_000):
        x = z[start : start + 50_000].double() - mean
        total += x.T @ x
    return mean.numpy(), (total / (len(z) - 1)).numpy()


def relative_error(z: Tensor, back: Tensor) -> float:
    """The squared error of `back` over the squared length of `z`, both [n, d], mean over rows."""
    return float(((back - z).square().sum(1) / z.square().sum(1)).mean())


@usual()
def effective_rank(z: Tensor) -> float:
    """exp of the entropy of the shares of variance that the principal components of `z` [n, d] hold (Roy & Vetterli
    2007): d where all are alike, 1 where one holds all."""
    values = np.linalg.eigvalsh(_moments(z)[1]).clip(0)
    shares = values[values > 0] / values.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
