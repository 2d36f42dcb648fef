"""Contrast: a concept's direction as the mean difference between two words over a complete grid of prompts.

    d = mean over media m, subjects s of  e("a m of a WORD s") - e("a m of a OPPOSITE s")

e is the text encoder's end-of-text state, in the space of the states that the denoiser attends to. Seed 000 estimates
this mean from random draws, one prompt at a time; the complete grid is exact, and cheaper in batches.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from astrogate.core.direction import Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.ops.contrast import mean_difference

#: Seed 000's own lists.
MEDIA = (
    "painting", "drawing", "photograph", "HD photo", "illustration", "portrait", "sketch", "3d render",
    "digital painting", "concept art", "screenshot", "canvas painting",
)  # fmt: skip
SUBJECTS = ("dog", "cat", "horse", "ant", "ladybug", "person", "man", "woman", "child", "baby", "boy", "girl")
TEMPLATE = "a {medium} of a {word} {subject}"


def contrast(
    model: Model,
    toward: str,
    away: str,
    *,
    media: Sequence[str] = MEDIA,
    subjects: Sequence[str] = SUBJECTS,
    template: str = TEMPLATE,
) -> Direction:
    """The direction from `away` to `toward`; added once, it moves a text's end state as changing the word does.

    `template` names {medium}, {word} and {subject}. Raises AstrogateError for empty or equal words.
    """
    if not toward.strip() or not away.strip():
        raise AstrogateError(f"a pole is empty ({toward!r}, {away!r})", 'name two words, e.g. "fat" and "thin"')
    if toward.strip().lower() == away.strip().lower():
        raise AstrogateError(f"both poles are {toward!r}", "name two different words")
    poles = [
        [template.format(medium=m, word=word, subject=s) for m in media for s in subjects] for word in (toward, away)
    ]
    positive, negative = (end_states(model, prompts) for prompts in poles)
    origin = {"method": "contrast", "toward": toward, "away": away, "template": template}
    origin |= {"media": list(media), "subjects": list(subjects)}
    return Direction({"end": mean_difference(positive, negative)}, model.fingerprint, f"{toward} - {away}", origin)


def end_states(model: Model, prompts: Sequence[str]) -> Tensor:
    """The end-of-text state of each prompt, [n, width], without the padding that it does not depend on."""
    encoded = model.encode(prompts, padding="longest")
    states = encoded["prompt_embeds"]
    return states[range(len(states)), encoded["end"]]
