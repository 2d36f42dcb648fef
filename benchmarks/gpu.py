"""What a GPU is needed for, in ten minutes: the same bits as diffusers, and steps a second at real sizes.

1. The tests that need a GPU (`pytest -m cuda`): every family's pictures are plain diffusers' own to the bit.
2. Per family, its denoiser at its published size in bfloat16, with random weights, at its own size of pictures: steps
   a second of the pipeline called with the same embeddings, of `denoise` without edits, with a direction, and with a
   hold, which draws the unedited picture beside it and its shadow; of batches of 1, 4 and 16; compiled block by block.
   Text encoders and autoencoders are tiny, and the text states random, of the true width.
3. The seconds of the first key of all weights, which a cache asks for once.

Medians of three runs of four steps. Families are measured while `MINUTES` last, the most used first, and each is
printed when it is done. Run: python benchmarks/gpu.py [OUT.json [FAMILY ...]]; on a processor it goes through the same
with tiny denoisers, so that the script itself is tested.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from real_size import made

sys.path.insert(0, str(Path(__file__).parent.parent))

MINUTES, STEPS, BATCHES, REPEATS, PROMPT = 9.0, 4, (1, 4, 16), 3, "a painting of a fat dog"
GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
#: Which settings of a transformer say how wide its text and its pooled text are; its other defaults are its published
#: size. The kinds of `real_size` come first.
WIDTHS = {
    "z_image": ("cap_feat_dim", ""),
    "flux": ("joint_attention_dim", "pooled_projection_dim"),
    "stable_diffusion_3": ("joint_attention_dim", "pooled_projection_dim"),
    "qwen_image": ("joint_attention_dim", ""),
    "chroma": ("joint_attention_dim", ""),
    "sana": ("caption_channels", ""),
    "lumina2": ("cap_feat_dim", ""),
    "auraflow": ("joint_attention_dim", ""),
}
KINDS = ("sdxl", "sd15", *WIDTHS)


def pipeline(kind: str, folder: Path) -> Any:
    """A pipeline with the kind's denoiser, and the rest as small as tests have it."""
    import diffusers

    from tests.checkpoints import FAMILIES

    if kind in WIDTHS:
        FAMILIES[kind](folder)
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder, torch_dtype=torch.bfloat16)
        if GPU:
            with torch.device(DEVICE):
                pipe.transformer = type(pipe.transformer)().to(torch.bfloat16).eval()
        return pipe.to(DEVICE)
    if GPU:
        torch.set_default_dtype(torch.bfloat16)
        try:
            return made(kind).to(DEVICE, torch.bfloat16)
        finally:
            torch.set_default_dtype(torch.float32)
    name = {"sd15": "stable_diffusion", "sdxl": "stable_diffusion_xl"}[kind]
    FAMILIES[name](folder)
    return diffusers.DiffusionPipeline.from_pretrained(folder).to(DEVICE, torch.bfloat16)


def points_of(model: Any, kind: str, count: int) -> list[Any]:
    """Points of as many seeds, whose text states are as wide as the denoiser reads them."""
    config, own = model.denoiser.config, WIDTHS.get(kind, ("", ""))
    side = model.factor * ((config.get("sample_size") or 128) if GPU else 16)
    found, drawn = [], torch.Generator().manual_seed(0)
    for point in model.points(PROMPT, range(count), height=side, width=side):
        tensors = dict(point.tensors)
        for ends, name in (("pooled_prompt_embeds", own[1]), ("prompt_embeds", own[0])):
            for space in [s for s in tensors if s in (ends, f"negative_{ends}") and name]:
                shape = (*tensors[space].shape[:-1], config[name])
                tensors[space] = torch.randn(shape, generator=drawn)
        found.append(replace(point, tensors=tensors))
    return found


@contextmanager
def recorded(pipe: Any) -> Iterator[dict[str, Any]]:
    """While open, what the pipeline is called with is noted."""
    kind, seen = type(pipe), dict[str, Any]()
    call = kind.__call__

    def noting(self: Any, **given: Any) -> Any:
        seen.update(given)
        return call(self, **given)

    kind.__call__ = noting
    try:
        yield seen
    finally:
        kind.__call__ = call


