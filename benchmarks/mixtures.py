"""How sparse the convex start should be, of which words, and about which centre, on mixtures that no fact holds.

Each of 22 mixtures is a list of words and prompts that say some of them: two or three subjects, a rare and a frequent
one, with a colour, a hat, a pattern or a scene. Sixty pictures each are taken apart by CLIP alone, as the convex start
does; printed is the share of a mixture's words among the ten largest. Run: python benchmarks/mixtures.py
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import astrogate as ag
from astrogate.measure.features import clip_for
from astrogate.measure.scores import bootstrap, mean
from astrogate.menagerie.captions import SCENE_WORDS
from astrogate.menagerie.factors import ANIMALS, COLOURS, PEOPLE, PLACES
from astrogate.methods.concepts.centre import centre
from astrogate.methods.concepts.point import place_of
from astrogate.methods.concepts.starts import convex
from astrogate.rendering.render import render, to_tensor
from astrogate.studies.planted import PLAIN, RECIPE, TOP, named

PICTURES = 60
Mixture = tuple[list[str], Callable[[], str]]


def mixtures(rng: random.Random) -> list[Mixture]:
    """The words of each mixture, and what draws one of its prompts; no two subjects make a planted fact."""
    free = [name for name in (*ANIMALS, *PEOPLE, *PLACES) if name not in ("dog", "child", "man", "ladybug")]
    scenes = ("beach", "jungle", "city", "night")

    def one(subjects: list[str], weights: list[int], before: str = "", after: str = "") -> Callable[[], str]:
        return lambda: f"a photo of a {before}{rng.choices(subjects, weights)[0]}{after}"

    found: list[Mixture] = []
    for turn in range(3):
        two, rare, role, anyone = (rng.sample(free, n) for n in (2, 2, 2, 6))
        colour, hat, scene = rng.choice(COLOURS[2:4]), rng.choice(["red", "green", "white"]), rng.choice(scenes)
        place, mood = SCENE_WORDS[scene][0], rng.choice(["happy", "sad"])
        pattern, one_of = rng.choice(["spotted", "striped"]), rng.choice(["woman", "girl", "boy"])
        found += [
            (two, one(two, [1, 1])),
            (rare, one(rare, [4, 1])),
            ([*role, colour], one(role, [4, 1], f"{colour} ")),
            ([one_of, hat, "hat"], one([one_of], [1], after=f" with a {hat} hat")),
            ([colour, scene, mood], one(anyone, [1] * 6, f"{mood} {colour} ", f" {place}")),
            ([scene, hat, "hat"], one(anyone, [1] * 6, after=f" with a {hat} hat {place}")),
            ([one_of, pattern], one([one_of], [1], f"{pattern} ")),
        ]
        if turn == 0:
            three = rng.sample(free, 3)
            found.append((three, one(three, [1, 1, 1])))
    return found


def main() -> None:
    """Print the mean recall of every setting."""
    model, clip = ag.load(device="cpu"), clip_for("menagerie", None)
    words = named(ag.vocabulary(model, clip))
    shown: list[tuple[list[str], torch.Tensor]] = []
    for i, (truth, prompt) in enumerate(mixtures(random.Random(0))):
        points = [model.point(prompt(), seed=20_000 + PICTURES * i + seed) for seed in range(PICTURES)]
        shown.append((truth, clip.images(to_tensor(render(model, points, recipe=RECIPE, batch_size=20)))))
        print(f"drawn: {', '.join(truth)}")
    place = place_of("a photo of a thing", None, words.words)
    with TemporaryDirectory() as folder:
        shift, origin = centre(model, clip, place, words, PLAIN, Path(folder))
    for about, kept, left in product((True, False), (len(words.words), len(words.words) // 2), (3, 6, 9, 12)):
        recalls: list[float] = []
        for truth, pictures in shown:
            near = (words.features @ pictures.mean(0)).argsort(descending=True)[:kept]
            chosen = words.at([int(i) for i in near])
            m = shift if about else torch.zeros_like(shift)
            weights = convex(chosen.features - origin, pictures - m, left=left)
            top = [chosen.words[int(i)] for i in weights.argsort(descending=True)[:TOP]]
            recalls.append(mean([float(word in top) for word in truth]))
        centred = "centred" if about else "as they are"
        print(f"pictures {centred}, the nearest {kept} words, {left} a picture: {bootstrap(mean, recalls)}")


if __name__ == "__main__":
    main()
