"""Inversion of Menagerie pictures: how well DDIM draws them again, by the number of fixed-point iterations.

Thirty-two held-out drawings with their captions, 50 steps, float32, unguided and at the guidance of drawing. PSNR is
against the autoencoder's own reconstruction; one iteration is the plain inverse. Run: python benchmarks/inversion.py
"""

from __future__ import annotations

from typing import Any

import astrogate as ag
from astrogate.measure.scores import bootstrap, mean, psnr
from astrogate.studies.world.scenes import drawings, held_out_scenes, reconstruct

COUNT, STEPS = 32, 50


def main() -> None:
    """Print the PSNR at each number of iterations."""
    model: Any = ag.load(device="cpu")
    scenes, captions = held_out_scenes(COUNT)
    pictures, _ = drawings(scenes, model.size)
    points = [model.point(caption.text, seed=i) for i, caption in enumerate(captions)]
    wanted = reconstruct(model, pictures)
    for guidance, chosen in ((1.0, (1, 2, 3, 5, 10)), (4.0, (1, 5, 10))):
        recipe = ag.Recipe(STEPS, guidance, scheduler="DDIM")
        for iterations in chosen:
            found = ag.invert(model, pictures, points, recipe=recipe, iterations=iterations)
            scores = psnr(model.decode(model.denoise(found, recipe)), wanted)
            print(f"guidance {guidance:g}, {iterations:2} iterations: {bootstrap(mean, scores)} dB", flush=True)


if __name__ == "__main__":
    main()
