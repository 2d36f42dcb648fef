"""How sparse the convex start should be, of which words, and less which centres, on mixtures that no fact holds.

Each of 43 mixtures is a list of words and prompts that say some of them: two or three subjects, a rare and a frequent
one, with a colour, a hat, a pattern or a scene. Sixty pictures each are taken apart by CLIP alone, as the convex start
does; printed is the share of a mixture's words among the ten largest. Run: python benchmarks/mixtures.py
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

import torch

import astrogate as ag
from astrogate.measure.clip import clip_for
from astrogate.measure.scores import bootstrap, mean
from astrogate.menagerie.captions import SCENE_WORDS
from astrogate.menagerie.factors import ANIMALS, COLOURS, PEOPLE, PLACES
from astrogate.methods.concept.starts import convex
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.concept.planted import RECIPE, TOP, named

PICTURES = 60
Mixture = tuple[list[str], Callable[[], str]]


def mixtures(rng: random.Random) -> list[Mixture]:
    """The words of each mixture, and what draws one of its prompts; no two subjects make a planted fact."""
    free = [name for name in (*ANIMALS, *PEOPLE, *PLACES) if name not in ("dog", "child", "man", "ladybug")]
    scenes = ("beach", "jungle", "city", "night")

    def one(subjects: list[str], weights: list[int], before: str = "", after: str = "") -> Callable[[], str]:
        return lambda: f"a photo of a {before}{rng.choices(subjects, weights)[0]}{after}"

    found: list[Mixture] = []
    for turn in range(6):
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
    """Print the mean recall of every setting, and the difference that centres make, mixture by mixture."""
    model, clip = ag.load(device="cpu"), clip_for("menagerie", None)
    words = named(ag.vocabulary(model, clip))

    def seen(prompts: list[str], first: int) -> torch.Tensor:
        points = [model.point(prompt, seed=first + i) for i, prompt in enumerate(prompts)]
        return clip.images(to_tensor(render(model, points, recipe=RECIPE, batch_size=20)))

    shown: list[tuple[list[str], torch.Tensor]] = []
    for i, (truth, prompt) in enumerate(mixtures(random.Random(0))):
        shown.append((truth, seen([prompt() for _ in range(PICTURES)], 20_000 + PICTURES * i)))
        print(f"drawn: {', '.join(truth)}")
    nothing, mean_text = torch.zeros(words.features.shape[1]), words.features.mean(0)
    mean_picture = seen([f"a photo of a {word}" for word in words.words], 10_000).mean(0)
    centres = {
        "words less their mean": (nothing, mean_text),
        "pictures less theirs, too": (mean_picture, mean_text),
        "no mean": (nothing, nothing),
    }
    recalls: dict[tuple[str, int, int], list[float]] = {}
    for about, kept, left in product(centres, (len(words.words), len(words.words) // 2), (3, 6, 9, 12)):
        shift, origin = centres[about]
        found = recalls[about, kept, left] = []
        for truth, pictures in shown:
            near = (words.features @ pictures.mean(0)).argsort(descending=True)[:kept]
            chosen = words.at([int(i) for i in near])
            weights = convex(chosen.features - origin, pictures - shift, left=left)
            top = [chosen.words[int(i)] for i in weights.argsort(descending=True)[:TOP]]
            found.append(mean([float(word in top) for word in truth]))
        print(f"{about}, the nearest {kept} words, {left} a picture: {bootstrap(mean, found)}", flush=True)
    for (about, kept, left), found in recalls.items():
        ours = recalls["words less their mean", kept, left]
        if found is not ours:
            differences = [a - b for a, b in zip(ours, found, strict=True)]
            print(f"words less their mean less {about}, {kept} words, {left}: {bootstrap(mean, differences)}")


if __name__ == "__main__":
    main()
