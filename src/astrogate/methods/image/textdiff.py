"""Text diffs: a picture changed by the difference of two captions (Ramesh et al. 2022, section 3.3).

    z_d = norm(z_t(after) - z_t(before)),   z(theta) = slerp(z_i, |z_i| z_d, theta),   x_T fixed

The paper turns by theta = .25 to .5. `before` is a caption of the picture, a plain "a photo", or nothing; theta = 0 is
the reconstruction.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn.functional import normalize

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.methods.image.encode import unclip
from astrogate.ops.interpolate import slerp


def textdiff(model: Model, point: Point, before: str, after: str, theta: float) -> Point:
    """`point` turned from the caption `before` ("" is none) towards `after`, by a share `theta` of the way.

    Raises AstrogateError for theta outside [0, 1], for captions that say the same, and for a stack without a text
    encoder in the space of its pictures.
    """
    check_theta(theta)
    towards, z = direction(model, before, after), point.tensors["image_embeds"]
    turned = slerp(z, (z.norm() * towards).to(z), theta)
    origin = {**point.origin, "textdiff": {"before": before, "after": after, "theta": theta}}
    return replace(point, tensors={**point.tensors, "image_embeds": turned}, origin=origin)


def direction(model: Model, before: str, after: str) -> Tensor:
    """z_d [d], of unit length. Raises AstrogateError as `textdiff` does for captions."""
    stack = unclip(model)
    if not after.strip():
        raise AstrogateError("the caption to go to is empty", 'say what the picture should become, e.g. "a cat"')
    target = stack.embed_text([after])[0]
    difference = target - stack.embed_text([before])[0] if before.strip() else target
    if not float(difference.norm()) > 1e-6 * float(target.norm()):
        raise AstrogateError(f"{before!r} and {after!r} say the same here", "choose captions that differ")
    return normalize(difference, dim=0)


def check_theta(theta: float) -> float:
    """The same number. Raises AstrogateError for one outside [0, 1]."""
    if not 0 <= theta <= 1:
        raise AstrogateError(f"theta {theta:g}", "use a share of the way from 0 to 1; the paper takes .25 to .5")
    return theta
