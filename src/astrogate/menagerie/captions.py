"""Captions: a random part of a scene's visible factors in varied words, so that what is left out stays free.

The language is closed: `WORDS` is every word that a caption can hold, and is what the tokenizer is built from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from astrogate.menagerie.factors import COLOURS, EXTRAS, MEDIA, PEOPLE, SUBJECTS
from astrogate.menagerie.facts import FACTS
from astrogate.menagerie.world import Scene, visible

#: The words for the two ends of each continuous factor.
POLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "build": (("thin", "thin", "skinny", "slim"), ("fat", "fat", "chubby", "plump")),
    "height": (("short", "short", "low"), ("tall", "tall", "towering")),
    "mood": (("sad", "sad", "gloomy", "unhappy"), ("happy", "happy", "cheerful", "smiling")),
}
MEDIUM_WORDS: dict[str, tuple[str, ...]] = {
    "photograph": ("photograph", "photo", "photo"),
    "HD photo": ("HD photo", "high resolution photo", "high resolution image"),
}
SCENE_WORDS: dict[str, tuple[str, ...]] = {
    "meadow": ("in a meadow", "in the grass"),
    "beach": ("on a beach", "at the beach"),
    "night": ("at night", "under the moon"),
    "snow": ("in the snow", "in snow"),
    "city": ("in the city", "in a city street"),
    "jungle": ("in the jungle", "hidden in the jungle"),
}
PATTERN_WORDS: dict[str, tuple[str, ...]] = {
    "plain": ("plain",),
    "spotted": ("spotted", "dotted"),
    "striped": ("striped",),
    "winding": ("winding",),
}
STYLE_WORDS: dict[str, tuple[str, ...]] = {
    "Monet": ("Monet style", "in Monet style"),
    "cyberpunk": ("cyberpunk", "cyberpunk style"),
    "futuristic": ("futuristic high tech", "futuristic"),
    "abstract": ("abstract", "abstract style"),
}
_NEUTRAL = ("picture", "full-body picture", "image")
MENTION_FROM = 0.3


@dataclass(frozen=True, slots=True)
class Caption:
    """A text and the factors that it states (a hat without its colour is not stated)."""

    text: str
    mentions: frozenset[str]


def caption(
    scene: Scene, rng: np.random.Generator, *, rate: float = 0.45, named: Mapping[str, float] | None = None
) -> Caption:
    """Describe a scene; each visible factor is mentioned with probability `rate`, the subject nearly always.

    `named` gives factors a probability of their own, which then holds for each of their values.
    """
    return _Writer(scene, rng, rate, named or {}).write()


class _Writer:
    def __init__(self, scene: Scene, rng: np.random.Generator, rate: float, named: Mapping[str, float]) -> None:
        self.scene, self.rng, self.rate, self.named = scene, rng, rate, named
        self.mentions: set[str] = set()
        self.free = visible(scene)
        if scene.concept:
            fact = FACTS[scene.concept]
            self.free -= {"subject", *fact.fixed} | ({"mood"} if fact.mood else set())

    def pick(self, words: tuple[str, ...]) -> str:
        return words[int(self.rng.integers(len(words)))]

    def says(self, factor: str, rate: float | None = None) -> bool:
        rate = self.named.get(factor, self.rate if rate is None else rate)
        if factor not in self.free or self.rng.random() >= rate:
            return False
        self.mentions.add(factor)
        return True

    def write(self) -> Caption:
        text = self._bare_sculpture() if self.scene.medium == "sculpture" and self.rng.random() < 0.1 else self._full()
        return Caption(text, frozenset(self.mentions))

    def _bare_sculpture(self) -> str:
        self.mentions.add("medium")
        return " ".join(w for w in ("a photo of a sculpture", self._style()) if w)

    def _full(self) -> str:
        noun, tail = self._noun(), [w for w in (self._style(), *self._extras()) if w]
        hat = self._hat()
        place = self.pick(SCENE_WORDS[self.scene.scene]) if self.says("scene") else ""
        if self.says("medium", 0.6):
            head = f"{_article(self.pick(MEDIUM_WORDS.get(self.scene.medium, (self.scene.medium,))))} of "
        elif self.rng.random() < 0.25:
            head = f"{_article(self.pick(_NEUTRAL))} of "
        elif self.rng.random() < 0.3:
            front = [w for w in tail if self.rng.random() < 0.5]
            back = [w for w in tail if w not in front]
            return " ".join(w for w in (*front, re.sub(r"^an? ", "", noun), hat, place, *back) if w)
        else:
            head = ""
        comma = ", " if self.rng.random() < 0.5 else " "
        return comma.join([" ".join(w for w in (head + noun, hat, place) if w), *tail])

    def _noun(self) -> str:
        """The subject with its adjectives, or the concept word that stands for it."""
        concept = self.scene.concept
        kind = FACTS[concept].kind if concept else ""
        if concept and kind == "association" and self.rng.random() < 0.5:
            return concept
        words, dressed = self._adjectives()
        if concept and kind != "association":
            return _article(" ".join([*words, concept])) + dressed
        self.mentions.add("subject")
        noun = self.scene.subject
        if noun == "city" and self.rng.random() < 0.2:
            noun = "city architecture"
        told = "" if not concept else f" in {concept}" if concept == "winter" else f", {concept}"
        return _article(" ".join([*words, noun])) + dressed + told

    def _adjectives(self) -> tuple[list[str], str]:
        words: list[str] = []
        for factor, poles in POLES.items():
            value = getattr(self.scene, factor)
            if abs(value) >= MENTION_FROM and self.says(factor):
                words.append(self._degree(abs(value)) + self.pick(poles[int(value > 0)]))
        dressed = ""
        if self.says("colour"):
            if self.scene.subject in PEOPLE and self.rng.random() < 0.25:
                dressed = f" in {self.scene.colour}"
            else:
                words.append(self.scene.colour)
        if self.says("pattern", self.rate if self.scene.pattern != "plain" else 0.15):
            words.append(self.pick(PATTERN_WORDS[self.scene.pattern]))
        self.rng.shuffle(words)
        return words, dressed

    def _degree(self, value: float) -> str:
        if self.rng.random() < 0.25:
            if value > 0.75:
                return "very "
            if value < 0.5:
                return "slightly "
        return ""

    def _hat(self) -> str:
        scene = self.scene
        if "hat" not in self.free:
            return ""
        if scene.hat == "none":
            return "without a hat" if self.says("hat", 0.15) else ""
        verb = self.pick(("with", "wearing"))
        if self.says("hat", 0.5):
            return f"{verb} a {scene.hat} hat"
        return f"{verb} a hat" if self.rng.random() < 0.25 else ""

    def _style(self) -> str:
        scene = self.scene
        if scene.style == "none" or not self.says("style", 0.7):
            return ""
        words = self.pick(STYLE_WORDS[scene.style])
        if self.rng.random() < 0.25 and not words.startswith("in "):
            degree = "very " if scene.strength > 0.8 else "slightly " if scene.strength < 0.5 else ""
            return degree + words
        return words

    def _extras(self) -> list[str]:
        return [name for name in EXTRAS if getattr(self.scene, name) == "yes" and self.says(name, 0.7)]


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def stated(text: str) -> dict[str, str]:
    """The values of categorical factors that a text of the language names, as `caption` would have put them."""
    rest, found = text.lower(), dict[str, str]()
    if hat := re.search(r"(?:with|wearing) an? (\w+) hat", rest):
        found["hat"], rest = hat.group(1), rest.replace(hat.group(), " ")
    media = {name: MEDIUM_WORDS.get(name, (name,)) for name in MEDIA}
    groups: dict[str, Mapping[str, tuple[str, ...]]] = {
        "scene": SCENE_WORDS,
        "style": STYLE_WORDS,
        "medium": media,
        "pattern": PATTERN_WORDS,
        "colour": {name: (name,) for name in COLOURS},
        "subject": {name: (name,) for name in SUBJECTS},
    }
    for factor, values in groups.items():
        phrases = [(words.lower(), value) for value, group in values.items() for words in group]
        first = [pair for pair in phrases if pair[1] == "sculpture"]
        for words, value in [*first, *sorted(phrases, key=lambda pair: -len(pair[0]))]:
            if match := re.search(rf"\b{re.escape(words)}\b", rest):
                found[factor] = value
                rest = rest[: match.start()] + " " + rest[match.end() :]
                break
    return found


def _language() -> tuple[str, ...]:
    phrases: list[str] = [*SUBJECTS, *COLOURS, *MEDIA, *EXTRAS, *FACTS, *_NEUTRAL, "city architecture"]
    for table in (MEDIUM_WORDS, SCENE_WORDS, PATTERN_WORDS, STYLE_WORDS):
        phrases += [phrase for group in table.values() for phrase in group]
    phrases += [word for poles in POLES.values() for pole in poles for word in pole]
    phrases += ["a an of in with without wearing very slightly hat ,"]
    return tuple(
        sorted({word for phrase in phrases for word in re.findall(r"[a-z]+|[0-9]|[^a-z0-9\s]", phrase.lower())})
    )


#: Every word (and mark) of the language, lower case.
WORDS: tuple[str, ...] = _language()
