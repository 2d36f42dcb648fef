"""A basis: what its numbers mean, how it changes, and that files are whole or refused. The lasso, by scikit-learn's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.ops.sparse import lasso


def basis(weights: tuple[float, ...] = (1.0, 3.0, 0.0, 4.0), used: int = 2) -> Basis:
    torch.manual_seed(0)
    names = ("dog", "cat", "hat", "horse")[: len(weights)]
    atoms = {"encoder 0": torch.randn(len(weights), 6), "encoder 1": torch.randn(len(weights), 3)}
    return Basis(names, torch.tensor(weights), atoms, {"encoder 0": 2.0, "encoder 1": 5.0}, used, "m", "pet", {"a": 1})


def test_shares_mass_and_support() -> None:
    made = basis()
    assert made.top(2) == [("horse", 0.5), ("cat", 0.375)]
    assert made.mass(2) == pytest.approx(0.875)
    assert basis((1.0, 1.0, 1.0, 1.0)).support == pytest.approx(4)
    assert basis((0.0, 0.0, 2.0, 0.0)).support == pytest.approx(1)


def test_the_sum_is_of_the_largest_weights_and_has_its_length() -> None:
    made = basis()
    for space, atoms in made.atoms.items():
        wanted = 4 * atoms[3] + 3 * atoms[1]
        assert torch.allclose(made.sums()[space], wanted * made.lengths[space] / wanted.norm())


def test_weights_are_scaled_and_left_out() -> None:
    made = basis()
    assert made.scaled({"cat": 2.0, "dog": 0.0}).weights.tolist() == [0, 6, 0, 4]
    assert made.reduced(frozenset({"cat"})).weights.tolist() == [0, 3, 0, 0]
    assert made.weights.tolist() == [1, 3, 0, 4]
    with pytest.raises(AstrogateError, match="'moon' is no part of 'pet': choose one of its words: horse, cat, dog"):
        made.scaled({"moon": 2.0})
    with pytest.raises(AstrogateError, match="nothing of 'pet' is left"):
        made.reduced(frozenset({"hat"}))
    with pytest.raises(AstrogateError, match="factor -1"):
        made.scaled({"cat": -1.0})


@pytest.mark.parametrize("weights", [(1.0, -1.0), (0.0, 0.0), (1.0, float("nan"))])
def test_weights_that_are_none_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(AstrogateError, match="below 0, or all are 0"):
        basis(weights)


def test_a_file_is_whole_or_refused(tmp_path: Path) -> None:
    made, path = basis(), tmp_path / "pet.safetensors"
    made.save(path)
    back = Basis.load(path)
    assert (back.names, back.used, back.model, back.name, dict(back.origin)) == (made.names, 2, "m", "pet", {"a": 1})
    assert torch.equal(back.weights, made.weights)
    assert all(torch.equal(back.sums()[space], value) for space, value in made.sums().items())
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(AstrogateError, match="could not be read"):
        Basis.load(path)
    with pytest.raises(AstrogateError, match="does not exist"):
        Basis.load(tmp_path / "none")
    from safetensors.torch import save_file

    save_file({"weights": torch.ones(2)}, path)
    with pytest.raises(AstrogateError, match="not a decomposition"):
        Basis.load(path)


@pytest.mark.parametrize("penalty", [1e-1, 1e-2, 1e-3])
def test_the_lasso_is_scikit_learns(penalty: float) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    torch.manual_seed(0)
    atoms = torch.randn(20, 25, dtype=torch.float64)
    target = torch.rand(20, dtype=torch.float64) @ atoms + torch.randn(25)
    wanted = linear.Lasso(alpha=penalty, positive=True, fit_intercept=False, tol=1e-10, max_iter=100_000)
    wanted.fit(atoms.T.numpy(), target.numpy())
    assert torch.allclose(lasso(atoms, target, penalty), torch.from_numpy(wanted.coef_), atol=1e-4)


def test_the_lasso_finds_few_atoms() -> None:
    torch.manual_seed(0)
    atoms = torch.nn.functional.normalize(torch.randn(100, 64), dim=1)
    found = lasso(atoms, 2 * atoms[3] + atoms[50], 1e-4)
    assert set(found.topk(2).indices.tolist()) == {3, 50}
    assert int((found > 0).sum()) < 20
    assert not lasso(atoms, -atoms.sum(0), 1.0).any()
    two = torch.stack([atoms[7], 2 * atoms[3] + atoms[50]])
    assert torch.allclose(lasso(atoms, two, 1e-4)[1], found, atol=1e-5)
    with pytest.raises(AstrogateError, match="penalty -1"):
        lasso(atoms, atoms[0], -1)