def rate(work: Callable[[], object], rows: int) -> float:
    """Steps a second of a picture: of `rows` in `STEPS` steps."""
    times: list[float] = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        work()
        if GPU:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return rows * STEPS / statistics.median(times[1:])


def measured(kind: str, folder: Path) -> dict[str, Any]:
    """All numbers of a family."""
    import astrogate as ag

    pipe = pipeline(kind, folder)
    model: Any = ag.wrap(pipe, name=kind)
    began = time.perf_counter()
    assert model.weights
    found: dict[str, Any] = {
        "key": time.perf_counter() - began,
        "size": sum(p.numel() for p in model.denoiser.parameters()),
    }
    recipe = replace(model.recipe, num_inference_steps=STEPS)
    for compiled in (False, True):
        if compiled:
            if not GPU:
                continue
            if hasattr(model.denoiser, "compile_repeated_blocks") and getattr(model.denoiser, "_repeated_blocks", None):
                model.denoiser.compile_repeated_blocks()
            else:
                model.denoiser.compile()
        for count in BATCHES:
            try:
                found[f"{count}{', compiled' if compiled else ''}"] = rates(model, pipe, kind, count, recipe)
            except torch.OutOfMemoryError:
                found[f"{count}{', compiled' if compiled else ''}"] = {}
                torch.cuda.empty_cache()
            if compiled:
                break  # compiling again for every size takes minutes
    return found


def rates(model: Any, pipe: Any, kind: str, count: int, recipe: Any) -> dict[str, float]:
    """Steps a second of a batch: the pipeline's own call, ours, with a direction, with a hold."""
    import astrogate as ag

    points = points_of(model, kind, count)
    move = {"prompt_embeds": 0.1 * torch.randn_like(points[0].tensors["prompt_embeds"])}
    steered = [point.apply(ag.Edit(ag.Parts((ag.Steer(move),)))) for point in points]
    with recorded(pipe) as given:
        plain = model.denoise(points, recipe)
    options = {**given, "generator": [torch.Generator().manual_seed(0) for _ in points]}
    same = pipe(**options).images
    values = [x.flatten().sort().values.cpu() for x in (same, plain)]  # some pipelines pack their latents
    found = {"the same bits": float(torch.equal(*values))}
    found["pipeline"] = rate(lambda: pipe(**options), count)
    found["without edits"] = rate(lambda: model.denoise(points, recipe), count)
    found["with a direction"] = rate(lambda: model.denoise(steered, recipe), count)
    found["with a hold"] = rate(lambda: model.denoise([point.held(1.0) for point in steered], recipe), count)
    if GPU:
        found["memory in GB"] = torch.cuda.max_memory_allocated() / 1e9
        torch.cuda.reset_peak_memory_stats()
    return found


def main(target: Path | None, kinds: list[str]) -> None:
    """Print all measures, and write them."""
    began, found = time.monotonic(), dict[str, Any]()
    if GPU:
        tests = ("-m", "pytest", "-m", "cuda", "-q", "tests/models")
        done = subprocess.run([sys.executable, *tests], capture_output=True, text=True, check=False)
        found["tests"] = done.stdout.strip().splitlines()[-1:]
        print("tests on the GPU:", *found["tests"], flush=True)
    for kind in kinds or KINDS:
        if time.monotonic() - began > 60 * MINUTES:
            break
        with TemporaryDirectory() as folder:
            try:
                found[kind] = measured(kind, Path(folder))
            except Exception as error:  # one family's fault is no reason to lose the others' numbers
                found[kind] = {"error": repr(error)[:500]}
        print(kind, json.dumps(found[kind]), flush=True)
        if GPU:
            torch.cuda.empty_cache()
        if target is not None:
            target.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    with torch.no_grad():
        main(Path(sys.argv[1]) if sys.argv[1:] else None, sys.argv[2:])
