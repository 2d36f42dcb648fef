"""Basis: a concept as a weighted sum of named atoms; the common result of ways to take a concept apart.

    w* = n (sum_i a_i w_i) / |sum_i a_i w_i|      over the `used` largest weights a_i

Atoms are vectors of each space (an input embedding table, say); n is the length that a space's sum is brought to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.texts import check_text
from astrogate.core.values import real, whole

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT = "astrogate-basis-1"
_FIELDS = {"names": list[str], "lengths": dict[str, float], "used": int, "model": str, "name": str, "origin": dict}


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """`names` and their `weights` [n], not below 0, and by space the `atoms` [n, width] and the length of their sum.

    `used` is how many of the largest weights count. `model` is the fingerprint of the weights that it belongs to,
    `origin` the recipe that made it.
    """

    names: tuple[str, ...]
    weights: Tensor
    atoms: Mapping[str, Tensor]
    lengths: Mapping[str, float]
    used: int
    model: str
    name: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        tensors = [self.weights, *self.atoms.values()]
        if odd := [t for t in tensors if not t.is_floating_point()]:
            raise AstrogateError(f"weights or atoms of {odd[0].dtype}", "give floats")
        set_ = partial(object.__setattr__, self)
        set_("weights", self.weights.float() if self.weights.itemsize < 4 else self.weights)
        set_("atoms", {space: atoms.float() if atoms.itemsize < 4 else atoms for space, atoms in self.atoms.items()})
        set_("used", whole(self.used, "{} weights count", 1, 2**31, "use 1 or more"))
        for name in self.names:
            check_text(name)
        if len(set(self.names)) < len(self.names):
            raise AstrogateError(f"{len(self.names)} names, {len(set(self.names))} different", "name each atom once")
        set_("lengths", {s: real(n, f"a sum of {s} of length {{}}", 1e-30) for s, n in self.lengths.items()})
        shapes = [(1, self.weights), *((2, atoms) for atoms in self.atoms.values())]
        if any(t.ndim != dims or len(t) != len(self.names) for dims, t in shapes):
            found = ", ".join(str(list(t.shape)) for _, t in shapes)
            raise AstrogateError(
                f"{len(self.names)} names with weights and atoms {found}", "give each name one weight and one atom"
            )
        if self.lengths.keys() != self.atoms.keys():
            raise AstrogateError(f"lengths of {[*self.lengths]}, atoms of {[*self.atoms]}", "give each space both")
        if not (self.weights.isfinite() & (self.weights >= 0)).all() or not self.weights.any():
            raise AstrogateError("a weight is below 0, or all are 0", "give weights from 0 up")
        if any(not atoms.isfinite().all() for atoms in self.atoms.values()):
            raise AstrogateError("atoms hold what are no finite numbers", "make the basis anew")

    def __repr__(self) -> str:
        return f"<Basis {self.name}, {', '.join(f'{name} {share:.0%}' for name, share in self.top(5))}>"

    def order(self) -> list[int]:
        """The names' places, the largest weight first."""
        return [int(i) for i in self.weights.argsort(descending=True, stable=True)]

    def top(self, n: int = 10) -> list[tuple[str, float]]:
        """The `n` largest weights, each as a share of all, with their names."""
        total = float(self.weights.sum())
        return [(self.names[i], float(self.weights[i]) / total) for i in self.order()[:n]]

    def mass(self, n: int) -> float:
        """The share of the weights that the `n` largest hold."""
        return sum(share for _, share in self.top(n))

    @property
    def support(self) -> float:
        """How many atoms there are in effect: exp of the entropy of the weights' shares (Hill's number of order 1)."""
        shares = self.weights.double() / self.weights.double().sum()
        return float((-shares.clamp(min=1e-300).log() * shares).sum().exp())

    def place(self, name: str) -> int:
        """Which atom a name is. Raises AstrogateError for one that the basis does not have."""
        if name not in self.names:
            near = ", ".join(word for word, _ in self.top(10))
            raise AstrogateError(f"{name!r} is no part of {self.name!r}", f"choose one of its words: {near} ...")
        return self.names.index(name)

    def scaled(self, factors: Mapping[str, float]) -> Basis:
        """This basis with some weights multiplied.

        Raises AstrogateError for factors below 0, and for names that it does not have.
        """
        weights = self.weights.clone()
        for name, factor in factors.items():
            if not 0 <= factor < float("inf"):
                raise AstrogateError(f"factor {factor:g} for {name!r}", "use 0 (leave out) or more")
            weights[self.place(name)] *= factor
        return self._with(weights)

    def reduced(self, names: frozenset[str]) -> Basis:
        """This basis with the weights of all but `names` at 0."""
        kept = [name in names for name in self.names]
        return self._with(self.weights * self.weights.new_tensor(kept))

    def _with(self, weights: Tensor) -> Basis:
        if not bool(weights.any()):
            raise AstrogateError(f"nothing of {self.name!r} is left", "leave a word some weight")
        return replace(self, weights=weights)

    def sums(self) -> dict[str, Tensor]:
        """By space, the weighted sum [width] of the atoms that count, of its length."""
        chosen = self.order()[: self.used]
        found: dict[str, Tensor] = {}
        for space, atoms in self.atoms.items():
            total = (self.weights[chosen, None].to(atoms) * atoms[chosen]).sum(0)
            found[space] = total * self.lengths[space] / total.square().sum().sqrt()
        return found

    def save(self, path: Path | str) -> None:
        """Write this basis to a file, whole or not at all."""
        metadata = {name: getattr(self, name) for name in ("names", "used", "model", "name")}
        metadata |= {"lengths": dict(self.lengths), "origin": dict(self.origin)}
        tensors = {"weights": self.weights, **{f"atoms.{space}": atoms for space, atoms in self.atoms.items()}}
        archive.write(path, tensors, metadata, format=_FORMAT)

    @classmethod
    def load(cls, path: Path | str) -> Basis:
        """Read a basis. Raises AstrogateError for a file that is missing, cut off, or no basis."""
        remedy = "name a file that `explain` or `Basis.save` wrote"
        tensors, kept = archive.read(
            path, format=_FORMAT, fields=_FIELDS, tensors=("weights",), what="a decomposition", remedy=remedy
        )
        return cls(
            tuple(kept["names"]),
            tensors["weights"],
            archive.below("atoms", tensors),
            kept["lengths"],
            kept["used"],
            kept["model"],
            kept["name"],
            kept["origin"],
        )
