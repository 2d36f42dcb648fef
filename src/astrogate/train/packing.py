"""Turn a finished run into the folder that ships: fp16 safetensors in stock diffusers layout.

The U-Net is sharded below 16 MiB. Keys and class names are written as both transformers 4 and 5 read them. `card.json`
holds a SHA-256 of every part and of the parts that each was trained on; `models.load` refuses a mixture.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from astrogate.menagerie.captions import WORDS
from astrogate.models.load import digest

_LIMIT = 30 * 2**20
_TRAINED_ON = {"unet": ("vae", "text_encoder"), "oracle": ("vae",), "text_encoder": ("tokenizer",)}


def assemble(run: Path, target: Path, preset: str) -> int:
    """Write what `run` holds to `target`, keeping the parts there that it lacks; returns the size in bytes."""
    from astrogate.train.presets import PRESETS, build_scheduler

    target.mkdir(parents=True, exist_ok=True)
    for part, pack in {"vae": _pack_vae, "clip": _pack_clip, "unet": _pack_unet, "oracle": _pack_oracle}.items():
        if (run / part).exists():
            pack(run, target)
    build_scheduler().save_pretrained(target / "scheduler")
    (target / "model_index.json").write_text(json.dumps(_index(), indent=1))
    (target / "language.json").write_text(json.dumps(list(WORDS)))
    parts = {path.name: digest(path) for path in sorted(target.iterdir()) if path.is_dir()}
    card = {
        "preset": preset,
        "size": PRESETS[preset].size,
        "parameters": sum(_count(path) for path in target.rglob("*.safetensors")),
        "parts": parts,
        "trained_on": {
            part: {name: parts[name] for name in names if name in parts} for part, names in _TRAINED_ON.items()
        },
    }
    (target / "card.json").write_text(json.dumps(card, indent=1))
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    if size > _LIMIT:
        raise ValueError(f"{target} holds {size / 2**20:.2f} MiB: 30 MiB is the limit")
    return size


def _count(path: Path) -> int:
    return sum(t.numel() for t in load_file(path).values())


def _fresh(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _pack_vae(run: Path, target: Path) -> None:
    from diffusers import AutoencoderKL

    AutoencoderKL.from_pretrained(run / "vae").half().save_pretrained(_fresh(target / "vae"))


def _pack_unet(run: Path, target: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(run / "unet").half()
    unet.save_pretrained(_fresh(target / "unet"), max_shard_size="15MB")


def _pack_oracle(run: Path, target: Path) -> None:
    folder = _fresh(target / "oracle")
    for path in (run / "oracle").iterdir():
        shutil.copy(path, folder)


def _pack_clip(run: Path, target: Path) -> None:
    """CLIPModel with its tokenizer and image processor, and the pipeline's text encoder and tokenizer."""
    from transformers import CLIPModel, CLIPTextModel

    clip = CLIPModel.from_pretrained(run / "clip", dtype=torch.float16)
    clip.save_pretrained(_fresh(target / "clip"))
    size = clip.config.vision_config.image_size
    processor: dict[str, Any] = {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": size},
        "do_center_crop": True,
        "crop_size": {"height": size, "width": size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
        "do_convert_rgb": True,
        "resample": 3,
    }
    (target / "clip" / "preprocessor_config.json").write_text(json.dumps(processor, indent=1))
    folder = _fresh(target / "text_encoder")
    encoder = CLIPTextModel(clip.config.text_config).half()
    states = clip.text_model.state_dict()
    getattr(encoder, "text_model", encoder).load_state_dict(states)
    encoder.save_pretrained(folder)
    nested = {f"text_model.{k}": v.contiguous() for k, v in states.items()}
    save_file(nested, folder / "model.safetensors", {"format": "pt"})
    shutil.copytree(run / "tokenizer", _fresh(target / "tokenizer"), dirs_exist_ok=True)
    for path in (run / "tokenizer").iterdir():
        shutil.copy(path, target / "clip")


def _index() -> dict[str, Any]:
    import diffusers

    return {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
