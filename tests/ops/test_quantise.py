"""Laws of the codebook: sklearn's components, a small error, symbols that come back, sequences that refine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from astrogate.core.errors import AstrogateError
from astrogate.ops.quantise import effective_rank, fit_codebook, relative_error


def embeddings(n: int, seed: int) -> torch.Tensor:
    """Unit vectors of 32 dimensions whose variance falls off, around a mean."""
    g = torch.Generator().manual_seed(seed)
    z = torch.randn((n, 32), generator=g) * 0.85 ** torch.arange(32) + 0.3
    return z / z.norm(dim=1, keepdim=True)


def test_components_are_those_of_sklearn() -> None:
    z = embeddings(2000, 1)
    book, theirs = fit_codebook(z, rank=8), PCA(8).fit(z.numpy())
    cosines = np.abs((book.basis.numpy() * theirs.components_).sum(1))
    assert cosines == pytest.approx(np.ones(8), abs=1e-4)
    back = torch.from_numpy(theirs.inverse_transform(theirs.transform(z.numpy()))).float()
    assert torch.allclose(book.project(z), back, atol=1e-4)


def test_the_error_is_under_a_hundredth_on_embeddings_not_seen() -> None:
    book, held = fit_codebook(embeddings(5000, 1)), embeddings(500, 2)
    assert book.basis.shape[0] < 32
    ids = book.encode(held)
    assert ids.shape == (500, book.basis.shape[0])
    assert int(ids.min()) >= 0
    assert int(ids.max()) < 1024
    assert relative_error(held, book.decode(ids)) < 0.01


def test_more_symbols_come_closer() -> None:
    book, held = fit_codebook(embeddings(5000, 1), rank=32, buckets=256), embeddings(200, 2)
    ids = book.encode(held)
    errors = [relative_error(held, book.decode(ids[:, :j])) for j in (0, 4, 8, 16, 32)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3
    ranks = [relative_error(held, book.project(held, rank)) for rank in (1, 4, 16, 32)]
    assert ranks == sorted(ranks, reverse=True)


def test_decoding_is_a_fixed_point() -> None:
    book = fit_codebook(embeddings(3000, 1), rank=16, buckets=64)
    ids = book.encode(embeddings(100, 2))
    assert torch.equal(book.encode(book.decode(ids)), ids)


def test_too_few() -> None:
    with pytest.raises(AstrogateError, match="more than 32"):
        fit_codebook(embeddings(32, 1))
    with pytest.raises(AstrogateError, match="8 embeddings for 8 components"):
        fit_codebook(embeddings(8, 1), rank=8)
    few = embeddings(8, 1)
    assert relative_error(few, fit_codebook(few, rank=7).project(few)) < 1e-6


def test_the_effective_rank_counts_directions_alike() -> None:
    rng = torch.Generator().manual_seed(0)
    flat = torch.randn(20_000, 6, generator=rng)
    assert effective_rank(flat) == pytest.approx(6, abs=0.05)
    assert effective_rank(flat * torch.tensor([1.0, 1, 1, 0, 0, 0])) == pytest.approx(3, abs=0.05)
    assert effective_rank(flat * torch.tensor([1.0, 1e-4, 1e-4, 1e-4, 1e-4, 1e-4])) == pytest.approx(1, abs=0.01)
