"""How good a path is, from its frames and the distances d_i between neighbours.

    CLIPScore     max(100 cos(text, picture), 0); InterpScore its mean over the frames
    ISTD          std_i |x_i+1 - x_i|, the root mean square in steps of 1/255 (Guo et al. 2024)
    PPL           sum_i d_i; PDV  var_i d_i (Zhang et al. 2024, DiffMorpher)
    evenness      1 - Gini(d): 1 where all steps are equal
    jump          max_i d_i / median d - 1: 0 where no step stands out
    ghosting      mean over inner frames of max(0, cos(x_k - x_0, x_n - x_k)): 1 for a cross-fade, whose every frame
                  lies on the straight line between the ends; 0 where a frame is a picture of its own
    sharpness     min over inner frames of edge energy / that of the ends, linear between them: blur lowers it

and of the noise that they start from: |z| / sqrt(d), the Kolmogorov-Smirnov statistic against N(0, 1), and the
correlation of neighbouring cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy import stats
from torch import Tensor
from torch.nn import functional

from astrogate.core.errors import AstrogateError
from astrogate.measure.breakdown import edge_energy
from astrogate.measure.scores import Floats


@dataclass(frozen=True, slots=True)
class PathScore:
    """The scores of one path; `interp_score` is NaN without a text, `fidelity` without pictures of the ends."""

    interp_score: float
    istd: float
    ppl: float
    pdv: float
    evenness: float
    jump: float
    ghosting: float
    sharpness: float
    fidelity: float

    def to_json(self) -> dict[str, float]:
        """The scores by name."""
        return asdict(self)


def score_path(
    pictures: Tensor,
    distances: ArrayLike,
    *,
    images: Tensor | None = None,
    text: Tensor | None = None,
    fidelity: float = float("nan"),
) -> PathScore:
    """All scores of pictures [n, 3, h, w] in [0, 1] and their n - 1 `distances`.

    `images` [n, d] and `text` [d] are unit CLIP features, `fidelity` the distance of the ends from what they should be.
    """
    if len(pictures) < 2:
        raise AstrogateError(f"a path of {len(pictures)} frames", "give two or more")
    d = np.asarray(distances, np.float64)
    cosines = None if images is None or text is None else clip_score(images, text)
    return PathScore(
        interp_score=float("nan") if cosines is None else float(cosines.mean()),
        istd=istd(pictures),
        ppl=float(d.sum()),
        pdv=float(d.var()),
        evenness=1 - gini(d),
        jump=jump(d),
        ghosting=ghosting(pictures),
        sharpness=sharpness(pictures),
        fidelity=fidelity,
    )


def clip_score(images: Tensor, text: Tensor) -> Floats:
    """CLIPScore [n] of unit features [n, d] and [d]."""
    return (100 * (images @ text)).clamp(min=0).double().numpy()


def istd(pictures: Tensor) -> float:
    """The standard deviation of the pixel change from frame to frame."""
    changes = (255 * pictures.diff(dim=0)).square().flatten(1).mean(1).sqrt()
    return float(changes.std(unbiased=False))


def gini(values: ArrayLike) -> float:
    """The Gini coefficient of values that are 0 or more: 0 where all are equal, and of nothing but zeros."""
    d = np.sort(np.asarray(values, np.float64))
    if not d.sum():
        return 0.0
    rank = np.arange(1, len(d) + 1)
    return float(((2 * rank - len(d) - 1) * d).sum() / (len(d) * d.sum()))


def jump(distances: ArrayLike) -> float:
    """By how much the largest step is above the median one, in medians; 0 where nothing moves."""
    d = np.asarray(distances, np.float64)
    middle = float(np.median(d))
    if middle == 0:
        return float("inf") if d.max() > 0 else 0.0
    return float(d.max() / middle - 1)


def ghosting(pictures: Tensor) -> float:
    """How much the inner frames are mere cross-fades of the ends, 0 to 1; 0 where there is none."""
    if len(pictures) < 3:
        return 0.0
    first, last = pictures[0].double(), pictures[-1].double()
    cosines = [functional.cosine_similarity((x - first).flatten(), (last - x).flatten(), 0) for x in pictures[1:-1]]
    return float(torch.stack(cosines).clamp(min=0).mean())


def sharpness(pictures: Tensor) -> float:
    """The least edge energy of an inner frame beside what its ends have; 1 where there is none."""
    energy = edge_energy(pictures).double()
    if len(energy) < 3:
        return 1.0
    expected = torch.lerp(energy[0], energy[-1], torch.linspace(0, 1, len(energy), dtype=energy.dtype))
    return float((energy / expected.clamp(min=1e-12))[1:-1].min())


@dataclass(frozen=True, slots=True)
class NoiseScore:
    """Of noise that should be N(0, I): relative norm 1, a small KS statistic, no correlation of neighbours."""

    norm: float
    ks: float
    p: float
    neighbours: float


def score_noise(latents: Tensor) -> NoiseScore:
    """What a latent [c, h, w] has of N(0, I); `p` is the chance of a larger KS statistic under it."""
    z = latents.double()
    found = stats.kstest(z.flatten().numpy(), "norm")
    pairs: Sequence[Tensor] = ((z[..., 1:] * z[..., :-1]).flatten(), (z[..., 1:, :] * z[..., :-1, :]).flatten())
    neighbours = torch.cat(list(pairs)).mean() / z.square().mean()
    return NoiseScore(float(z.square().mean().sqrt()), float(found.statistic), float(found.pvalue), float(neighbours))
