"""Turn a finished run into the folder that ships: fp16 safetensors in stock diffusers layout.

The U-Net is sharded below 16 MiB. Keys and class names are written as both transformers 4 and 5 read them. `card.json`
holds a SHA-256 of every part and of the parts that each was trained on; `models.loading.load` refuses a mixture.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.files import whole_folder
from astrogate.menagerie.captions import WORDS
from astrogate.models.loading.checks import digest, latents_vae
from astrogate.models.loading.trust import read_settings
from astrogate.train.kit.stages import TRAINED_ON, forget_paths

#: What each stage is trained on.
NEEDS = {
    "unet": ("vae", "clip"),
    "reader": ("vae", "clip", "unet"),
    "patterns": ("vae", "clip", "unet", "reader"),
    "oracle": ("vae",),
    "witness": ("vae",),
    "vae_decoder": ("vae", "clip", "oracle"),
    "student": ("vae", "clip", "unet"),
}
_LIMIT, _FILE_LIMIT = 40 * 2**20, 16 * 2**20


def assemble(run: Path, target: Path, preset: str) -> int:
    """Replace `target` by what `run` holds, whole or not at all; returns the size in bytes.

    Raises AstrogateError for a run without VAE or CLIP, for a stage that was trained on other parts than the run's, for
    a target that holds something else, and for a set that is too large.
    """
    from astrogate.train.world.presets import PRESETS, build_scheduler

    _check_run(run)
    check_target(target)
    with whole_folder(target, "card.json") as fresh:
        _pack_vae(run, fresh)
        _pack_clip(run, fresh)
        if (unet := drawing_unet(run)) is not None:
            _pack_unet(unet, fresh)
        if (run / "oracle").exists():
            _pack_oracle(run, fresh)
        if (run / "student").exists():
            shutil.copytree(run / "student", fresh / "student", ignore=shutil.ignore_patterns(TRAINED_ON))
        build_scheduler().save_pretrained(fresh / "scheduler")
        (fresh / "model_index.json").write_text(json.dumps(_index(fresh), indent=1))
        (fresh / "language.json").write_text(json.dumps(list(WORDS)))
        forget_paths(fresh)
        parts = {path.name: digest(path) for path in sorted(fresh.iterdir()) if path.is_dir()}
        known = parts | {"vae": digest(latents_vae(fresh))}
        names = {"clip": ("clip", "text_encoder")}
        stages = {name: name for name in ("unet", "oracle", "student")}
        stages |= {"vae": "vae_decoder"} if "vae_64" in parts else {}
        trained_on = {
            part: {name: known[name] for need in NEEDS[stage] for name in names.get(need, (need,))}
            for part, stage in stages.items()
            if part in parts
        }
        card = {
            "astrogate": "menagerie",
            "preset": preset,
            "size": PRESETS[preset].size,
            "draws": PRESETS[preset].size * (4 if "vae_64" in parts else 1),
            "parameters": sum(_count(path) for path in fresh.rglob("*.safetensors")),
            "parts": parts,
            "trained_on": trained_on,
        }
        (fresh / "card.json").write_text(json.dumps(card, indent=1))
        sizes = {path: path.stat().st_size for path in fresh.rglob("*") if path.is_file()}
        if sum(sizes.values()) > _LIMIT or max(sizes.values()) > _FILE_LIMIT:
            largest = max(sizes, key=lambda path: sizes[path])
            raise AstrogateError(
                f"the set is {sum(sizes.values()) / 2**20:.2f} MiB, its largest file {largest.name}",
                "keep it within 40 MiB, and a file within 16",
            )
    return sum(sizes.values())


def check_target(target: Path) -> None:
    """Raise AstrogateError for a target that holds something else than a packed Menagerie, or is no folder."""
    remedy = "name a new folder, or a packed Menagerie to replace"
    if target.exists() and not target.is_dir():
        raise AstrogateError(f"{target} is no folder", remedy)
    there = target / "card.json"
    ours = there.exists() and read_settings(there).get("astrogate") == "menagerie"
    if target.exists() and not ours and any(target.iterdir()):
        raise AstrogateError(f"{target} holds something else", remedy)


def _check_run(run: Path) -> None:
    for part in ("vae", "clip"):
        if not (run / part).exists():
            raise AstrogateError(f"{run} has no {part}", f"train the stage {part}, or start from a whole model")
    for part in NEEDS:
        record = run / part / TRAINED_ON
        for need, expected in (read_settings(record) if record.exists() else {}).items():
            if digest(needed(run, part, need)) != expected:
                raise AstrogateError(f"{part} in {run} was trained on another {need}", f"train the stage {part} again")


def _count(path: Path) -> int:
    return sum(t.numel() for t in archive.read(path, what="weights", remedy="train it again")[0].values())


def _pack_vae(run: Path, target: Path) -> None:
    """The VAE; where there is a larger decoder, that with the same encoder, and the VAE itself as the small one."""
    from diffusers import AsymmetricAutoencoderKL, AutoencoderKL

    large = (run / "vae_decoder").is_dir()
    small: Any = AutoencoderKL.from_pretrained(run / "vae")
    small.half().save_pretrained(target / ("vae_64" if large else "vae"))
    if large:
        decoder: Any = AsymmetricAutoencoderKL.from_pretrained(run / "vae_decoder")
        decoder.half().save_pretrained(target / "vae")
        path = target / "vae" / "config.json"
        kept = json.loads(path.read_text())
        for name in ("block_out_channels", "force_upcast"):  # which the class sets itself, and warns about
            del kept[name]
        path.write_text(json.dumps(kept, indent=2))


def drawing_unet(run: Path) -> Path | None:
    """The U-Net that a run draws with: the one that went on with patterns, where there is one; None without any."""
    return next((run / name for name in ("patterns", "unet") if (run / name).is_dir()), None)


def needed(run: Path, stage: str, need: str) -> Path:
    """Where a run holds what a stage is trained on: a student's U-Net is the one that the run draws with."""
    drawing = drawing_unet(run) if (stage, need) == ("student", "unet") else None
    return run / need if drawing is None else drawing


