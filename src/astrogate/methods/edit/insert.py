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

import re
from dataclasses import replace

from astrogate.core.direction import ROLES, Direction, place
from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point, Steer
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.methods.edit.contrast import contrast
from astrogate.models.text.prompts import check_prompt

#: On Menagerie's tuning half r is up to 0.1 for build, height and mood, and 0.75 or more for colours and stripes.
LISTENS = 0.3
#: Layout is settled by then, and the edit changes what is there.
WINDOW = (0.2, 1.0)
#: How an edit is held (`Point.held`: share, attend), by what moves: words recolour what is there, the whole edit moves
#: shapes, which a full hold would pin and attention to the unedited picture does not.
HOLDS = {"words": (1.0, 1.0), "all": (0.5, 0.2)}


def insert(
    model: Model,
    point: Point,
    word: str,
    *,
    on: str,
    window: tuple[float, float] = WINDOW,
    recipe: Recipe | None = None,
) -> Steer:
    """The steer that puts `word` before the word or phrase `on` of a point's prompt; at scale 1 all of it.

    `inserted` applies it. Three pictures are drawn, by `recipe`, to see which tokens count; "responses" in its origin
    holds how far each edit moved the latents, "moved" what was chosen ("words" or "all").

    Raises AstrogateError for an empty word, and where the prompt does not hold `on` exactly once.
    """
    words, rest = parts(in_prompt(model, point, word, on), point, on, window=window)
    return replace(focus(model, point, words, rest, recipe=recipe), name=word)


def inserted(point: Point, steer: Steer, scale: float = 1.0, *, hold: tuple[float, float] | None = None) -> Point:
    """A point with a steer from `insert` at a scale, the rest held as `HOLDS` says, or by `hold`: share and attend."""
    return point.with_steers(steer.scaled(scale)).held(*(hold or HOLDS[steer.origin["moved"]])) if scale else point


def in_prompt(model: Model, point: Point, word: str, on: str) -> Direction:
    """What putting `word` before `on` changes in a point's own prompt, by role. Raises as `insert`."""
    check_prompt(on)
    prompt = str(point.origin.get("prompt", ""))
    found = list(re.finditer(rf"(?<!\w){re.escape(on)}(?!\w)", prompt, re.IGNORECASE))
    if len(found) != 1:
        raise AstrogateError(f"the prompt {prompt!r} holds {on!r} {len(found)} times", "name words that it holds once")
    start, stop = found[0].span()
    before, after = (text.replace("{", "{{").replace("}", "}}") for text in (prompt[:start], prompt[stop:]))
    template = f"{before}{{word}} {{subject}}{after}"
    roles = ROLES if "pooled_prompt_embeds" in model.spaces else ROLES[:3]
    return contrast(model, word, media=("",), subjects=(prompt[start:stop],), template=template, roles=roles)


def parts(direction: Direction, point: Point, on: str, *, window: tuple[float, float] = WINDOW) -> tuple[Steer, Steer]:
    """A direction on the words `on` alone, and on all behind the prompt's words."""
    rest = [role for role in ROLES[1:] if role != "pooled" or role in direction.vectors]
    return place(direction, point, on=on, window=window), place(direction, point, roles=rest, window=window)


def together(words: Steer, rest: Steer) -> Steer:
    """Two steers of one window and scale as one."""
    vectors = dict(words.vectors)
    for space, moved in rest.vectors.items():
        vectors[space] = vectors[space] + moved if space in vectors else moved
    return replace(words, vectors=vectors)


def focus(model: Model, point: Point, words: Steer, rest: Steer, *, recipe: Recipe | None = None) -> Steer:
    """`words` alone if the denoiser listens there (r >= `LISTENS`), else both together."""
    drawn = model.denoise([point, point.with_steers(words), point.with_steers(rest)], recipe or Recipe()).float()
    moved = [float((latents - drawn[0]).square().mean().sqrt()) for latents in drawn[1:]]
    listens = moved[0] >= LISTENS * moved[1]
    origin = {**words.origin, "method": "insert", "responses": moved, "moved": "words" if listens else "all"}
    return replace(words, half="both", origin=origin) if listens else replace(together(words, rest), origin=origin)
