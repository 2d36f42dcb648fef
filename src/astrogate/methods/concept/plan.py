"""How a concept is taken apart: the settings of `explain`, with the released code's numbers as the defaults.

Pictures are drawn by `Recipe`'s own defaults, though: the released code takes 50 steps of LMS at guidance 7.5.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from astrogate.core import archive
from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Recipe
from astrogate.core.values import whole

#: The fewest pictures that a concept is learnt from.
FEWEST = 4
Start = Literal["cold", "convex", "text"]
Judge = Literal["pictures", "loss"]


@dataclass(frozen=True, slots=True)
class Plan:
    """`tokens` of a `dictionary` make the concept; `fit_steps` of `fit_batch` pictures at rate `rate` find them.

    `sparsity` weighs the pull towards few tokens; `hidden` is the width of the network that gives a word its weight.
    `pictures` are learnt from, `validation` judged by; `seed` draws both, with `recipe`, `batch_size`
    at a time; `fit_seed` starts the optimisation.
    Every `every` steps a `judge` looks: paired pictures by CLIP, or the denoising loss; the best state is kept. `start`
    is where the weights start. `early` stops when the top words and the judge settle. Words like the concept are left
    out of the dictionary, unless `keep_concept`; those of `include` are always in it. `dtype` is what the denoiser
    computes in (None: its own).
    """

    fit_steps: int = 500
    tokens: int = 50
    dictionary: int = 5000
    sparsity: float = 1e-3
    fit_batch: int = 6
    rate: float = 1e-3
    hidden: int = 100
    pictures: int = 100
    validation: int = 20
    every: int = 50
    batch_size: int = 8
    keep_concept: bool = False
    include: tuple[str, ...] = ()
    fit_seed: int = 0
    seed: int = 0
    start: Start = "cold"
    judge: Judge = "pictures"
    early: bool = False
    dtype: str | None = None
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        counts = ("fit_steps", "tokens", "dictionary", "hidden", "pictures", "validation", "every")
        at_once = ("fit_batch", "batch_size")
        for name, most in (*((name, 1_000_000) for name in counts), *((name, 1_000) for name in at_once)):
            object.__setattr__(self, name, whole(getattr(self, name), name, 1, most, f"use 1 to {most:,}"))
        for name in ("seed", "fit_seed"):
            object.__setattr__(self, name, whole(getattr(self, name), name, 0, 2**32 - 1))
        if self.pictures < FEWEST:
            raise AstrogateError(f"{self.pictures} pictures", f"learn from {FEWEST} or more")
        if not 0 <= self.sparsity < float("inf") or not 0 < self.rate < float("inf"):
            raise AstrogateError(f"sparsity {self.sparsity:g}, rate {self.rate:g}", "use finite numbers from 0 up")
        for name, value, known in (("start", self.start, Start), ("judge", self.judge, Judge)):
            if value not in known.__args__:
                raise AstrogateError(f"{name} {value!r} is unknown", f"choose one of {', '.join(known.__args__)}")

    def for_words(self, n: int, *, whole: bool = False) -> Plan:
        """The same plan with a dictionary of half of `n` words, or `whole`, and tokens of half of it, at most."""
        dictionary = max(2, min(self.dictionary, n if whole else n // 2))
        return replace(self, dictionary=dictionary, tokens=max(1, min(self.tokens, dictionary // 2)))

    def to_json(self) -> dict[str, Any]:
        """A JSON object of the settings."""
        return {**asdict(self), "recipe": self.recipe.to_json()}


def recipe_of(basis: Basis) -> Recipe:
    """What a basis's pictures were drawn by. Raises AstrogateError for a basis that says it in another way."""
    plan = archive.told(basis.origin, "plan", dict[str, Any], {}, "a basis")
    return archive.rebuilt(Recipe, archive.told(plan, "recipe", dict[str, Any], {}, "a plan"), "a basis's recipe")
