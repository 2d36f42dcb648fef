"""Checkpoints of the sizes of Stable Diffusion 1.5 and XL, with random weights, beside plain diffusers.

1. Loading: CPU seconds and the most memory of `load` and of `from_pretrained`, medians of five processes, in turn:
   the first of a process, which imports what it needs, and the third.
2. Drawing: a strip of three pictures beside three calls of the pipeline, a process each; the first picture's time.
3. The strip's middle picture, at scale 0, is the pipeline's own of the same seed to the bit.

Weights are stored in bfloat16, which both compute in where the processor has it, else in float32: without it, a picture
takes minutes. The encoders have CLIP's 49,408 rows; the tokenizer that is built here fills few of them. Run: python
benchmarks/real_size.py FOLDER [sd15|sdxl [SIDE [STEPS]]]; the folder keeps the checkpoints, of 2 and 7 GB.
"""

from __future__ import annotations

import hashlib
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from clock import cpu_seconds

REPEATS, PROMPT = 5, "a painting of a fat dog"
#: CLIP's two text towers: of ViT-L and of ViT-bigG.
LARGE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
BIG = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def made(kind: str) -> Any:
    """A pipeline of a kind's sizes."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    from astrogate.train.world.tokenizer import build_tokenizer

    torch.manual_seed(0)
    tokenizer = build_tokenizer(sorted({*PROMPT.split(), "thin", "cat", "photo"}), max_length=77)
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    common = {"vocab_size": 49408, "max_position_embeddings": 77, "pad_token_id": tokenizer.pad_token_id, **ends}
    vae = diffusers.AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
        scaling_factor=0.18215,
    )
    parts: dict[str, Any] = {"vae": vae, "tokenizer": tokenizer}
    parts["text_encoder"] = CLIPTextModel(CLIPTextConfig(**common, **LARGE, hidden_act="quick_gelu"))  # type: ignore[arg-type]
    if kind == "sd15":
        return diffusers.StableDiffusionPipeline(
            **parts,
            unet=diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8),
            scheduler=diffusers.DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=False),  # type: ignore[arg-type]
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    config = CLIPTextConfig(**common, **BIG, hidden_act="gelu", projection_dim=1280)  # type: ignore[arg-type]
    unet = diffusers.UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    return diffusers.StableDiffusionXLPipeline(
        **parts,
        text_encoder_2=CLIPTextModelWithProjection(config),
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=diffusers.EulerDiscreteScheduler(**NOISE),  # type: ignore[arg-type]
    )


def build(kind: str, folder: Path) -> None:
    """Write a checkpoint, unless it is there."""
    if not (folder / "model_index.json").exists():
        torch.set_default_dtype(torch.bfloat16)
        made(kind).to(torch.bfloat16).save_pretrained(folder)


def _dtype() -> torch.dtype:
    """What both compute in."""
    from astrogate.models.sampler.fast import has_bfloat16

    return torch.bfloat16 if has_bfloat16("cpu") else torch.float32


def plain(folder: Path) -> Any:
    """The checkpoint as diffusers loads it."""
    import diffusers

    pipe: Any = diffusers.DiffusionPipeline.from_pretrained(folder, torch_dtype=_dtype(), use_safetensors=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def ours(folder: Path) -> Any:
    """The checkpoint as we load it."""
    import astrogate as ag

    return ag.load(folder, device="cpu", dtype=_dtype())


def drawn(load: Callable[[Path], Any], folder: Path, side: int, steps: int) -> tuple[str, float]:
    """What three pictures cost from `load` on: the hash of the middle one, and the seconds of the first."""
    started, first = time.process_time(), 0.0
    if load is plain:
        pipe, picture = plain(folder), None
        for i in range(3):
            generator = torch.Generator("cpu").manual_seed(7)
            found = pipe(
                PROMPT,
                height=side,
                width=side,
                num_inference_steps=steps,
                guidance_scale=5.0,
                generator=generator,
            ).images[0]
            first = first or time.process_time() - started
            picture = found if i == 1 else picture
        assert picture is not None
    else:
        import astrogate as ag

        model = ours(folder)
        point = model.point(PROMPT, seed=7, height=side, width=side)
        direction = ag.contrast(model, "fat", "thin", media=("photo",), subjects=("dog", "cat"))
        recipe = ag.Recipe(steps, 5.0)
        pictures = []
        for frame in ag.render(
            model, [point.apply(direction.at(point), scale) for scale in (-1, 0, 1)], recipe=recipe, batch_size=1
        ):
            first = first or time.process_time() - started
            pictures.append(frame.image)
        picture = pictures[1]
    return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()[:16], first


def child(what: str, kind: str, folder: Path, *numbers: int) -> None:
    """One measure in this process: prints CPU seconds, the most memory in MB, and what it found."""
    load, told = {"plain": plain, "ours": ours}[kind], ("", 0.0)
    if what == "load":
        seconds, _, again = (cpu_seconds(lambda: load(folder)) for _ in range(3))
        told = ("", again)
    else:
        started = time.process_time()
        told = drawn(load, folder, *numbers)
        seconds = time.process_time() - started
    print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, *told]))


def measured(*words: object) -> list[Any]:
    """What a child process prints."""
    call = [sys.executable, __file__, "--child", *map(str, words)]
    return json.loads(subprocess.run(call, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main(home: Path, kind: str = "sd15", side: int = 512, steps: int = 2) -> None:
    """Print all measures of a kind."""
    folder = home / kind
    build(kind, folder)
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e9
    runs = [(measured("load", "plain", folder), measured("load", "ours", folder)) for _ in range(REPEATS)]
    theirs, own = ([statistics.median(run[which][i] for run in runs) for i in (0, 1, 3)] for which in (0, 1))
    for name, found in (("from_pretrained", theirs), ("load", own)):
        print(f"{kind}, {size:.2f} GB: {name} {found[0]:.2f} s CPU, again {found[2]:.2f} s, {found[1]:.0f} MB at most")
    print(f"load: {own[0] / theirs[0]:.2f} times, again {own[2] / theirs[2]:.2f} times (to reach: 1.1)")
    calls, strip = (measured("draw", which, folder, side, steps) for which in ("plain", "ours"))
    print(f"{side} px, {steps} steps: three calls {calls[0]:.1f} s CPU, {calls[1]:.0f} MB, the first {calls[3]:.1f} s")
    print(f"a strip of three {strip[0]:.1f} s, {strip[1]:.0f} MB, the first {strip[3]:.1f} s")
    print(f"{strip[0] / calls[0]:.2f} times in CPU, {strip[1] / calls[1]:.2f} in memory (to reach: 1.0)")
    print(f"the picture of scale 0 is {'the same' if strip[2] == calls[2] else 'ANOTHER'}")


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        child(sys.argv[2], sys.argv[3], Path(sys.argv[4]), *map(int, sys.argv[5:]))
    else:
        main(Path(sys.argv[1]), *sys.argv[2:3], *map(int, sys.argv[3:]))
