"""What sharpness-aware minimisation does to the rank of CLIP's image embeddings, on short runs of Menagerie's CLIP.

Four runs from one start on the same data: plain, with SAM (radius 0.05) for as many steps, which cost twice as much,
and plain for twice and for half the steps, since the rank grows as CLIP learns. Printed: the principal components
that leave 1 % of the variance of 2,000 held-out drawings, the effective rank, and retrieval among 100. Run: python
benchmarks/sam.py FOLDER [STEPS]; the folder has the pictures as `data`, or gets them, and keeps what is done.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import torch

from astrogate.measure.clip import Clip
from astrogate.measure.scores import bootstrap, mean, retrieval
from astrogate.models.loading.locate import shipped_folder
from astrogate.ops.quantise import effective_rank, fit_codebook
from astrogate.studies.world.scenes import drawings, held_out_scenes
from astrogate.train.world.presets import PRESETS
from astrogate.train.world.run import train_menagerie

COUNT, BATCH = 2000, 128


def main() -> None:
    """Train what is not there, and measure."""
    folder, steps = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 500
    scenes, captions = held_out_scenes(COUNT)
    pictures = drawings(scenes, PRESETS["cpu"].size)[0]
    texts = [caption.text for caption in captions]
    runs = (("plain, half", steps // 2, 0.0), ("plain", steps, 0.0), ("plain, twice", 2 * steps, 0.0))
    for name, length, sam in (*runs, ("sam", steps, 0.05)):
        run, own = folder / name.replace(", ", "-"), PRESETS["cpu"]
        schedule = replace(own.schedules["clip"], steps=length, batch=BATCH, minutes=600, warmup=50, sam=sam)
        run.mkdir(parents=True, exist_ok=True)
        if not (run / "data").exists():
            (run / "data").symlink_to((folder / "data").resolve())
        train_menagerie(replace(own, schedules={**own.schedules, "clip": schedule}), run, stages=("clip",), seed=0)
        for part in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
            shutil.copy(shipped_folder() / "clip" / part, run / "clip")
        clip = Clip(run / "clip")
        z = clip.images(pictures)
        found = bootstrap(mean, retrieval(z, clip.texts(texts)))
        components = len(fit_codebook(z, error=0.01).basis)
        told = f"{components} of {z.shape[1]} components leave 1 %, effective rank {effective_rank(z):.1f}"
        print(f"{name}, {length} steps of {BATCH}: {told}, retrieval {found}", flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
