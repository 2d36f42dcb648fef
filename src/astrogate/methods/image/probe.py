"""Probing CLIP's space: a picture through its first principal components (Ramesh et al. 2022, section 4).

    z_k = mean + V_k' V_k (z_i - mean),  scaled to |z_i|;  V_k the first k components by falling eigenvalue

The fewer components, the coarser the concept that is left; the noise is fixed, so what appears along the ranks is what
the components add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from warnings import warn

import torch

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.point import Point
from astrogate.core.state import usual
from astrogate.core.values import wholes
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.ops.quantise import Codebook, fit_codebook
from astrogate.rendering.pixels import fitted, picture_files, read_picture

#: Pictures embedded at once.
_BATCH = 50


@usual()
def probe(point: Point, codebook: Codebook, ranks: Sequence[int]) -> list[Point]:
    """`point` with its embedding as the first components show it, one for each rank.

    `codebook` holds the components (`ops.quantise.fit_codebook`, of many pictures' embeddings). Raises AstrogateError
    for a rank that it does not have and for a point without an image embedding.
    """
    if "image_embeds" not in point.tensors:
        raise AstrogateError("this point has no image embedding", "make it with `encode`, by a checkpoint of unCLIP")
    z, kept = point.tensors["image_embeds"], len(codebook.basis)
    ranks = check_ranks(codebook, ranks)
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


def check_ranks(codebook: Codebook, ranks: Sequence[int]) -> list[int]:
    """The ranks. Raises AstrogateError for none, and for those that a codebook does not have."""
    kept = len(codebook.basis)
    return wholes(ranks, "rank", 1, kept, f"choose from 1 to {kept}")


@usual()
def components_of(stack: UnCLIP, folder: Path) -> Codebook:
    """The principal components of the embeddings of a folder's pictures (PNG, JPEG, WebP), all that there are:
    one fewer than pictures, and at most one a dimension.

    Warns about pictures that can't be read, and leaves them out. Raises AstrogateError for a folder of fewer than two.
    """
    files = picture_files(folder)
    side, found = stack.picture_size, list[torch.Tensor]()
    for start in range(0, len(files), _BATCH):
        part: list[torch.Tensor] = []
        for path in files[start : start + _BATCH]:
            try:
                part.append(fitted(read_picture(path), side, side))
            except AstrogateError as error:
                warn(f"{error.problem}, left out", AstrogateWarning, stacklevel=2)
        found += [stack.embed(torch.stack(part))] if part else []
    if not found:
        raise AstrogateError(f"{folder} holds no pictures", "name a folder of PNG, JPEG or WebP files")
    if len(z := torch.cat(found)) < 2:
        raise AstrogateError(f"{folder} holds one picture", "name a folder of many: r components need r + 1")
    return fit_codebook(z, rank=min(z.shape[1], len(z) - 1))
