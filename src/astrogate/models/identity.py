"""Which weights a model has: hashes of names, shapes and a sample of the values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

#: What a LoRA or an IP-Adapter adds to a checkpoint's own weights.
_ADDED = ("lora_", "_ip.", "encoder_hid_proj.")
#: What changes a layer's work and is no weight: of a LoRA, and of FreeU.
_SETTINGS = ("scaling", "active_adapters", "disable_adapters", "s1", "s2", "b1", "b2")


def fingerprint(parts: Mapping[str, nn.Module | None]) -> str:
    """Sixteen hexadecimal digits of the weights of parts, in their order, adapters left out."""
    digest = hashlib.sha256()
    for part, module in parts.items():
        state = {} if module is None else {k.replace(".base_layer", ""): v for k, v in module.state_dict().items()}
        _digest(digest, part, {k: v for k, v in state.items() if not any(mark in k for mark in _ADDED)})
    return digest.hexdigest()[:16]


def weights(parts: Mapping[str, nn.Module], scheduler: Any) -> str:
    """Sixteen hexadecimal digits of all parts with their adapters, the adapters' strengths and the scheduler."""
    digest = hashlib.sha256(scheduler.to_json_string().encode())
    for part, module in parts.items():
        _digest(digest, part, module.state_dict())
        for name, layer in module.named_modules():
            found = [getattr(layer, setting, None) for setting in _SETTINGS]
            found.append(getattr(getattr(layer, "processor", None), "scale", None))
            found = [None if callable(value) else value for value in found]
            if any(value is not None for value in found):
                digest.update(f"{part}.{name} {found}".encode())
    return digest.hexdigest()[:16]


def modules(pipe: Any) -> dict[str, nn.Module]:
    """The parts of a pipeline that have weights, by their names."""
    return {name: value for name, value in pipe.components.items() if isinstance(value, nn.Module)}


def digest_of(module: nn.Module) -> str:
    """Sixteen hexadecimal digits of a module's weights."""
    return fingerprint({"": module})


def _digest(digest: Any, part: str, state: Mapping[str, Tensor]) -> None:
    """Add the names, shapes and a sample of a part's weights."""
    for name, tensor in sorted(state.items()):
        flat = tensor.flatten()
        sample = flat[:: max(1, flat.numel() // 64)].float().cpu().numpy().tobytes()
        digest.update(f"{part}.{name}{tuple(tensor.shape)}".encode() + sample)
