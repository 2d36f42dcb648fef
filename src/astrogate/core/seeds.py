"""Seeds: one CPU generator per item, so that an item's noise does not depend on its batch, its device, or on what
numbers and devices the caller made torch's defaults.

PyTorch's CPU generator reads 32 bits of a seed: larger ones would repeat the noise of others, and are refused.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from astrogate.core.values import whole, wholes

#: The largest seed.
MOST = 2**32 - 1
_REMEDY = "use whole numbers from 0 to 2**32 - 1"


def generator(seed: int, use: str = "") -> torch.Generator:
    """A CPU generator for one item. Raises AstrogateError for a seed outside [0, 2**32).

    `use` names what is drawn besides the latents of a seed, and makes it independent of them.
    """
    seed = checked(seed)
    if use:
        seed = int.from_bytes(sha256(f"{use} {seed}".encode()).digest()[:4])
    return torch.Generator("cpu").manual_seed(seed)


def noise(shape: tuple[int, ...], seed: int, *, draw: int = 0) -> Tensor:
    """Standard normal float32 noise: what the generator of `seed` draws after `draw` draws of this shape.

    Draw 0 is what diffusers starts one picture from with this CPU seed.
    """
    source = generator(seed)
    for _ in range(draw):
        normal((1, *shape), source)
    return normal((1, *shape), source)[0]


def normal(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """Standard normal float32 numbers on the CPU from a generator there."""
    return torch.randn(shape, generator=source, dtype=torch.float32, device="cpu")


def checked(seed: Any) -> int:
    """A seed as Python's own integer. Raises AstrogateError for what is no whole number in [0, 2**32)."""
    return whole(seed, "seed", 0, MOST, _REMEDY)


def checked_all(seeds: Any) -> list[int]:
    """Seeds as Python's own integers, one as a list of one. Raises AstrogateError as `checked` does, and for none."""
    return wholes(seeds, "seed", 0, MOST, _REMEDY)
