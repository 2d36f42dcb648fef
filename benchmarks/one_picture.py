"""What single pictures need of a decomposition, by how alike two pictures must be to show the same.

The cut-off is a quantile of the cosines between a concept's own pictures. A good one leaves few words, and a picture of
which the oracle reads the same. It was chosen on "chef". Run: python benchmarks/one_picture.py [CONCEPT ...]
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from torch import Tensor

import astrogate as ag
from astrogate.core.basis import Basis
from astrogate.measure.clip import clip_for
from astrogate.measure.scores import mean
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.concept.cutoffs import pictures_alike
from astrogate.methods.concept.pseudo_point import basis_points
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.concept.planted import RECIPE, SPARSE, WAYS, named, recall, truth_of, without_facts

FOLDER = Path("runs/planted")
COMPARED, SEEDS = range(710_000, 710_100), range(720_000, 720_012)
QUANTILES = (0.9, 0.99, 0.9995, 1.0)
FACTORS = ("subject", "colour", "hat", "pattern")


def pictures(model: ag.Model, bases: list[Basis], seeds: list[int]) -> Tensor:
    """Each basis's picture at its seed, [n, 3, h, w]."""
    points = [basis_points(model, basis, [seed])[0] for basis, seed in zip(bases, seeds, strict=True)]
    return to_tensor(render(model, points, recipe=RECIPE, batch_size=20))


def main() -> None:
    """Print, for each concept and quantile, how many words are left and what stays."""
    model, clip, reader = ag.load(device="cpu"), clip_for("menagerie", None), load_oracle()
    words = without_facts(named(ag.vocabulary(model, clip, folder=FOLDER)))
    for concept in sys.argv[1:] or ["doctor", "dancer", "snail"]:
        prompt = f"a photo of a {concept}"
        basis = ag.explain(model, prompt, plan=WAYS[SPARSE], clip=clip, words=words, folder=FOLDER)
        features = clip.images(pictures(model, [basis] * len(COMPARED), [*COMPARED]))
        whole = reader.read(pictures(model, [basis] * len(SEEDS), [*SEEDS]))
        for quantile in QUANTILES:
            cutoff = pictures_alike(features, quantile)
            limits = {**basis.origin["cutoffs"], "pictures": cutoff}
            given = replace(basis, origin={**basis.origin, "cutoffs": limits})
            left = [ag.explain_image(model, given, seed=seed, clip=clip, recipe=RECIPE) for seed in SEEDS]
            read = reader.read(pictures(model, left, [*SEEDS]))
            pairs = {f: zip(whole.labels(f), read.labels(f), strict=True) for f in FACTORS}
            same = ", ".join(f"{f} {mean([float(a == b) for a, b in rows]):.2f}" for f, rows in pairs.items())
            kept = mean([recall([word for word, _ in one.top(one.used)], truth_of(concept)) for one in left])
            told = f"{mean([float(one.used) for one in left]):.1f} words, {kept:.2f} of the truth"
            print(f"{concept}, quantile {quantile:g} (cosine {cutoff:.3f}): {told}; same {same}", flush=True)


if __name__ == "__main__":
    main()
