"""What the shipped stack is used with: guidance, noise level and theta, on captions and pictures that no page reports.

Guidance and noise level by agreement with the caption; theta by flips of dogs to a cat, a castle or a boy, while scene
and medium stay.
"""

from __future__ import annotations

from collections.abc import Iterator

from astrogate.core.protocols import Reader
from astrogate.core.recipe import Recipe
from astrogate.measure.scores import bootstrap, mean
from astrogate.methods.image.encode import encode
from astrogate.methods.image.imagine import imagine
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.image import measures as measures
from astrogate.studies.world.scenes import drawings

_SEED = 9_000


def tuned(stack: UnCLIP, reader: Reader, *, captions: int = 100, dogs: int = 24) -> Iterator[str]:
    """A line for every choice that was tried."""
    scenes, texts = measures.plain_scenes(captions, seed=_SEED)
    words, seeds = [text.text for text in texts], range(_SEED, _SEED + captions)
    for level in (0, 50, 100, 200):
        points = imagine(stack, words, seeds=seeds, noise_level=level)
        for guidance in (1.5, 2.0, 3.0, 4.0, 6.0):
            pictures = to_tensor(render(stack, points, recipe=Recipe(20, guidance), batch_size=16))
            agreement = bootstrap(mean, measures.agreeing(reader.read(pictures), scenes, texts))
            yield f"noise level {level}, guidance {guidance:g}: agreement {agreement}"
    points = encode(stack, drawings(measures.scenes_of("dog", dogs, seed=_SEED), stack.size)[0])
    still = measures.still_read(stack, reader, points)
    for after in ("cat", "castle", "boy"):
        for theta in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5):
            found = measures.text_diffs(stack, reader, points, still, "a dog", f"a {after}", after, theta)
            yield f"dog to {after}, theta {theta:g}: {found.flipped}, scene {found.scene}, medium {found.medium}"
