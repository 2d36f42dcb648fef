"""Put the finished parts of a run together: a folder that `load` reads, or the stack that ships, in fp16.

The shipped stack leaves out what the shipped model has: CLIP, tokenizer and VAE. `card.json` holds a SHA-256 of every
part and of what it was trained on; `models.loading.load` refuses a mixture.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch

from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_folder
from astrogate.models.families.astrogate_unclip import OWN
from astrogate.models.loading.checks import digest, latents_vae, read_card
from astrogate.models.loading.locate import UNCLIP_SHIPPED, shipped_folder
from astrogate.models.loading.trust import read_settings
from astrogate.models.unclip.load import own_part
from astrogate.train.kit.stages import TRAINED_ON, forget_paths

_LIMIT, _FILE_LIMIT = 24 * 2**20, 16 * 2**20
#: Where a part of a stack is in a run.
_PLACES = {
    "decoder": "decoder",
    "text_proj": "decoder/text_proj",
    "image_normalizer": "decoder/image_normalizer",
    "scheduler": "decoder/scheduler",
    "prior": "prior",
    "prior_scheduler": "prior/scheduler",
    "ar_prior": "ar_prior",
    "upsampler": "upsampler",
    "upsampler_scheduler": "upsampler/scheduler",
    "upsampler_2": "upsampler_2",
    "upsampler_2_scheduler": "upsampler_2/scheduler",
}


def assemble_stack(run: Path, target: Path, *, clip: Path | None = None, vae: Path | None = None) -> int:
    """Put the parts that `run` holds into the stack `target`, whole or not at all; returns its size in bytes.

    A stack that is there keeps the parts that the run does not have. With `clip` and `vae`, the folders that it was
    trained on, it holds these, too; without, it is the one that ships. Raises AstrogateError for a stack without
    decoder, for parts that were trained on others, and for a shipped stack that is too large.
    """
    shipped = clip is None or vae is None
    frozen = {"clip": clip or shipped_folder() / "clip", "vae": vae or latents_vae(shipped_folder())}
    known = {name: digest(folder) for name, folder in frozen.items()}
    index = target / "model_index.json"
    ours = index.exists() and read_settings(index).get("_class_name") == OWN
    if target.exists() and not ours and any(target.iterdir()):
        raise AstrogateError(f"{target} holds something else", "name a new folder, or a stack of ours to replace")
    if not (run / "decoder").is_dir() and not (target / "decoder").is_dir():
        raise AstrogateError(f"{run} holds no decoder", "train the part decoder first")
    before = read_card(target / "card.json")["trained_on"] if ours else {}
    with whole_folder(target, "model_index.json") as fresh:
        trained_on: dict[str, dict[str, str]] = {}
        kept: dict[str, dict[str, str]] = {}
        for part, place in _PLACES.items():
            source = run / place if (run / place).is_dir() else target / part
            if not source.is_dir() or (shipped and part == "scheduler"):
                continue
            if source == target / part:
                kept[part] = before.get(part, {})
            else:
                trained_on[part] = dict(read_settings(run / place.split("/")[0] / TRAINED_ON))
                _check_needs(part, run, trained_on[part], known)
            own_part(part, source, torch.float16).save_pretrained(fresh / part)
            if (source / "codebook.safetensors").exists():
                shutil.copy(source / "codebook.safetensors", fresh / part)
        for part in () if shipped else ("text_encoder", "image_encoder", "tokenizer", "feature_extractor", "vae"):
            own_part(part, frozen["vae" if part == "vae" else "clip"], torch.float16).save_pretrained(fresh / part)
        (fresh / "model_index.json").write_text(json.dumps({"_class_name": OWN}))
        forget_paths(fresh)
        if shipped:
            shutil.copy(shipped_folder() / "language.json", fresh)
        else:  # what is in the stack stands for the folders that it came from
            stands = {"clip": ("text_encoder", "image_encoder"), "vae": ("vae",)}
            known = {part: digest(fresh / part) for parts in stands.values() for part in parts}
            trained_on = {k: {part: known[part] for name in v for part in stands[name]} for k, v in trained_on.items()}
        for part, needs in kept.items():
            _check_needs(part, target, needs, known)
        _write_card(fresh, trained_on | kept, UNCLIP_SHIPPED if shipped else "stack")
        sizes = {path: path.stat().st_size for path in fresh.rglob("*") if path.is_file()}
        if shipped and (sum(sizes.values()) > _LIMIT or max(sizes.values()) > _FILE_LIMIT):
            largest = max(sizes, key=lambda path: sizes[path])
            raise AstrogateError(
                f"the stack is {sum(sizes.values()) / 2**20:.2f} MiB, its largest file {largest.name}",
                "keep it within 24 MiB, and a file within 16",
            )
    return sum(sizes.values())


def _check_needs(part: str, where: Path, needs: Mapping[str, str], known: Mapping[str, str]) -> None:
    if wrong := [name for name, value in needs.items() if known.get(name) != value]:
        raise AstrogateError(f"{part} in {where} was trained on another {wrong[0]}", "train it again")


def _write_card(folder: Path, trained_on: Mapping[str, Mapping[str, str]], name: str) -> None:
    """Which parts there are and what each was trained on, as the loader checks it."""
    parts = {path.name: digest(path) for path in sorted(folder.iterdir()) if path.is_dir()}
    known = {part: dict(needs) for part, needs in trained_on.items() if needs}
    card = {"astrogate": name, "parts": parts, "trained_on": known}
    (folder / "card.json").write_text(json.dumps(card, indent=1))
