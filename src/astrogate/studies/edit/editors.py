"""Ways to change one attribute by degrees: ours and those of others, each by its published formula.

An editor is made for a model and an attribute, and finds the Edit of a point for a window of steps; its scale is the
strength. With e the prompt's text states and d a direction:

    mean difference     e + s d, d that of end states, on every token after the first ("Exploring CLIP latent space")
    CLIPSlider          e_i + s cos(e_i, e_end) d on every token, d over 300 random prompts (its final-layer states
                        repaired to those that the denoiser sees, its end token found by id, its draws seeded)
    attribute control   e_i + s d on the subject's tokens, d their mean difference over the product of prompts
                        ("naive delta"; Baumann et al. 2024), after the first fifth of the steps
    prompt edit         e + s (e' - e), e' the prompt with the word put in
    prompt weighting    compel's (2.5): the word's tokens at e0 + s (e' - e0), e0 the empty prompt; below 1 a blend with
                        the same of states that don't attend to the word, by weights 1 and tan((1 - s) pi / 2)
    slerp               slerp(e, e + v, s), v the word alone (Qi 2023)
    SEGA                eps + s M (eps(word) - eps(negative)), with its mask by channel and its momentum (Brack et al.
                        2023)
    ours                e + s d, d the word put into this prompt (`methods.edit.insert`), held to the unedited picture
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from astrogate.core.direction import ROLES
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Hold, Parts, Steer, Window
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.measure.leakage import Target
from astrogate.methods.edit.contrast import MEDIA, SUBJECTS, TEMPLATE, Nuisance, contrast, states_by_role
from astrogate.methods.edit.guidance import MOMENTUM, toward
from astrogate.methods.edit.insert import LISTENS, chosen, in_prompt, parts, respond
from astrogate.methods.edit.style import style

#: Finds the edit of a point, for a window of the steps.
Find = Callable[[Point, Window], Edit]

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
    """How to find edits for an attribute, the strengths to sweep, and the window that its source publishes."""

    make: Callable[[Model, Attribute], Find]
    strengths: tuple[float, ...]
    window: Window = WHOLE


@dataclass(frozen=True, slots=True)
class Options:
    """What there is to tune about ours: what a direction is fitted over, which tokens it moves, how it is held.

    `hold` None is by the tokens that move (`insert.HOLDS`).
    """

    fit: Literal["grid", "prompt"] = "prompt"
    tokens: Literal["all", "words", "focus"] = "focus"
    nuisance: Nuisance | None = None
    hold: Hold | None = None


def subject_of(point: Point) -> str:
    """The last word of a point's prompt, which the templates here end with."""
    return str(point.origin["prompt"]).split()[-1]


def ours(options: Options) -> Callable[[Model, Attribute], Find]:
    """The word put into the prompt with these options; a prompt's first point shows where the denoiser listens."""

    def make(model: Model, attribute: Attribute) -> Find:
        found: dict[tuple[str, Window], Edit] = {}

        def find(point: Point, window: Window) -> Edit:
            key = (str(point.origin["prompt"]), window)
            found[key] = found.get(key) or put(model, attribute, point, options, window)
            return found[key]

        return find

    return make


def put(model: Model, attribute: Attribute, point: Point, options: Options, window: Window) -> Edit:
    """An attribute's edit of a point, by these options."""
    subject, word = subject_of(point), attribute.word
    if options.fit == "grid":
        direction = contrast(model, word, attribute.opposite, roles=ROLES[:3], nuisance=options.nuisance)
    else:
        direction = in_prompt(model, point, word, subject)
    words, rest = parts(direction, point, subject, window=LATE)
    moved = options.tokens
    if moved == "focus":
        near, far = respond(model, point, words, rest)
        moved = "words" if near >= LISTENS * far else "all"
    edit = edit_of(point, word, chosen(replace(words, window=window), rest, moved))
    return edit if options.hold is None else edit.held(options.hold.share, options.hold.attend)


def edit_of(point: Point, name: str, parts: Parts) -> Edit:
    """The edit of a point that these parts make."""
    return Edit(parts, model=point.model, segments=point.segments, name=name)


def mean_difference(model: Model, attribute: Attribute) -> Find:
    direction = contrast(model, attribute.word, attribute.opposite)
    return lambda point, window: direction.at(point, window=window)


def clip_slider(model: Model, attribute: Attribute) -> Find:
    d = random_mean(model, attribute.word, attribute.opposite, 300)

    def find(point: Point, window: Window) -> Edit:
        states = point.tensors["prompt_embeds"]
        weights = F.cosine_similarity(states, states[point.segments[0].end][None], dim=-1)
        return edit_of(point, "CLIPSlider", Parts((Steer({"prompt_embeds": weights[:, None] * d}, window=window),)))

    return find


def random_mean(model: Model, toward: str, away: str, draws: int) -> Tensor:
    """The mean difference of end states [width] over random media and subjects, as the post and CLIPSlider draw it."""
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


