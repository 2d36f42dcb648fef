"""Torch's usual state: what the caller made torch's defaults changes no picture and no number."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def usual() -> Generator[None]:
    """While open, float32 and the CPU are torch's defaults, and there is neither autocast nor inference mode."""
    with ExitStack() as stack:
        if (default := torch.get_default_dtype()) != torch.float32:
            stack.callback(torch.set_default_dtype, default)
            torch.set_default_dtype(torch.float32)
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
            stack.enter_context(torch.no_grad())
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def learning() -> Generator[None]:
    """While open, torch is in its usual state and keeps gradients, whatever the caller has switched off."""
    with usual(), torch.enable_grad():
        yield
