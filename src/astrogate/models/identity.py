"""Which weights a model has: hashes of names, shapes and values.

A fingerprint names a checkpoint, however it is computed with. It is taken from the file that a part was loaded from, as
long as the part still holds what the file says, to the precision that it has in memory: so it is the same in float16,
on another device, offloaded, cast layer by layer, with fused projections, and with tokens that were added. A part that
was made or changed in memory is known by its own values.

Every weight counts. Values are hashed by XXH3 (Collet 2019, 128 bits), as fast as memory is read: gigabytes take less
than a second. It tells checkpoints apart, and is no seal against one who forges them.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
import xxhash
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import UNKNOWN
from astrogate.models.finite import FACTORS
from astrogate.models.loading.opened import by_variant
from astrogate.models.workings import foreign, workings

#: What a LoRA or an IP-Adapter adds to a checkpoint's own weights.
_ADDED = ("lora_", "_ip.", "encoder_hid_proj.", ".processor.", "image_proj.")
#: What a scheduler makes of its settings, unless it was changed, and does not change itself.
_TABLES = ("betas", "alphas_cumprod", "_shift")
#: Hashes of tensors that are on a device, each with what tells that it was changed since.
_digests: MutableMapping[Tensor, tuple[tuple[int, int, bytes], bytes]] = WeakIdKeyDictionary()
_known: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
_homes: WeakKeyDictionary[nn.Module, Path] = WeakKeyDictionary()


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


def settle(modules: Iterable[nn.Module]) -> None:
    """Remember where parts were loaded from, as long as a relative folder leads there."""
    for module in modules:
        if (folder := _folder(module)) is not None:
            _homes.setdefault(module, folder.resolve())


def weights(parts: Mapping[str, nn.Module], scheduler: Any, pipe: Any = None) -> str:
    """Sixteen hexadecimal digits of all that makes a picture of a point: the parts with their adapters, the settings of
    their layers, and the scheduler. Where code of others works in them, digits that are never the same again.
    """
    if foreign({**parts, "the scheduler": scheduler, **({} if pipe is None else {"the pipeline": pipe})}):
        return UNKNOWN + secrets.token_hex(8)
    digest = hashlib.sha256(scheduler.to_json_string().encode())
    own = vars(scheduler)
    digest.update(str([_digest(x) if isinstance(x := own.get(name), Tensor) else x for name in _TABLES]).encode())
    for part, module in parts.items():
        _update(digest, part, {**dict(module.named_buffers()), **dict(_state(module))})
        config: Any = getattr(module, "config", {})
        digest.update(str([(name, _told(config, name)) for name in FACTORS]).encode())
        for name, layer in module.named_modules():
            digest.update(f"{part}.{name} {workings(layer)}".encode())
    return digest.hexdigest()[:16]


def _told(config: Any, name: str) -> Any:
    return config.get(name) if hasattr(config, "get") else getattr(config, name, None)


def modules(pipe: Any) -> dict[str, nn.Module]:
    """The parts of a pipeline that have weights, by their names."""
    return {name: value for name, value in pipe.components.items() if isinstance(value, nn.Module)}


def part(parts: Mapping[str, nn.Module], site: str, name: str) -> nn.Module:
    """A part by its dotted path, e.g. "unet.mid_block". Raises AstrogateError for a path that leads nowhere."""
    head, *rest = site.split(".")
    found: Any = parts.get(head)
    for step in rest:
        found = getattr(found, step, None)
    if not isinstance(found, nn.Module):
        raise AstrogateError(f"{name} has no module {site!r}", f"try {', '.join(parts)}, or a path below")
    return found


def _state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's tensors by their names without adapters; those that are offloaded, from where they are."""
    for name, tensor in module.state_dict(keep_vars=True).items():
        if tensor.is_meta:
            owner, _, leaf = name.rpartition(".")
            hook: Any = getattr(module.get_submodule(owner), "_hf_hook", None)
            maps = [getattr(h, "weights_map", None) for h in (hook, *getattr(hook, "hooks", ()))]
            tensor = next((kept[leaf] for kept in maps if kept is not None and leaf in kept), tensor)
        yield name.replace(".base_layer", "").replace("_orig_mod.", ""), tensor  # without what torch.compile adds


def _stored(module: nn.Module) -> Iterator[Mapping[str, Tensor]]:
    """The tensors in the files that a module may have been loaded from, by what it says; none where there are none."""
    folder = _homes.get(module) or _folder(module)
    if folder is None or not folder.is_dir():  # it may be gone by now
        return
    for home in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):  # it does not say which part
        kinds = by_variant(path.name for path in home.glob("*.safetensors"))
        for kind in sorted(kinds, key=lambda kind: kind or ""):  # the plain one first
            yield _read([home / name for name in kinds[kind]])


