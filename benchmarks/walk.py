"""300 frames from noise to noise, beside a plain loop over diffusers: cost, equal frames, fast mode, retiming.

Same weights, scheduler and steps, same process, warmed; process CPU time, medians of interleaved repeats.
Run: python benchmarks/walk.py [frames [repeats]]
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from clock import cpu_seconds

import astrogate as ag
from astrogate.models.loading.locate import shipped_folder
from astrogate.models.sampler.fast import fast

PROMPT, RECIPE, BATCH = "a painting of a cat", ag.Recipe(), 16


def main(n: int, repeats: int = 3) -> None:
    """Print the ratios and the differences of the pictures."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(shipped_folder(), torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    model = ag.load(device="cpu")
    start = model.point(PROMPT, seed=1)
    path = ag.walk(start, model.point(PROMPT, seed=2))
    drawn: dict[str, list[np.ndarray]] = {}

    def plain(count: int = n) -> None:
        noise = [point.tensors["latents"][None] for point in path.sample(n)][:count]
        settings = {"num_inference_steps": RECIPE.num_inference_steps, "guidance_scale": RECIPE.guidance_scale}
        drawn["plain"] = [np.asarray(pipe(PROMPT, latents=z, **settings).images[0], np.int16) for z in noise]

    def ours(cache: ag.FrameCache) -> None:
        frames = ag.render(model, path.sample(n), recipe=RECIPE, batch_size=BATCH, cache=cache)
        drawn["ours"] = [np.asarray(frame.image, np.int16) for frame in frames]

    def quick() -> None:
        with fast(model, RECIPE, n) as (recipe, batch):
            frames = ag.render(model, path.sample(n), recipe=recipe, batch_size=batch)
            drawn["fast"] = [np.asarray(frame.image, np.int16) for frame in frames]

    def again(cache: ag.FrameCache) -> None:
        clip = ag.Clip(shipped_folder() / "clip")
        options = {"recipe": RECIPE, "batch_size": BATCH, "cache": cache}
        list(ag.render(model, map(path, ag.retimed(model, path, n, clip, **options)), **options))

    plain(2), list(ag.render(model, start, recipe=RECIPE))
    spent: dict[str, list[float]] = {"plain": [], "ours": [], "fast": [], "retiming": []}
    for _ in range(repeats):
        with TemporaryDirectory() as folder:
            cache = ag.FrameCache(Path(folder))
            spent["plain"].append(cpu_seconds(plain))
            spent["ours"].append(cpu_seconds(lambda cache=cache: ours(cache)))
            spent["fast"].append(cpu_seconds(quick))
            spent["retiming"].append(cpu_seconds(lambda cache=cache: again(cache)))
    ratios = {
        name: [a / b for a, b in zip(spent[name], spent["ours" if name == "retiming" else "plain"], strict=True)]
        for name in ("ours", "fast", "retiming")
    }
    print(f"{n} frames, {torch.get_num_threads()} threads: plain diffusers {median(spent['plain']):.1f} s CPU")
    for name, wanted in (("ours", 0.5), ("fast", 0.25)):
        apart = np.stack([np.abs(a - b) for a, b in zip(drawn["plain"], drawn[name], strict=True)])
        print(
            f"{name}: ratio {_told(ratios[name])} (to reach: {wanted}); frames differ by "
            f"{apart.mean():.3f}/255 in the mean, {apart.max()}/255 at most"
        )
    print(f"retiming what is drawn, beside drawing it: ratio {_told(ratios['retiming'])} (to reach: 0.05)")


def _told(ratios: list[float]) -> str:
    return f"{median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f} over {len(ratios)})"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:] or [300]))
