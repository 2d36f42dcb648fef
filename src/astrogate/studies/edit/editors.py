"""Ways to change one attribute by degrees: ours, the seeds', and those of other tools, each by its published formula.

An editor is made for a model and an attribute, and turns a point, a strength and a window of steps into an edited
point; strength 0 is the point itself. With e the prompt's text states and d a direction:

    seed 000            e + s d, d the mean difference of end states, on every token after the first
    CLIPSlider          e_i + s cos(e_i, e_end) d on every token, d over 300 random prompts (its final-layer states
                        repaired to those that the denoiser sees, its end token found by id, its draws seeded)
    attribute control   e_i + s d on the subject's tokens, d their mean difference over the product of prompts
                        ("naive delta"; Baumann et al. 2024), after the first fifth of the steps
    prompt edit         e + s (e' - e), e' the prompt with the word put in
    prompt weighting    compel's: the word's tokens at e0 + s (e' - e0), e0 the empty prompt; below 1 a blend with the
                        prompt without it, by weights 1 and tan((1 - s) pi / 2)
    seed 001            slerp(e, e + v, s), v the word alone
    masked guidance     SEGA's term towards the word (Brack et al. 2023)
    ours                e + s d, d the word put into this prompt (`methods.edit.insert`), held to the unedited picture
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from astrogate.core.direction import ROLES, place
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Steer
from astrogate.core.protocols import Model
from astrogate.measure.leakage import Target
from astrogate.methods.edit.contrast import MEDIA, SUBJECTS, TEMPLATE, Nuisance, contrast, states_by_role
from astrogate.methods.edit.guidance import toward
from astrogate.methods.edit.insert import focus, in_prompt, inserted, parts, together
from astrogate.methods.edit.phrase import phrase

Window = tuple[float, float]
Edit = Callable[[Point, float, Window], Point]

WHOLE: Window = (0.0, 1.0)
#: What every method gets when starts are matched.
LATE: Window = (0.2, 1.0)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A word, its opposite, and what the word asks for."""

    word: str
    opposite: str
    target: Target


@dataclass(frozen=True, slots=True)
class Editor:
    """How to make an edit for an attribute, the strengths to sweep, and the window that its source publishes."""

    make: Callable[[Model, Attribute], Edit]
    strengths: tuple[float, ...]
    window: Window = WHOLE


@dataclass(frozen=True, slots=True)
class Options:
    """What there is to tune about ours: what a direction is fitted over, which tokens it moves, how it is held.

    `hold` is share and attend (`Point.held`); None is by the tokens that move (`insert.HOLDS`).
    """

    fit: Literal["grid", "prompt"] = "prompt"
    tokens: Literal["all", "words", "focus"] = "focus"
    nuisance: Nuisance | None = None
    hold: tuple[float, float] | None = None


def subject_of(point: Point) -> str:
    """The last word of a point's prompt, which the templates here end with."""
    return str(point.origin["prompt"]).split()[-1]


def ours(options: Options) -> Callable[[Model, Attribute], Edit]:
    """The word put into the prompt with these options; a prompt's first point shows where the denoiser listens."""

    def make(model: Model, attribute: Attribute) -> Edit:
        placed: dict[str, Steer] = {}

        def edit(point: Point, strength: float, window: Window) -> Point:
            prompt = str(point.origin["prompt"])
            steer = placed[prompt] = placed.get(prompt) or put(model, attribute, point, options)
            return inserted(point, replace(steer, window=window), strength, hold=options.hold)

        return edit

    return make


def put(model: Model, attribute: Attribute, point: Point, options: Options) -> Steer:
    """An attribute's edit of a point at scale 1, by these options."""
    subject, word = subject_of(point), attribute.word
    if options.fit == "grid":
        direction = contrast(model, word, attribute.opposite, roles=ROLES[:3], nuisance=options.nuisance)
    else:
        direction = in_prompt(model, point, word, subject)
    words, rest = parts(direction, point, subject)
    if options.tokens == "focus":
        return focus(model, point, words, rest)
    steer = replace(words, half="both") if options.tokens == "words" else together(words, rest)
    return replace(steer, origin={**steer.origin, "moved": options.tokens})


def seed_000(model: Model, attribute: Attribute) -> Edit:
    direction = contrast(model, attribute.word, attribute.opposite)
    return lambda point, s, window: point.with_steers(place(direction, point, scale=s, window=window))


