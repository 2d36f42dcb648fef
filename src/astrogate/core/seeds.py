"""Seeds: one CPU generator per item, so that an item's noise does not depend on its batch or device."""

from __future__ import annotations

from hashlib import sha256

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError


def generator(seed: int, use: str = "") -> torch.Generator:
    """A CPU generator for one item. Raises AstrogateError for a seed outside [0, 2**63).

    `use` names what is drawn besides the latents of a seed, and makes it independent of them. It changes the low 32
    bits, the only ones that PyTorch's generator reads.
    """
    if not 0 <= seed < 2**63:
        raise AstrogateError(f"seed {seed} is out of range", "use a whole number from 0 to 2**63 - 1")
    if use:
        seed = int.from_bytes(sha256(f"{use} {seed}".encode()).digest()[:4])
    return torch.Generator("cpu").manual_seed(seed)


def noise(shape: tuple[int, ...], seed: int, *, draw: int = 0) -> Tensor:
    """Standard normal float32 noise: what the generator of `seed` draws after `draw` draws of this shape.

    Draw 0 is what diffusers starts one picture from with this CPU seed.
    """
    source = generator(seed)
    for _ in range(draw):
        torch.randn((1, *shape), generator=source)
    return torch.randn((1, *shape), generator=source)[0]
