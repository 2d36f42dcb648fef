"""Probing CLIP's space: a picture through its first principal components (Ramesh et al. 2022, section 4).

    z_k = mean + V_k' V_k (z_i - mean),  scaled to |z_i|;  V_k the first k components by falling eigenvalue

The fewer components, the coarser the concept that is left; the noise is fixed, so what appears along the ranks is what
the components add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.ops.quantise import Codebook


def probe(point: Point, codebook: Codebook, ranks: Sequence[int]) -> list[Point]:
    """`point` with its embedding as the first components show it, one for each rank.

    `codebook` holds the components (`ops.quantise.fit_codebook`, of many pictures' embeddings). Raises AstrogateError
    for a rank that it does not have and for a point without an image embedding.
    """
    if "image_embeds" not in point.tensors:
        raise AstrogateError("this point has no image embedding", "make it with `encode`, by a checkpoint of unCLIP")
    z, kept = point.tensors["image_embeds"], len(codebook.basis)
    if not ranks or not all(1 <= rank <= kept for rank in ranks):
        raise AstrogateError(f"ranks {', '.join(map(str, ranks)) or 'missing'}", f"choose from 1 to {kept}")
    if z.shape != codebook.mean.shape:
        raise AstrogateError(
            f"components of {len(codebook.mean)} dimensions, an embedding of {len(z)}", "fit them on the same CLIP"
        )
    points: list[Point] = []
    for rank in ranks:
        seen = codebook.project(z[None].to(codebook.mean), rank)[0].to(z)
        seen = seen * (z.norm() / seen.norm())
        origin = {**point.origin, "probe": {"rank": rank, "of": kept}}
        points.append(replace(point, tensors={**point.tensors, "image_embeds": seen}, origin=origin))
    return points