def clip_slider(model: Model, attribute: Attribute) -> Edit:
    d = random_mean(model, attribute.word, attribute.opposite, 300)

    def edit(point: Point, strength: float, window: Window) -> Point:
        states = point.tensors["prompt_embeds"]
        weights = F.cosine_similarity(states, states[point.segments[0].end][None], dim=-1)
        return point.with_steers(Steer({"prompt_embeds": weights[:, None] * d}, strength, window, name="CLIPSlider"))

    return edit


def random_mean(model: Model, toward: str, away: str, draws: int) -> Tensor:
    """The mean difference of end states [width] over random media and subjects, as seed 000 and CLIPSlider draw it."""
    rng = random.Random(0)
    pairs = [(rng.choice(MEDIA), rng.choice(SUBJECTS)) for _ in range(draws)]
    subjects = [s for _, s in pairs]
    ends = [
        states_by_role(model, [TEMPLATE.format(medium=m, word=word, subject=s) for m, s in pairs], subjects, ("end",))[
            "end"
        ]
        for word in (toward, away)
    ]
    return (ends[0] - ends[1]).mean(0)


def attribute_control(model: Model, attribute: Attribute) -> Edit:
    direction = contrast(model, attribute.word, attribute.opposite, roles=("subject",))
    return lambda point, s, window: point.with_steers(
        place(direction, point, scale=s, on=subject_of(point), window=window)
    )


def _with_word(point: Point, word: str) -> str:
    prompt, subject = str(point.origin["prompt"]), subject_of(point)
    return f"{prompt.removesuffix(subject)}{word} {subject}"


def prompt_edit(model: Model, attribute: Attribute) -> Edit:
    def edit(point: Point, strength: float, window: Window) -> Point:
        edited = _states(model, _with_word(point, attribute.word))
        moves = {space: edited[space] - point.tensors[space] for space in edited}
        return point.with_steers(Steer(moves, strength, window, name="prompt edit"))

    return edit


def prompt_weighting(model: Model, attribute: Attribute) -> Edit:
    def edit(point: Point, strength: float, window: Window) -> Point:
        prompt = _with_word(point, attribute.word)
        empty, edited = (_states(model, text)["prompt_embeds"] for text in ("", prompt))
        states = point.tensors["prompt_embeds"]
        if strength >= 1:
            target = edited.clone()
            for segment in model.segments(prompt):
                span = segment.find(attribute.word)
                if span is None:
                    raise AstrogateError(f"{attribute.word!r} was cut off", "shorten the prompt")
                low, high = span
                target[low:high] = empty[low:high] + strength * (edited[low:high] - empty[low:high])
        else:
            without = math.tan((1 - max(strength, 1e-6)) * math.pi / 2)
            target = (edited + without * states) / (1 + without)
        return point.with_steers(Steer({"prompt_embeds": target - states}, 1.0, window, name="prompt weighting"))

    return edit


def _states(model: Model, text: str) -> Mapping[str, Tensor]:
    """The text states [tokens, width] and, where there is one, the pooled text of one prompt."""
    encoded = model.encode([text])
    return {space: states[0] for space, states in encoded.items() if space in model.spaces}


def seed_001(model: Model, attribute: Attribute) -> Edit:
    return lambda point, s, window: point.with_steers(phrase(model, point, attribute.word, s, window=window))


def masked_guidance(model: Model, attribute: Attribute) -> Edit:
    return lambda point, s, window: point.with_guides(toward(model, attribute.word, s, window=window))


#: Every method but ours, whose options are tuned (`studies.edit.leakage`).
OTHERS: dict[str, Editor] = {
    "seed 000": Editor(seed_000, (0.25, 0.5, 1, 1.5, 2, 3, 4, 6)),
    "CLIPSlider": Editor(clip_slider, (0.25, 0.5, 1, 1.5, 2, 3, 4, 6)),
    "attribute control": Editor(attribute_control, (0.5, 1, 1.5, 2, 3, 4, 6, 9), LATE),
    "prompt edit": Editor(prompt_edit, (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3)),
    "prompt weighting": Editor(prompt_weighting, (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3)),
    "seed 001": Editor(seed_001, (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1)),
    "masked guidance": Editor(masked_guidance, (1, 2, 3, 4, 6, 8, 12, 16), LATE),
}
