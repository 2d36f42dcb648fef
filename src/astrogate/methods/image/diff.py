"""Text diffs: a picture changed by the difference of two captions (Ramesh et al. 2022, section 3.3).

    z_d = norm(z_t(after) - z_t(before)),   z(theta) = slerp(z_i, |z_i| z_d, theta),   x_T fixed

The paper turns by theta = 0.25 to 0.5. `before` is a caption of the picture, a plain "a photo", or nothing; theta = 0
is the reconstruction.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Parts, Steer
from astrogate.core.protocols import Model
from astrogate.core.texts import check_said, check_text
from astrogate.methods.image.encode import unclip

#: What a strip shows.
MOST = 0.5


def diff(model: Model, before: str, after: str) -> Edit:
    """The edit of any picture's point from the caption `before` ("" is none) towards `after`; its scale is theta.

    Raises AstrogateError for captions that say the same, and for a stack without a text encoder in the space of its
    pictures.
    """
    towards = Steer({"image_embeds": direction(model, before, after)}, rule="toward")
    return Edit(
        Parts((towards,)),
        model=model.fingerprint,
        range=(0.0, MOST),
        limits=(0.0, 1.0),
        name=f"{before or 'nothing'} to {after}",
        origin={"method": "diff", "before": before, "after": after},
    )


def direction(model: Model, before: str, after: str) -> Tensor:
    """z_d [d], of unit length. Raises AstrogateError as `diff` does for captions."""
    stack = unclip(model)
    check_said(after, "the caption to go to", 'say what the picture should become, e.g. "a cat"')
    check_text(before)
    target = stack.embed_text([after])[0]
    difference = target - stack.embed_text([before])[0] if before.strip() else target
    if not float(difference.norm()) > 1e-6 * float(target.norm()):
        raise AstrogateError(f"{before!r} and {after!r} say the same here", "choose captions that differ")
    return normalize(difference, dim=0)
