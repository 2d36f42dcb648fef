"""Contrast: a concept's direction as the mean difference between two words over a complete grid of prompts.

    d = mean over media m, subjects s of  e("a m of a WORD s") - e("a m of a OPPOSITE s")

e is a state of the text encoder in the space that the denoiser attends to, by role: the subject's tokens, the
end-of-text token, the padding behind it, and the pooled text. The post "Exploring CLIP latent space" takes only the
end and estimates the mean from random draws, one prompt at a time. The complete grid is exact, cheaper in batches, and
shows how sure the direction is and which other effects move with it (see `ops.contrast`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from tqdm import trange

from astrogate.core.direction import ROLES, Direction
from astrogate.core.errors import AstrogateError
from astrogate.core.progress import unseen
from astrogate.core.protocols import Model
from astrogate.core.segment import words_of
from astrogate.core.state import usual
from astrogate.core.texts import check_said, check_text
from astrogate.measure.scores import auc
from astrogate.models.text.prompts import check_tokens
from astrogate.ops.contrast import landings, main_effects, mean_difference, project_out, standard_error, whiten

Nuisance = Literal["project", "whiten"]

#: The post's lists.
MEDIA = (
    "painting", "drawing", "photograph", "HD photo", "illustration", "portrait", "sketch", "3d render",
    "digital painting", "concept art", "screenshot", "canvas painting",
)  # fmt: skip
SUBJECTS = ("dog", "cat", "horse", "ant", "ladybug", "person", "man", "woman", "child", "baby", "boy", "girl")
TEMPLATE = "a {medium} of a {word} {subject}"

#: Tokens that are encoded at once: 144 prompts of Stable Diffusion, 23 of a T5 that reads 512.
_TOKENS = 12_000
_LONGEST = 1_000  # characters of a template
_MOST = 10_000  # prompts of a pole


@usual()
def contrast(
    model: Model,
    toward: str,
    away: str | None = None,
    *,
    media: Sequence[str] = MEDIA,
    subjects: Sequence[str] = SUBJECTS,
    template: str = TEMPLATE,
    roles: Sequence[str] = ("end",),
    nuisance: Nuisance | None = None,
) -> Direction:
    """The direction from `away` to `toward`; added once, it moves a text's states as changing the word does.

    `away` need not be the opposite; None leaves the word out of the prompts on that side.
    `template` names {medium}, {word} and {subject}. `roles` are those to fit; the default is the post's. `nuisance`
    removes the main effects of media and subjects from the direction. With two subjects or more its origin says, by
    role, the relative standard error and where prompts of held-out subjects land ("there", "back") with their AUC.
    A role that the word cannot reach (tokens before it, in a causal encoder) stays zero.

    Raises AstrogateError for empty or equal words, for roles and ways to remove nuisance that are unknown, for a
    template without {word}, and for poles that encode alike.
    """
    for word in (toward, *(() if away is None else (away,))):
        check_said(word, "a pole", 'name two words, e.g. "fat" and "thin"')
    check_text(template)
    media, subjects = (grid if isinstance(grid, str) else list(grid) for grid in (media, subjects))
    if away is not None and words_of(toward) == words_of(away):
        raise AstrogateError(f"both poles are {toward!r}", "name two different words")
    if set(roles) == {"pooled"} and "pooled_prompt_embeds" not in model.spaces:
        raise AstrogateError(f"{model.name} has no pooled text", "fit other roles, such as end")
    for word in (toward, away):
        if word is not None:
            check_tokens(model, word)
    check_grid(media, subjects)
    if not roles or not set(roles) <= set(ROLES):
        said = f"roles {sorted(set(roles) - set(ROLES))} are unknown" if roles else "no role is named"
        raise AstrogateError(said, f"use {', '.join(ROLES)}")
    if nuisance not in (None, *get_args(Nuisance)):
        raise AstrogateError(f"nuisance {nuisance!r} is unknown", f"choose {' or '.join(get_args(Nuisance))}, or none")
    if len({prompt_of(template, media[0], word, subjects[0]) for word in ("a", "b")}) < 2:
        raise AstrogateError(f"the template {template!r} has no {{word}}", f"write one like {TEMPLATE!r}")
    there, back = (
        states_by_role(
            model,
            [prompt_of(template, m, word, s) for s in subjects for m in media],
            [s for s in subjects for _ in media],
            roles,
        )
        for word in (toward, away)
    )
    vectors: dict[str, Tensor] = {}
    quality: dict[str, Any] = {}
    for role in there:
        vectors[role] = mean_difference(there[role], back[role])
        if float(vectors[role].norm()) <= 1e-6 * float(there[role].norm(dim=1).mean()):
            vectors[role] = torch.zeros_like(vectors[role])
            continue
        shape = (len(subjects), len(media), -1)
        grid = there[role].reshape(shape), back[role].reshape(shape)
        if len(subjects) > 1:
            quality[role] = _quality(*grid)
        if nuisance is not None:
            remove = {"project": project_out, "whiten": whiten}[nuisance]
            vectors[role] = remove(vectors[role], main_effects(*grid))
    if not any(bool(vector.any()) for vector in vectors.values()):
        raise AstrogateError(f"{toward!r} and {away!r} encode alike", "name two words that the model tells apart")
    origin = {"method": "contrast", "toward": toward, "away": away, "template": template, "nuisance": nuisance}
    origin |= {"media": list(media), "subjects": list(subjects), "roles": list(roles), "quality": quality}
    return Direction(vectors, model.fingerprint, f"{toward} - {away or 'none'}", origin)


def check_grid(media: Sequence[str], subjects: Sequence[str]) -> None:
    """Raise AstrogateError for a grid of prompts that is empty, too large, or one text for several."""
    if isinstance(media, str) or isinstance(subjects, str):
        raise AstrogateError(f"one text for several ({media!r}, {subjects!r})", "give lists of media and subjects")
    for word in (*media[:_MOST], *subjects[:_MOST]):
        check_text(word)
        if len(word) > _LONGEST:
            raise AstrogateError(f"{word[:40]!r} is {len(word):,} letters long", f"use at most {_LONGEST:,}")
    if not 1 <= len(media) * len(subjects) <= _MOST:
        kind = "too large" if media and subjects else "empty"
        raise AstrogateError(
            f"a grid of {len(media)} media and {len(subjects)} subjects is {kind}",
            f"name one of each at least, and {_MOST:,} pairs at most",
        )


def prompt_of(template: str, medium: str, word: str | None, subject: str) -> str:
    """A template filled in; without a word its place closes up. It may name medium, word and subject, in braces."""
    rest = re.sub(r"\{\{|\}\}|\{(medium|word|subject)\}", "", template)
    if len(template) > _LONGEST or "{" in rest or "}" in rest:
        raise AstrogateError(f"the template {template[:80]!r} can't be filled in", f"write one like {TEMPLATE!r}")
    values = {"medium": medium, "word": word or "", "subject": subject}
    marks = re.compile(r"\{\{|\}\}|\{(\w+)\}")
    return " ".join(marks.sub(lambda match: values[match[1]] if match[1] else match[0][0], template).split())


def _quality(there: Tensor, back: Tensor) -> dict[str, Any]:
    """How sure a direction is, and whether it tells held-out subjects' poles apart; both [subjects, media, width]."""
    high, low = landings(there, back)
    return {
        "standard_error": standard_error(there.flatten(0, 1), back.flatten(0, 1)),
        "auc": auc(torch.cat([high, low]), [True] * len(high) + [False] * len(low)),
        "there": [round(float(x), 4) for x in high],
        "back": [round(float(x), 4) for x in low],
    }


