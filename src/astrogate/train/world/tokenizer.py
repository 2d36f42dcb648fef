"""A CLIP tokenizer for a closed language: byte-pair merges until each of its words is one token.

Any other text falls back to single ASCII characters, and what is not ASCII to an unknown token. Built with
`tokenizers`, saved as a `CLIPTokenizer` (both the fast file and `vocab.json` with `merges.txt`).
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, trainers

_START, _END, _UNKNOWN = "<|startoftext|>", "<|endoftext|>", "<|unknown|>"
_ALPHABET = string.ascii_lowercase + string.digits + string.punctuation


def build_tokenizer(words: Iterable[str], *, max_length: int) -> Any:
    """A `CLIPTokenizer` in which every one of `words` (lower case, no spaces) is a single token."""
    from transformers import CLIPTokenizer

    bare = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_UNKNOWN))
    trainer = trainers.BpeTrainer(
        vocab_size=100_000,
        min_frequency=1,
        end_of_word_suffix="</w>",
        initial_alphabet=[*_ALPHABET],
        # In a fixed order; the trainer numbers the ends of words as a hash has them, and breaks ties by the numbers.
        special_tokens=[f"{c}</w>" for c in _ALPHABET],
        show_progress=False,
    )
    bare.train_from_iterator(sorted(words), trainer)
    merges: Any = [tuple(pair) for pair in json.loads(bare.to_str())["model"]["merges"]]
    single = list(_ALPHABET) + [f"{c}</w>" for c in _ALPHABET]
    tokens = [
        *single,
        *dict.fromkeys("".join(pair) for pair in merges if "".join(pair) not in single),
        _START,
        _END,
        _UNKNOWN,
    ]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(tokens)},
        merges=merges,
        model_max_length=max_length,
        unk_token=_UNKNOWN,
    )


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save for transformers 5 (`tokenizer.json`) and 4 (`vocab.json`, `merges.txt`)."""
    tokenizer.save_pretrained(folder)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False))
    lines = [" ".join(pair) for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")
