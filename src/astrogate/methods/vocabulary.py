"""Vocabulary: every word that a concept may be taken apart into, and what CLIP makes of it (Chefer et al. 2024).

    t_v = |mean over templates m of  T(m with v)|,      |x| = x / its length, T CLIP's unit text feature

A word is a single token of every text encoder of the model, so that it has one input embedding in each. What stands
before the word in a template goes through CLIP once for many words (`Clip.filled`); features are kept under a hash of
CLIP's weights, the words and the templates.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.files import whole_file
from astrogate.core.protocols import Model
from astrogate.measure.features import Clip
from astrogate.models.pseudo_word import encoders
from astrogate.models.sampling import digest_of

_HEADS = (
    *("a photo", "a picture", "an image", "a painting", "a drawing", "a sketch", "an illustration", "a screenshot"),
    "a 3d render",
)
#: Twenty-seven ways to say a word.
TEMPLATES = tuple(f"{head}{joint} {{}}" for head in _HEADS for joint in (" of a", " of", ","))
#: A whole word of two letters or more.
PATTERN = r"[a-z]{2,}"


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """`words` with CLIP's `features` [n, d], unit vectors, and the model's input embeddings [n, width] by encoder.

    A `listed` one is a choice of the user's, which a dictionary may take whole.
    """

    words: tuple[str, ...]
    features: Tensor
    embeddings: tuple[Tensor, ...]
    lengths: tuple[float, ...]
    model: str
    listed: bool = False

    def at(self, places: Sequence[int]) -> Vocabulary:
        """The words at some places, as a choice."""
        kept = list(places)
        words, embeddings = tuple(self.words[i] for i in kept), tuple(e[kept] for e in self.embeddings)
        return Vocabulary(words, self.features[kept], embeddings, self.lengths, self.model, listed=True)


def vocabulary(
    model: Model,
    clip: Clip,
    *,
    words: Sequence[str] | None = None,
    pattern: str = PATTERN,
    templates: Sequence[str] = TEMPLATES,
    folder: Path | None = None,
) -> Vocabulary:
    """The words of a model's own tokenizers that match `pattern`, or those of `words`; features kept in `folder`.

    Those of a model with a closed language are that language's.
    `lengths` are the mean lengths of all rows of each encoder's table. Words of a list that are not a single token are
    left out, with a warning. Raises AstrogateError where no two words are left, and for templates without a place.
    """
    if not templates or any(text.count("{}") != 1 for text in templates):
        raise AstrogateError(f"templates {list(templates)}", "give each one place for the word: {}")
    parts = encoders(model)
    tables = [table.weight.detach().float().cpu() for _, table in parts]
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise AstrogateError(f"{pattern!r} is no pattern ({error})", "write a regular expression") from error
    given, language = words is not None, sorted(getattr(model, "language", ()))
    own = language or _own(parts[0][0])
    candidates = list(dict.fromkeys(word.strip().lower() for word in (own if words is None else words)))
    ids = {word: [_single(tokenizer, word) for tokenizer, _ in parts] for word in candidates if wanted.fullmatch(word)}
    kept = {word: found for word, found in ids.items() if None not in found}
    if given and (lost := [word for word in candidates if word not in kept]):
        text = f"{len(lost)} words are no single token of {model.name} and are left out: {', '.join(lost[:10])}"
        warnings.warn(text, AstrogateWarning, stacklevel=2)
    if len(kept) < 2:
        raise AstrogateError(f"{len(kept)} words are left of {len(candidates)}", "name words that the model has whole")
    places = [torch.tensor([found[i] for found in kept.values()]) for i in range(len(parts))]
    return Vocabulary(
        tuple(kept),
        _features(clip, list(kept), templates, folder),
        tuple(table[place] for table, place in zip(tables, places, strict=True)),
        tuple(float(table.norm(dim=1).mean()) for table in tables),
        model.fingerprint,
        given,
    )


def _own(tokenizer: object) -> list[str]:
    """The words that end a token of a tokenizer, in the order of their numbers."""
    vocab: dict[str, int] = tokenizer.get_vocab()  # type: ignore[attr-defined]
    tokens = sorted(vocab, key=lambda token: vocab[token])
    return list(dict.fromkeys(token.removesuffix("</w>") for token in tokens if token.endswith("</w>")))


def _single(tokenizer: object, word: str) -> int | None:
    """The number of the one token that a word becomes; None for one that becomes several, or an unknown one."""
    ids = tokenizer(word, add_special_tokens=False).input_ids  # type: ignore[operator]
    unknown = getattr(tokenizer, "unk_token_id", None)
    known = len(ids) == 1 and (ids[0] != unknown or tokenizer.convert_ids_to_tokens(unknown) == f"{word}</w>")  # type: ignore[attr-defined]
    return int(ids[0]) if known else None


def _features(clip: Clip, words: Sequence[str], templates: Sequence[str], folder: Path | None) -> Tensor:
    from safetensors.torch import load_file, save

    recipe = json.dumps([digest_of(clip.model), list(words), list(templates)])
    key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    path = None if folder is None else folder / f"vocabulary-{key}.safetensors"
    if path is not None and path.exists():
        return load_file(path)["features"]
    features = word_features(clip, words, templates)
    if path is not None:
        with whole_file(path) as file:
            file.write(save({"features": features}))
    return features


def word_features(clip: Clip, words: Sequence[str], templates: Sequence[str] = TEMPLATES) -> Tensor:
    """t_v [n, d] of words, without a cache."""
    return F.normalize(clip.filled(templates, words).mean(0), dim=1)
