"""Textual inversion of a direction: a pseudo-word whose embedding moves the text states as the direction does.

    v = argmin  mean over prompts m, roles r of  |e_r("a m of a V s") - (e_r("a m of a s") + k d_r)|^2 / |k d_r|^2

by gradient through the frozen text encoder (Gal et al. 2023 fit such embeddings to pictures). A word acts before the
encoder and a direction behind it, so the fit is not exact: `TextualInversion.loss` is what is left of the move on
prompts of subjects that it was not fitted on, as a share of the move.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from astrogate.core import archive
from astrogate.core.direction import Direction
from astrogate.core.edit import strength_of
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.core.seeds import checked
from astrogate.core.state import learning
from astrogate.core.values import number, real, whole
from astrogate.methods.edit.contrast import MEDIA, SUBJECTS, check_grid, states_by_role
from astrogate.models.text.prompts import expanded, first_segment
from astrogate.models.text.pseudo_word import encoders, standing_in

_ROLES = ("subject", "end")


@dataclass(frozen=True, slots=True)
class TextualInversion:
    """Vectors [tokens, width], one per text encoder, and the share of the move that they miss on held-out subjects."""

    vectors: tuple[Tensor, ...] = field(repr=False)
    loss: float


@learning()
def textual_inversion(
    model: Model,
    direction: Direction,
    *,
    scale: float = 1.0,
    media: Sequence[str] = MEDIA,
    subjects: Sequence[str] = SUBJECTS,
    fit_steps: int = 200,
    rate: float = 0.01,
    seed: int = 0,
) -> TextualInversion:
    """Fit a pseudo-word that stands before a subject; the last quarter of `subjects` is held out.

    `scale` is that of the direction's edits: the strength k, or what its calibration makes of it. The word starts as
    the direction's own (`toward`), which must be in its origin.

    Raises AstrogateError for a direction without one, for scales that it does not go to, and for models whose states
    T5 makes.
    """
    if direction.model != model.fingerprint:
        raise AstrogateError(f"{direction.name!r} was found in another model", "fit it again on this model")
    fit_steps, seed = whole(fit_steps, "{} steps of fitting", 0, 100_000), checked(seed)
    rate, scale = real(rate, "a rate of {}", 1e-9, 100), number(scale, "scale")
    strength = strength_of(scale, direction.calibration, name=direction.name)
    if not strength:
        raise AstrogateError("a word for scale 0 has nothing to fit", "use another scale, e.g. 1")
    word = archive.told(direction.origin, "toward", str, "", "a direction")
    if not word:
        raise AstrogateError(f"{direction.name!r} does not say which word it leads to", "use one that `contrast` found")
    check_grid(media, subjects)
    pairs = encoders(model)
    held = max(1, len(subjects) // 4)
    fitted, kept = subjects[:-held], subjects[-held:]
    if not fitted:
        raise AstrogateError(f"{len(subjects)} subjects", "name two or more")
    low, high = first_segment(model, word).find(word) or (0, 0)
    read = [tokenizer(expanded(word, tokenizer)[0]).input_ids[low:high] for tokenizer, _ in pairs]
    vectors = [nn.Parameter(table.weight[ids].detach().clone()) for ids, (_, table) in zip(read, pairs, strict=True)]
    goals = {
        (m, s): {
            role: states[0] + strength * _vector(direction, role)
            for role, states in states_by_role(model, [f"a {m} of a {s}"], [s], _ROLES).items()
        }
        for m in media
        for s in subjects
    }

    def missed(grid: Sequence[tuple[str, str]], *, gradient: bool) -> Tensor:
        """The mean squared miss over roles, as a share of the squared move."""
        prompts = [f"a {m} of a {word} {s}" for m, s in grid]
        with standing_in(model, word, vectors, prompts):
            moved = states_by_role(model, prompts, [s for _, s in grid], _ROLES, gradient=gradient)
        shares = [
            (states - torch.stack([goals[cell][role] for cell in grid])).square().sum(1).mean()
            / (strength * _vector(direction, role)).square().sum()
            for role, states in moved.items()
            if bool(_vector(direction, role).any())
        ]
        return torch.stack(shares).mean()

    optimiser = torch.optim.Adam(vectors, lr=rate * float(vectors[0].detach().norm(dim=1).mean()))
    rng = random.Random(seed)
    for _ in range(fit_steps):
        loss = missed([(rng.choice(list(media)), s) for s in fitted], gradient=True)
        for vector, gradient in zip(vectors, torch.autograd.grad(loss, vectors), strict=True):
            vector.grad = gradient
        optimiser.step()
    left = sum(float(missed([(m, s) for s in kept], gradient=False)) for m in media) / len(media)
    return TextualInversion(tuple(vector.detach().cpu() for vector in vectors), left**0.5)


def _vector(direction: Direction, role: str) -> Tensor:
    vector = direction.vector(role)
    if vector is None:
        raise AstrogateError(f"{direction.name!r} has no role {role!r}", "fit it with the role end")
    return vector