def attribute_control(model: Model, attribute: Attribute) -> Find:
    direction = contrast(model, attribute.word, attribute.opposite, roles=("subject",))
    return lambda point, window: direction.at(point, on=subject_of(point), window=window)


def _with_word(point: Point, word: str) -> str:
    prompt, subject = str(point.origin["prompt"]), subject_of(point)
    return f"{prompt.removesuffix(subject)}{word} {subject}"


def prompt_edit(model: Model, attribute: Attribute) -> Find:
    def find(point: Point, window: Window) -> Edit:
        edited = _states(model, _with_word(point, attribute.word))
        moves = {space: edited[space] - point.tensors[space] for space in edited}
        return edit_of(point, "prompt edit", Parts((Steer(moves, window=window),)))

    return find


def prompt_weighting(model: Model, attribute: Attribute) -> Find:
    def find(point: Point, window: Window) -> Edit:
        states, knots = point.tensors["prompt_embeds"], (0.0, *_WEIGHTS)
        moves = torch.stack([_weighted(model, point, attribute.word, weight) - states for weight in knots])
        steer = Steer({"prompt_embeds": moves}, window=window, rule="knots", knots=knots)
        return edit_of(point, "prompt weighting", Parts((steer,)))

    return find


def _weighted(model: Model, point: Point, word: str, weight: float) -> Tensor:
    """The states [tokens, width] of a point's prompt with a word put in at a weight; at 0 its own."""
    prompt = _with_word(point, word)
    if weight == 0:
        return point.tensors["prompt_embeds"]
    spans = _spans(model, prompt, word)
    empty, edited = (_states(model, text)["prompt_embeds"] for text in ("", prompt))

    def scaled(states: Tensor) -> Tensor:
        out = states.clone()
        for low, high in spans:
            out[low:high] = empty[low:high] + weight * (states[low:high] - empty[low:high])
        return out

    if weight >= 1:
        return scaled(edited)
    with _unattended(model, spans, [segment.start for segment in model.segments(prompt)]):
        without = _states(model, prompt)["prompt_embeds"]
    share = math.tan((1 - weight) * math.pi / 2)
    return (scaled(edited) + share * scaled(without)) / (1 + share)


def _spans(model: Model, prompt: str, word: str) -> list[tuple[int, int]]:
    """A word's tokens in each segment of a prompt."""
    found = [segment.find(word) for segment in model.segments(prompt)]
    spans = [span for span in found if span is not None]
    if len(spans) < len(found):
        raise AstrogateError(f"{word!r} was cut off", "shorten the prompt")
    return spans


@contextmanager
def _unattended(model: Model, spans: Sequence[tuple[int, int]], starts: Sequence[int]) -> Generator[None]:
    """While open, text encoders attend to no token in spans, one a segment that starts at `starts`."""

    def hiding(low: int, high: int) -> Callable[..., Any]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            mask = torch.ones_like(args[0] if args else kwargs["input_ids"])
            mask[:, low:high] = 0
            return args[:1], {**kwargs, "attention_mask": mask}

        return hook

    with ExitStack() as stack:
        for i, name in enumerate(("text_encoder", "text_encoder_2", "text_encoder_3")):
            with suppress(AstrogateError):
                encoder, part = model.module(name), min(i, len(spans) - 1)
                low, high = (place - starts[part] for place in spans[part])
                stack.callback(encoder.register_forward_pre_hook(hiding(low, high), with_kwargs=True).remove)
        yield


def _states(model: Model, text: str) -> Mapping[str, Tensor]:
    """The text states [tokens, width] and, where there is one, the pooled text of one prompt."""
    encoded = model.encode([text])
    return {space: states[0] for space, states in encoded.items() if space in model.spaces}


def slerp(model: Model, attribute: Attribute) -> Find:
    return lambda point, window: style(model, point, attribute.word, window=window)


def sega(model: Model, attribute: Attribute) -> Find:
    return lambda point, window: toward(model, attribute.word, window=window, mask="channels", momentum=MOMENTUM)


#: The weights at which a prompt's states are those of the weighted word itself.
_WEIGHTS = (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3)
#: Every method but ours, whose options are tuned (`studies.edit.leakage`).
OTHERS: dict[str, Editor] = {
    "mean difference": Editor(mean_difference, (0.25, 0.5, 1, 1.5, 2, 3, 4, 6)),
    "CLIPSlider": Editor(clip_slider, (0.25, 0.5, 1, 1.5, 2, 3, 4, 6)),
    "attribute control": Editor(attribute_control, (0.5, 1, 1.5, 2, 3, 4, 6, 9), LATE),
    "prompt edit": Editor(prompt_edit, (0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3)),
    "prompt weighting": Editor(prompt_weighting, _WEIGHTS),
    "slerp": Editor(slerp, (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1)),
    "SEGA": Editor(sega, (1, 2, 3, 4, 6, 8, 12, 16), LATE),
}
