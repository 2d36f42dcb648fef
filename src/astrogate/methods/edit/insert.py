"""Insert: a word before a word of the prompt by degrees, on the tokens that the denoiser listens to.

    d = e(prompt with the word) - e(prompt), by role: the words w that follow it, the end and the padding
    r = |x(d on w alone) - x| / |x(d on the rest alone) - x|

e are text states, x the latents that a point becomes. Where r is at least `LISTENS` the denoiser takes what the word
says from w itself (on Menagerie: colours and stripes), and moving the rest too would only add what leaks; elsewhere
(build, height, mood) from the end of the text, and d moves whole. Words move in both halves of guidance, which would
else exaggerate them. d is a contrast (`methods.edit.contrast`) whose grid is the prompt at hand, so that it holds
nothing of other prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from astrogate.core.direction import ROLES, Direction
from astrogate.core.edit import Edit
from astrogate.core.errors import AstrogateError
from astrogate.core.parts import Hold, Parts, Steer, Window, late
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.segment import places, words_of
from astrogate.methods.edit.contrast import contrast
from astrogate.models.text.prompts import check_prompt, check_tokens

#: On Menagerie's tuning half r is up to 0.1 for build, height and mood, and 0.75 or more for colours and stripes.
LISTENS = 0.3
#: Layout is settled by then, and the edit changes what is there.
WINDOW = late(20)
#: How an edit is held, by what moves: words recolour what is there, the whole edit moves shapes, which a full hold
#: would pin and attention to the unedited picture does not.
HOLDS = {"words": Hold(1.0, 1.0), "all": Hold(0.5, 0.2)}
#: What a strip shows: from all of the opposite word, or nothing, to half as much again.
MOST = 1.5


def insert(
    model: Model,
    point: Point,
    word: str,
    *,
    before: str,
    against: str | None = None,
    window: Window | None = None,
    recipe: Recipe | None = None,
) -> Edit:
    """The edit that puts `word` before the word or phrase `before` of a point's prompt; at scale 1 all of it.

    Below 0 it puts the word `against` there; without one it goes backwards. `window` None leaves the first fifth of the
    steps alone, if there are three or more. Three pictures per word are drawn, by `recipe`, to see which tokens count;
    "responses" in its origin holds how far each edit moved the latents, "moved" what was chosen ("words" or "all").

    Raises AstrogateError for an empty word, for equal ones, and where the prompt does not contain `before` exactly
    once, before anything is drawn.
    """
    words = [word] if against is None else [word, against]
    if len({" ".join(words_of(one)) for one in words}) < len(words):
        raise AstrogateError(f"{word!r} is put in at both ends", "name two different words")
    if window is None:
        window = late((recipe or model.recipe).num_inference_steps)
    pairs = [parts(in_prompt(model, point, one, before), point, before, window=window) for one in words]
    (above, found), *others = [
        _listened(model, point, one, before, pair, recipe) for one, pair in zip(words, pairs, strict=True)
    ]
    below, back = others[0] if others else (None, None)
    return Edit(
        above,
        below,
        model=point.model,
        segments=point.segments,
        range=(0.0 if against is None else -MOST, MOST),
        name=word,
        origin={**found, "below": back},
    )


def _listened(
    model: Model, point: Point, word: str, before: str, pair: tuple[Steer, Steer], recipe: Recipe | None
) -> tuple[Parts, Mapping[str, Any]]:
    """What one word, with its `parts`, moves, where the denoiser listens, and what was found."""
    words, rest = pair
    responses = respond(model, point, words, rest, recipe=recipe)
    moved = "words" if responses[0] >= LISTENS * responses[1] else "all"
    origin = {"method": "insert", "word": word, "before": before, "responses": list(responses), "moved": moved}
    return chosen(words, rest, moved), origin


def in_prompt(model: Model, point: Point, word: str, before: str) -> Direction:
    """What putting `word` before `before` changes in a point's own prompt, by role. Raises as `insert`."""
    check_prompt(before)
    found = places(before, prompt := point.prompt)
    if len(found) != 1:
        raise AstrogateError(
            f"the prompt {prompt!r} holds {before!r} {len(found)} times", "name words that it holds once"
        )
    start, stop = found[0]
    check_tokens(model, f"{prompt[:start]}{word} {prompt[start:]}")
    head, tail = (text.replace("{", "{{").replace("}", "}}") for text in (prompt[:start], prompt[stop:]))
    template = f"{head}{{word}} {{subject}}{tail}"
    roles = ROLES if "pooled_prompt_embeds" in model.spaces else ROLES[:3]
    return contrast(model, word, media=("",), subjects=(prompt[start:stop],), template=template, roles=roles)


def parts(direction: Direction, point: Point, on: str, *, window: Window = WINDOW) -> tuple[Steer, Steer]:
    """A direction on the words `on` alone, and on all behind the prompt's words."""
    rest = [role for role in ROLES[1:] if role != "pooled" or role in direction.vectors]
    words, others = direction.at(point, on=on, window=window), direction.at(point, roles=rest, window=window)
    return _steer(words, window), _steer(others, window)


def _steer(edit: Edit, window: Window) -> Steer:
    """The one steer of a direction's edit, which moves nothing where the direction has no vector."""
    return edit.above.steers[0] if edit.above.steers else Steer({}, window=window)


def chosen(words: Steer, rest: Steer, moved: str) -> Parts:
    """The parts of an edit that moves the words alone ("words"), or the whole text ("all"), with their hold."""
    if moved == "words":
        return Parts((replace(words, half="both"),), hold=HOLDS[moved])
    vectors = dict(words.vectors)
    for space, move in rest.vectors.items():
        vectors[space] = vectors[space] + move if space in vectors else move
    return Parts((replace(words, vectors=vectors),), hold=HOLDS[moved])


def respond(
    model: Model, point: Point, words: Steer, rest: Steer, *, recipe: Recipe | None = None
) -> tuple[float, float]:
    """How far the latents move by the words alone and by the rest alone."""
    edits = [Edit(Parts((steer,)), model=point.model, segments=point.segments) for steer in (words, rest)]
    drawn = model.denoise([point, *(point.apply(edit) for edit in edits)], recipe or model.recipe).float()
    near, far = (float((latents - drawn[0]).square().mean().sqrt()) for latents in drawn[1:])
    return near, far