def states_by_role(
    model: Model, prompts: Sequence[str], subjects: Sequence[str], roles: Sequence[str], *, gradient: bool = False
) -> Mapping[str, Tensor]:
    """The states [n, width] of each role, averaged over its tokens; those of a second segment as "NAME.role".

    Raises AstrogateError for a prompt that does not contain its subject.
    """
    padding = "max_length" if "padding" in roles else "longest"
    ends_alone = set(roles) <= {"end", "pooled"} and len(model.segments(prompts[0])) == 1
    found: dict[str, list[Tensor]] = {}
    tokens = max((segment.stop for segment in model.segments(prompts[0])), default=1)
    at_once = min(144, max(1, _TOKENS // tokens))
    for first in trange(0, len(prompts), at_once, desc="prompts", disable=len(prompts) <= at_once or unseen()):
        batch = range(first, min(first + at_once, len(prompts)))
        encoded = model.encode([prompts[i] for i in batch], padding=padding, gradient=gradient)
        if "pooled" in roles and "pooled_prompt_embeds" in encoded:
            found.setdefault("pooled", []).extend(encoded["pooled_prompt_embeds"])
        if ends_alone and "end" in roles:
            found.setdefault("end", []).extend(encoded["prompt_embeds"][range(len(batch)), encoded["end"]])
        for i, states in zip(batch, encoded["prompt_embeds"], strict=True) if not ends_alone else ():
            for segment in model.segments(prompts[i]):
                span = segment.find(subjects[i], last=True)
                if span is None:
                    raise AstrogateError(
                        f"{prompts[i]!r} does not contain {subjects[i]!r}", "put {subject} into the template"
                    )
                ranges = {"subject": span, "end": (segment.end, segment.end + 1)}
                ranges["padding"] = (segment.end + 1, segment.stop)
                prefix = f"{segment.name}." if segment.name else ""
                for role, (low, high) in ranges.items():
                    if role in roles and low < high:
                        found.setdefault(prefix + role, []).append(states[low:high].mean(0))
    return {role: torch.stack(states).cpu() for role, states in found.items()}
