"""Vocabulary: every word that a concept may be taken apart into, and what CLIP makes of it (Chefer et al. 2024).

    t_v = |mean over templates m of  T(m with v)|,      |x| = x / its length, T CLIP's unit text feature

A word is a single token of every text encoder of the model, so that it has one input embedding in each. A third of
CLIP's tokens that look like words are endings (tion, ophobia), or names and hashtags that few write: where no words are
named, those count that a list of English words has, shorter ones than four letters if they are common there
(pyspellchecker's, of subtitles). What stands
before the word in a template goes through CLIP once for many words (`Clip.filled`); features are kept under a hash of
CLIP's weights, the words and the templates.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core import archive
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.keys import key_of
from astrogate.core.packages import need
from astrogate.core.protocols import Model
from astrogate.core.state import usual
from astrogate.measure.clip import Clip
from astrogate.methods.concept.cutoffs import alike
from astrogate.models.text.pseudo_word import encoders

_HEADS = (
    *("a photo", "a picture", "an image", "a painting", "a drawing", "a sketch", "an illustration", "a screenshot"),
    "a 3d render",
)
#: Twenty-seven ways to say a word.
TEMPLATES = tuple(f"{head}{joint} {{}}" for head in _HEADS for joint in (" of a", " of", ","))
#: How many texts are held at once.
_TEXTS = 20_000
_BEGUN = "astrogate-words-begun-1"
#: A whole word of two letters or more.
PATTERN = r"[a-z]{2,}"
#: How often a word of two or three letters occurs in the list at least: "ox" does, "ts" does not.
_COMMON = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """`words` with CLIP's `features` [n, d], unit vectors, and the model's input embeddings [n, width] by encoder.

    `lengths` are the mean lengths of the words' rows, `alike` the cosines from which words count as the same
    (`cutoffs`); a choice of words keeps both. `model` and `clip` are the hashes of those it was made with. A `listed`
    one is the user's own choice, which a dictionary may take whole.
    """

    words: tuple[str, ...]
    features: Tensor
    embeddings: tuple[Tensor, ...]
    lengths: tuple[float, ...]
    model: str
    clip: str
    alike: tuple[float, float, float]
    listed: bool = False

    def __repr__(self) -> str:
        return f"<Vocabulary of {len(self.words)} words>"

    def at(self, places: Sequence[int]) -> Vocabulary:
        """The words at some places, as a choice."""
        kept = list(places)
        words, embeddings = tuple(self.words[i] for i in kept), tuple(e[kept] for e in self.embeddings)
        return replace(self, words=words, features=self.features[kept], embeddings=embeddings, listed=True)

    def to(self, device: torch.device) -> Vocabulary:
        """The same with its vectors on a device."""
        return replace(self, features=self.features.to(device), embeddings=tuple(e.to(device) for e in self.embeddings))


@usual()
def vocabulary(
    model: Model,
    clip: Clip,
    *,
    words: Sequence[str] | None = None,
    pattern: str | None = None,
    templates: Sequence[str] = TEMPLATES,
    folder: Path | str | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Vocabulary:
    """The English words of a model's own tokenizers, all that match a `pattern`, or those of a list.

    Features are kept in `folder`. The words of a model with a closed language are that language's. Words of a list that
    are not a single token, or do not match a pattern that is named, are left out, with a warning. Raises AstrogateError
    where no two words are left, and for templates without a place.
    """
    if not templates or any(text.count("{}") != 1 for text in templates):
        raise AstrogateError(f"templates {list(templates)}", "give each one place for the word: {}")
    parts = encoders(model)
    tables = [table.weight.detach().float().cpu() for _, table in parts]
    given, language = words is not None, sorted(model.language)
    own = language or _own(parts[0][0])
    if not (given or language or pattern):
        own = english(own)
    candidates = list(dict.fromkeys(word.strip().lower() for word in (own if words is None else words)))
    if pattern is not None or not given:
        try:
            candidates = [word for word in candidates if re.fullmatch(pattern or PATTERN, word)]
        except re.error as error:
            raise AstrogateError(f"{pattern!r} is no pattern ({error})", "write a regular expression") from error
    ids = list(zip(*(_singles(tokenizer, candidates) for tokenizer, _ in parts), strict=True))
    kept = {word: found for word, found in zip(candidates, ids, strict=True) if None not in found}
    if given and (lost := [word for word in candidates if word not in kept]):
        text = f"{len(lost)} words are no single token of {model.name} and are left out: {', '.join(lost[:10])}"
        warnings.warn(text, AstrogateWarning, stacklevel=2)
    if len(kept) < 2:
        raise AstrogateError(f"{len(kept)} words are left", "name words that the model has whole")
    places = [torch.tensor([found[i] for found in kept.values()]) for i in range(len(parts))]
    embeddings = tuple(table[place] for table, place in zip(tables, places, strict=True))
    features = _features(clip, list(kept), templates, None if folder is None else Path(folder), tell)
    return Vocabulary(
        tuple(kept),
        features,
        embeddings,
        tuple(float(rows.norm(dim=1).mean()) for rows in embeddings),
        model.fingerprint,
        clip.digest,
        alike(features),
        given,
    )


def _own(tokenizer: Any) -> list[str]:
    """The words that end a token of a tokenizer, in the order of their numbers."""
    vocab: dict[str, int] = tokenizer.get_vocab()
    tokens = sorted(vocab, key=lambda token: vocab[token])
    return list(dict.fromkeys(token.removesuffix("</w>") for token in tokens if token.endswith("</w>")))


def english(words: Sequence[str]) -> list[str]:
    """The words that a list of English words has. Raises AstrogateError where the package with the list is missing."""
    need("spellchecker", "words")
    from spellchecker import SpellChecker

    known: Mapping[str, int] = SpellChecker(language="en").word_frequency.dictionary
    return [word for word in words if known.get(word, 0) > (_COMMON if len(word) < 4 else 0)]


def _singles(tokenizer: Any, words: Sequence[str]) -> list[int | None]:
    """The number of the one token that each word becomes; None for one that becomes several, or an unknown one."""
    every = tokenizer(list(words), add_special_tokens=False).input_ids if words else []
    texts = tokenizer.convert_ids_to_tokens([ids[0] if len(ids) == 1 else 0 for ids in every])
    return [
        int(ids[0]) if len(ids) == 1 and text.removesuffix("</w>") == word else None
        for word, ids, text in zip(words, every, texts, strict=True)
    ]


def _features(
    clip: Clip, words: Sequence[str], templates: Sequence[str], folder: Path | None, tell: Callable[[str], None]
) -> Tensor:
    key = key_of(clip.digest, words, templates)
    path = None if folder is None else folder / f"vocabulary-{key}.safetensors"

    part = None if path is None else path.with_name(f"{path.stem}-begun{path.suffix}")

    def made() -> dict[str, Tensor]:
        return {"features": word_features(clip, words, templates, part=part, tell=tell)}

    found = archive.kept(path, made, ("features",), len(words))["features"]
    if part is not None:
        part.unlink(missing_ok=True)
    return found


@usual()
def word_features(
    clip: Clip,
    words: Sequence[str],
    templates: Sequence[str] = TEMPLATES,
    *,
    part: Path | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Tensor:
    """t_v [n, d] of words. Where they are many, `part` keeps the sum of what is done, and goes on from it."""
    at_once, many = max(1, _TEXTS // len(words)), len(words) * len(templates) > _TEXTS
    first, total = _begun(part, len(words)) if many else (0, torch.zeros(()))
    began = monotonic()
    for start in range(first, len(templates), at_once):
        total = total + clip.filled(templates[start : start + at_once], words).sum(0)
        done = min(start + at_once, len(templates))
        if many and part is not None:
            archive.write(part, {"total": total}, {"name": part.name, "done": done}, format=_BEGUN)
        if many:
            left = (monotonic() - began) / (done - first) * (len(templates) - done)
            tell(f"{len(words)} words in {done} of {len(templates)} templates, {left / 60:.0f} min left")
    return F.normalize(total, dim=1)


def _begun(part: Path | None, count: int) -> tuple[int, Tensor]:
    """How many templates an earlier run had done, and their sum [count, d]; nothing where there is no such file."""
    if part is not None and part.exists():
        asked: Any = {"what": "words begun", "remedy": "delete it", "format": _BEGUN, "tensors": ("total",)}
        with suppress(AstrogateError):
            found, told = archive.read(part, fields={"name": str, "done": int}, **asked)
            if told["name"] == part.name and found["total"].ndim == 2 and len(found["total"]) == count:
                return told["done"], found["total"]
    return 0, torch.zeros(())
