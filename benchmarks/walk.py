"""300 frames from noise to noise, beside the seed's plain diffusers loop: cost, equal frames, fast mode, retiming.

Same weights, scheduler and steps, same process, warmed; process CPU time. Run: python benchmarks/walk.py [frames]
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from clock import cpu_seconds

import astrogate as ag
from astrogate.methods.pace import retimed
from astrogate.models.fast import fast
from astrogate.models.load import shipped_folder

PROMPT, RECIPE, BATCH = "a painting of a cat", ag.Recipe(), 16


def main(n: int) -> None:
    """Print the ratios and the differences of the pictures."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(shipped_folder(), torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    model = ag.load(device="cpu")
    start = model.point(PROMPT, seed=1)
    path = ag.walk(start, model.point(PROMPT, seed=2))
    drawn: dict[str, list[np.ndarray]] = {}

    def plain(count: int = n) -> None:
        noise = [point.tensors["latents"][None] for point in ag.sample(path, n)][:count]
        settings = {"num_inference_steps": RECIPE.num_inference_steps, "guidance_scale": RECIPE.guidance_scale}
        drawn["plain"] = [np.asarray(pipe(PROMPT, latents=z, **settings).images[0], np.int16) for z in noise]

    def ours(cache: ag.FrameCache) -> None:
        frames = ag.render(model, ag.sample(path, n), recipe=RECIPE, batch_size=BATCH, cache=cache)
        drawn["ours"] = [np.asarray(frame.image, np.int16) for frame in frames]

    def quick() -> None:
        with fast(model, RECIPE, n) as (recipe, batch):
            frames = ag.render(model, ag.sample(path, n), recipe=recipe, batch_size=batch)
            drawn["fast"] = [np.asarray(frame.image, np.int16) for frame in frames]

    def again(cache: ag.FrameCache) -> None:
        clip = ag.Clip(shipped_folder() / "clip")
        list(retimed(model, path, n, clip, recipe=RECIPE, batch_size=BATCH, cache=cache))

    plain(2), list(ag.render(model, start, recipe=RECIPE))
    with TemporaryDirectory() as folder:
        cache = ag.FrameCache(Path(folder))
        theirs, own, rapid = cpu_seconds(plain), cpu_seconds(lambda: ours(cache)), cpu_seconds(quick)
        retiming = cpu_seconds(lambda: again(cache))
    print(f"{n} frames, {torch.get_num_threads()} threads: plain diffusers {theirs:.1f} s CPU")
    for name, seconds, wanted in (("ours", own, 0.5), ("fast", rapid, 0.25)):
        apart = np.stack([np.abs(a - b) for a, b in zip(drawn["plain"], drawn[name], strict=True)])
        print(
            f"{name}: {seconds:.1f} s, ratio {seconds / theirs:.2f} (to reach: {wanted}); frames differ by "
            f"{apart.mean():.3f}/255 in the mean, {apart.max()}/255 at most"
        )
    print(f"retiming what is drawn: {retiming:.1f} s, {retiming / own:.1%} of drawing it (to reach: 5 %)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
