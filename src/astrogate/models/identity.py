"""Which weights a model has: hashes of names, shapes and a sample of the values.

A fingerprint names a checkpoint, however it is computed with. It is taken from the file that a part was loaded from, as
long as the part still holds what the file says, to the precision that it has in memory: so it is the same in float16,
on another device, offloaded, cast layer by layer, with fused projections, and with tokens that were added. A part that
was made or changed in memory is known by its own values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.models.finite import FACTORS

#: What a LoRA or an IP-Adapter adds to a checkpoint's own weights.
_ADDED = ("lora_", "_ip.", "encoder_hid_proj.", ".processor.", "image_proj.")
#: What changes a layer's work and is no weight: of a LoRA, and of FreeU.
_SETTINGS = ("scaling", "active_adapters", "disable_adapters", "s1", "s2", "b1", "b2")
#: Files beside the weights that a part is loaded from: of other precisions, and without their moving average.
_SPARED = (".fp16.", ".bf16.", "non_ema")
_known: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def fingerprint(parts: Mapping[str, nn.Module | None]) -> str:
    """Sixteen hexadecimal digits of the weights of parts, in their order, adapters left out.

    A part keeps the digits that it had when it was first asked for.
    """
    digest = hashlib.sha256()
    for part, module in parts.items():
        digest.update(f"{part} {'' if module is None else digest_of(module)}".encode())
    return digest.hexdigest()[:16]


def digest_of(module: nn.Module) -> str:
    """Sixteen hexadecimal digits of a module's weights, adapters left out."""
    if module not in _known:
        state = {k: v for k, v in _state(module) if not any(mark in k for mark in _ADDED)}
        digest = hashlib.sha256()
        _update(digest, "", _held(module, state) or state)
        _known[module] = digest.hexdigest()[:16]
    return _known[module]


def weights(parts: Mapping[str, nn.Module], scheduler: Any) -> str:
    """Sixteen hexadecimal digits of all parts with their adapters, the adapters' strengths and the scheduler."""
    digest = hashlib.sha256(scheduler.to_json_string().encode())
    for part, module in parts.items():
        _update(digest, part, dict(_state(module)))
        config: Any = getattr(module, "config", {})
        digest.update(str([(name, _told(config, name)) for name in FACTORS]).encode())
        for name, layer in module.named_modules():
            found = [getattr(layer, setting, None) for setting in _SETTINGS]
            found.append(getattr(getattr(layer, "processor", None), "scale", None))
            found = [None if callable(value) else value for value in found]
            if any(value is not None for value in found):
                digest.update(f"{part}.{name} {found}".encode())
    return digest.hexdigest()[:16]


def _told(config: Any, name: str) -> Any:
    return config.get(name) if hasattr(config, "get") else getattr(config, name, None)


def modules(pipe: Any) -> dict[str, nn.Module]:
    """The parts of a pipeline that have weights, by their names."""
    return {name: value for name, value in pipe.components.items() if isinstance(value, nn.Module)}


def _state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's tensors by their names without adapters; those that are offloaded, from where they are."""
    for name, tensor in module.state_dict().items():
        if tensor.is_meta:
            owner, _, leaf = name.rpartition(".")
            hook: Any = getattr(module.get_submodule(owner), "_hf_hook", None)
            maps = [getattr(h, "weights_map", None) for h in (hook, *getattr(hook, "hooks", ()))]
            tensor = next((kept[leaf] for kept in maps if kept is not None and leaf in kept), tensor)
        yield name.replace(".base_layer", "").replace("_orig_mod.", ""), tensor  # without what torch.compile adds


def _stored(module: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """The tensors in the files that a module may have been loaded from, by what it says; none where there are none."""
    config: Any = getattr(module, "config", {})
    name = getattr(config, "_name_or_path", None) or (config.get("_name_or_path") if isinstance(config, dict) else "")
    folder = Path(str(name or ""))
    if not name or not folder.is_dir():
        return
    for home in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):  # it does not say which part
        found = sorted(home.glob("*.safetensors"))
        if found:
            yield _read([path for path in found if not any(mark in path.name for mark in _SPARED)] or found)


def _read(paths: list[Path]) -> Mapping[str, Tensor]:
    """The tensors of files, as they are there: nothing is read before it is looked at."""
    found: dict[str, Tensor] = {}
    for path in paths:
        try:
            found |= archive.read(path, what="weights", remedy="restore it", copied=False)[0]
        except AstrogateError:
            return {}
    return found


def _held(module: nn.Module, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The stored values of a module's tensors, by the module's names; none where they are not what it holds.

    Half of its tensors must be in the file, and none may differ. What is not in the file was added, or fused.
    """
    return next((found for stored in _stored(module) if (found := _found(module, state, stored))), {})


def _found(module: nn.Module, state: Mapping[str, Tensor], stored: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """See `_held`."""
    prefix, found = f"{getattr(module, 'base_model_prefix', '') or 'text_model'}.", dict[str, Tensor]()
    for name, tensor in state.items():
        bare = name.replace("language_model.", "")  # a part of encoders that see, too, whose files go without,
        turned = name.replace("model.language_model.", "language_model.model.")  # or have it the other way round
        names = (name, prefix + name, name.removeprefix(prefix), bare, turned)
        other = next((stored[n] for n in names if n in stored), None)
        if other is not None:
            if not _agrees(tensor, other):
                return {}
            found[name] = other
    return found if 2 * len(found) > len(state) else {}


def _agrees(tensor: Tensor, stored: Tensor) -> bool:
    """Whether a tensor may be a stored one in another precision; rows may have been added to it. What is not there, or
    quantised, may."""
    rows = stored.shape[0] if stored.ndim else 0
    alike = tensor.shape == stored.shape or (tensor.shape[1:] == stored.shape[1:] and tensor.shape[0] > rows > 0)
    if tensor.is_meta or not alike or not tensor.is_floating_point() or not stored.is_floating_point():
        return tensor.is_meta or not tensor.is_floating_point()
    a, b = _sample(tensor[:rows] if tensor.shape != stored.shape else tensor), _sample(stored)
    kind = max((torch.finfo(t.dtype) for t in (tensor, stored)), key=lambda info: info.eps)
    return bool(((a - b).abs() <= kind.eps * b.abs() + kind.smallest_normal).all())


def _sample(tensor: Tensor) -> Tensor:
    """64 of a tensor's values, or all of fewer, in float32."""
    flat = tensor.detach().flatten()
    return flat[:: max(1, flat.numel() // 64)].float().cpu()


def _update(digest: Any, part: str, state: Mapping[str, Tensor]) -> None:
    """Add the names, shapes and a sample of a part's weights."""
    for name, tensor in sorted(state.items()):
        sample = b"" if tensor.is_meta else _sample(tensor).numpy().tobytes()
        digest.update(f"{part}.{name}{tuple(tensor.shape)}".encode() + sample)