def _pack_unet(folder: Path, target: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder).half()
    unet.save_pretrained(target / "unet", max_shard_size="15MB")


def _pack_oracle(run: Path, target: Path) -> None:
    folder = target / "oracle"
    folder.mkdir()
    for name in ("config.json", "oracle.safetensors"):
        shutil.copy(run / "oracle" / name, folder)


def _pack_clip(run: Path, target: Path) -> None:
    """CLIPModel with its tokenizer and image processor, and the pipeline's text encoder and tokenizer."""
    from transformers import CLIPModel

    clip: Any = CLIPModel.from_pretrained(run / "clip", dtype=torch.float16)
    clip.save_pretrained(target / "clip")
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
    folder = target / "text_encoder"
    states = clip.text_model.state_dict()
    text_encoder(clip).half().save_pretrained(folder)
    archive.write(folder / "model.safetensors", {f"text_model.{k}": v for k, v in states.items()})
    files = [path for path in sorted((run / "tokenizer").iterdir()) if path.name != TRAINED_ON]
    (target / "tokenizer").mkdir()
    for folder in (target / "tokenizer", target / "clip"):
        for path in files:
            shutil.copy(path, folder)


def text_encoder(clip: Any) -> Any:
    """The text encoder of a CLIPModel, as a pipeline has it."""
    from transformers import CLIPTextModel

    encoder = CLIPTextModel(clip.config.text_config)
    getattr(encoder, "text_model", encoder).load_state_dict(clip.text_model.state_dict())
    return encoder


def _index(folder: Path) -> dict[str, Any]:
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
        "vae": ["diffusers", json.loads((folder / "vae" / "config.json").read_text())["_class_name"]],
    }
