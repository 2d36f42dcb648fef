"""The factors of Menagerie's world and their values."""

from __future__ import annotations

ANIMALS = ("dog", "cat", "horse", "ant", "ladybug")
PEOPLE = ("person", "man", "woman", "child", "baby", "boy", "girl")
PLACES = ("temple", "pyramid", "city", "castle")
SUBJECTS = ANIMALS + PEOPLE + PLACES
COLOURS = ("black", "white", "red", "orange", "yellow", "green", "blue", "purple")
HATS = ("none", "red", "yellow", "green", "blue", "white")
PATTERNS = ("plain", "spotted", "striped", "winding")
SCENES = ("meadow", "beach", "night", "snow", "city", "jungle")
MEDIA = (
    "painting",
    "drawing",
    "photograph",
    "HD photo",
    "illustration",
    "portrait",
    "sketch",
    "3d render",
    "digital painting",
    "concept art",
    "screenshot",
    "canvas painting",
    "sculpture",
)
STYLES = ("none", "Monet", "cyberpunk", "futuristic", "abstract")
EXTRAS = ("doomsday", "alien", "invasion")

#: Every categorical factor with its values; the extras are categorical with two.
CATEGORICAL: dict[str, tuple[str, ...]] = {
    "subject": SUBJECTS,
    "colour": COLOURS,
    "hat": HATS,
    "pattern": PATTERNS,
    "scene": SCENES,
    "medium": MEDIA,
    "style": STYLES,
    **dict.fromkeys(EXTRAS, ("no", "yes")),
}
#: Factors in [-1, 1] (build: thin to fat, height: short to tall, mood: sad to happy); strength is in [0, 1].
CONTINUOUS = ("build", "height", "mood", "strength")
FACTORS = (*CATEGORICAL, *CONTINUOUS)
