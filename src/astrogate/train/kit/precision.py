"""bfloat16 in a training's arithmetic, where that pays: a processor without it took ten times as long."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from astrogate.models.sampler.fast import has_bfloat16


def reduced(device: torch.device | str) -> AbstractContextManager[Any]:
    """Autocast to bfloat16 on devices that compute in it themselves; nothing elsewhere."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16) if has_bfloat16(kind) else nullcontext()
