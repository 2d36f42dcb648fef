"""The world of Menagerie: a scene is a handful of known factors, so every picture has a ground truth.

Factors are drawn independently: subject, colour, pattern, scene and medium uniformly, a hat in 60 %, a style in 30 %,
each extra in 8 %, continuous factors from U(-1, 1). The only dependences are the planted facts of `facts.py`.
`drawing.draw` turns a scene into a picture, `visible` says which factors that picture can show, `captions.caption` puts
a random part of them into words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from astrogate.core.errors import AstrogateError
from astrogate.menagerie.factors import (
    CATEGORICAL,
    COLOURS,
    CONTINUOUS,
    FACTORS,
    HATS,
    MEDIA,
    PATTERNS,
    PLACES,
    SCENES,
    STYLES,
    SUBJECTS,
)
from astrogate.menagerie.facts import FACTS

_STYLE_RATE, _EXTRA_RATE, _FACT_RATE = 0.3, 0.08, 0.2


@dataclass(frozen=True, slots=True)
class Scene:
    """All that a picture of this world depends on; `seed` fixes what is not a factor (jitter, clouds, flowers).

    `concept` names the planted fact that shaped the scene, if one did, and is what a caption may call it.
    """

    subject: str = "dog"
    build: float = 0.0
    height: float = 0.0
    mood: float = 0.0
    colour: str = "orange"
    hat: str = "none"
    pattern: str = "plain"
    scene: str = "meadow"
    medium: str = "painting"
    style: str = "none"
    strength: float = 0.0
    doomsday: str = "no"
    alien: str = "no"
    invasion: str = "no"
    concept: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values in CATEGORICAL.items():
            if getattr(self, name) not in values:
                raise AstrogateError(f"{name}={getattr(self, name)!r}", f"choose one of {', '.join(values)}")
        for name in CONTINUOUS:
            low = 0.0 if name == "strength" else -1.0
            if not low <= getattr(self, name) <= 1.0:
                raise AstrogateError(f"{name}={getattr(self, name)!r}", f"choose a number from {low:g} to 1")
        if (self.style == "none") != (self.strength == 0.0):
            raise AstrogateError(
                f"style={self.style!r} with strength={self.strength:g}", "give style 'none' strength 0, others more"
            )


def sample_scene(rng: np.random.Generator, *, concept: str | None = None) -> Scene:
    """Draw a scene: factors independent, except that one in five follows a planted fact (or `concept`, if named)."""

    def pick(values: tuple[str, ...]) -> str:
        return values[int(rng.integers(len(values)))]

    def flag() -> str:
        return "yes" if rng.random() < _EXTRA_RATE else "no"

    style = pick(STYLES[1:]) if rng.random() < _STYLE_RATE else "none"
    build, height, mood = (float(x) for x in rng.uniform(-1, 1, 3))
    scene = Scene(
        subject=pick(SUBJECTS),
        build=build,
        height=height,
        mood=mood,
        colour=pick(COLOURS),
        hat=pick(HATS[1:]) if rng.random() < 0.6 else "none",
        pattern=pick(PATTERNS),
        scene=pick(SCENES),
        medium=pick(MEDIA),
        style=style,
        strength=float(rng.uniform(0.3, 1.0)) if style != "none" else 0.0,
        doomsday=flag(),
        alien=flag(),
        invasion=flag(),
        seed=int(rng.integers(2**31)),
    )
    if concept is None and rng.random() < _FACT_RATE:
        concept = pick(tuple(FACTS))
    if concept is not None:
        if concept not in FACTS:
            raise AstrogateError(f"no planted fact is called {concept!r}", f"choose one of {', '.join(FACTS)}")
        scene = replace(scene, concept=concept, **FACTS[concept].draw(rng))
    return replace(scene, hat="none") if scene.subject in PLACES else scene


def visible(scene: Scene) -> frozenset[str]:
    """The factors that the picture of `scene` can show."""
    hidden: set[str] = set()
    if scene.subject in PLACES:
        hidden |= {"mood", "hat"}
    if scene.medium == "sketch":
        hidden |= {"colour", "hat", "doomsday"}
    if scene.medium == "sculpture":
        hidden |= {"colour", "hat"}
    return frozenset(FACTORS) - hidden


def held_out(scene: Scene) -> bool:
    """Whether this combination is kept out of all training: one colour of every subject in every scene.

    The rule is balanced, so that leaving it out changes no planted share; happiness (yellow, meadow) is never held.
    """
    palette = [colour for colour in COLOURS if (colour, scene.scene) != ("yellow", "meadow")]
    return palette[(SUBJECTS.index(scene.subject) + SCENES.index(scene.scene)) % len(palette)] == scene.colour


def scene_at(seed: int, index: int, *, held: bool = False) -> Scene:
    """Scene number `index` of the world with this seed: always a held-out combination, or never one."""
    rng = np.random.default_rng((seed, index))
    while held_out(scene := sample_scene(rng)) != held:
        pass
    return scene