def _folder(module: nn.Module) -> Path | None:
    """The folder that a module says it was loaded from, for a hub id that of the local cache."""
    config: Any = getattr(module, "config", {})
    name = getattr(config, "_name_or_path", None) or (config.get("_name_or_path") if isinstance(config, dict) else "")
    if not name:
        return None
    if (folder := Path(str(name))).is_dir():
        return folder
    with suppress(Exception):  # whatever the hub's library raises on names that are none of its own
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(str(name), local_files_only=True))
    return None


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
    """See `_held`. Where all have the file's precision and shape, their own values are the stored ones, or say that
    they are not: none is read twice.
    """
    prefix, found = f"{getattr(module, 'base_model_prefix', '') or 'text_model'}.", dict[str, Tensor]()
    for name in state:
        bare = name.replace("language_model.", "")  # a part of encoders that see, too, whose files go without,
        turned = name.replace("model.language_model.", "language_model.model.")  # or have it the other way round
        names = (name, prefix + name, name.removeprefix(prefix), bare, turned)
        other = next((stored[n] for n in names if n in stored), None)
        if other is not None:
            found[name] = other
    if 2 * len(found) <= len(state):
        return {}
    if all(_is_alike(state[name], other) for name, other in found.items()):
        return {name: state[name] for name in found}
    return found if all(_agrees(state[name], other) for name, other in found.items()) else {}


def _is_alike(tensor: Tensor, stored: Tensor) -> bool:
    """Whether a tensor is there, of the stored one's precision and shape."""
    return not tensor.is_meta and not _inner(tensor) and tensor.dtype == stored.dtype and tensor.shape == stored.shape


def _agrees(tensor: Tensor, stored: Tensor) -> bool:
    """Whether a tensor may be a stored one in another precision; rows may have been added to it. What is not there, or
    quantised, may."""
    rows = stored.shape[0] if stored.ndim else 0
    alike = tensor.shape == stored.shape or (tensor.shape[1:] == stored.shape[1:] and tensor.shape[0] > rows > 0)
    whole = tensor.is_floating_point() and not _inner(tensor)
    if tensor.is_meta or not alike or not whole or not stored.is_floating_point():
        return tensor.is_meta or not whole
    own = (tensor[:rows] if tensor.shape != stored.shape else tensor).detach().cpu()
    if (same := torch.equal(_bits(own), _bits(stored.to(own.dtype)))) or own.dtype == stored.dtype:
        return same
    kind = max((torch.finfo(t.dtype) for t in (tensor, stored)), key=lambda info: info.eps)
    for a, b in zip(own.flatten().split(2**24), stored.flatten().split(2**24), strict=True):  # cast twice, say
        a, b = a.float(), b.float()
        if not ((a - b).abs() <= kind.eps * b.abs() + kind.smallest_normal).all():
            return False
    return True


def _inner(tensor: Tensor) -> list[Tensor]:
    """The tensors that one consists of, which is quantised by torchao, say: whole numbers and their scales."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    return [] if flatten is None else [getattr(tensor, name) for name in flatten()[0]]


def _bits(tensor: Tensor) -> Tensor:
    """The bytes of a tensor, on the CPU; of one that a package holds in its own way, those of its values."""
    try:
        return tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    except (RuntimeError, TypeError, NotImplementedError):
        return tensor.detach().float().cpu().flatten().view(torch.uint8)


def _digest(tensor: Tensor) -> bytes:
    """XXH3 of a tensor; b"" of one that is nowhere. Those of a device are read anew only where they were changed."""
    if tensor.is_meta:
        return b""
    if inner := _inner(tensor):
        return b"".join(map(_digest, inner))
    if tensor.device.type == "cpu":
        return xxhash.xxh3_128_digest(_bits(tensor).numpy().data)
    mark = _mark(tensor)
    before = _digests.get(tensor)
    if before is None or before[0] != mark:
        before = _digests[tensor] = mark, xxhash.xxh3_128_digest(_bits(tensor).numpy().data)
    return before[1]


def _mark(tensor: Tensor) -> tuple[int, int, bytes]:
    """What tells that a tensor was changed: its version, and its values' sum and some of them, for what is done to
    `data` has no version."""
    flat = tensor.detach().flatten()
    kinds = {2: torch.int16, 4: torch.int32, 8: torch.int64}
    total = 0
    with suppress(RuntimeError, TypeError, NotImplementedError):  # one that a package holds in its own way
        total = int(flat.view(kinds.get(flat.element_size(), torch.uint8)).sum(dtype=torch.int64))
    some = _bits(flat[:: max(1, len(flat) // 64)]).numpy().tobytes()
    return -1 if tensor.is_inference() else tensor._version, total, some


def _update(digest: Any, part: str, state: Mapping[str, Tensor]) -> None:
    """Add the names, shapes and values of a part's weights."""
    for name, tensor in sorted(state.items()):
        digest.update(f"{part}.{name}{tuple(tensor.shape)}".encode() + _digest(tensor))
