"""Seeds: one CPU generator an item, so that an item's noise does not depend on its batch or device."""

from __future__ import annotations

from hashlib import sha256

import torch
from torch import Tensor

from astrogate.core.errors import AstrogateError


def generator(seed: int, use: str = "") -> torch.Generator:
    """A CPU generator for one item. Raises AstrogateError for a seed outside [0, 2**63).

    `use` names what is drawn beside the latents of a seed, so that it has nothing to do with them. It changes the low
    32 bits, as PyTorch's generator looks at no others.
    """
    if not 0 <= seed < 2**63:
        raise AstrogateError(f"seed {seed} is out of range", "use a whole number from 0 to 2**63 - 1")
    if use:
        seed = int.from_bytes(sha256(f"{use} {seed}".encode()).digest()[:4])
    return torch.Generator("cpu").manual_seed(seed)


def noise(shape: tuple[int, ...], seed: int) -> Tensor:
    """Standard normal float32 noise; the same as diffusers draws for one picture with this CPU seed."""
    return torch.randn((1, *shape), generator=generator(seed))[0]
