"""Tokenizers of real size or kind: CLIP's own 49,408 tokens, and the others' learned from the prompts at hand."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PROMPTS = (Path(__file__).parent / "prompts.txt").read_text().splitlines()


@cache
def _clip_merges() -> tuple[tuple[str, str], ...]:
    """The merges that CLIP was trained with, which a package brings as data."""
    spec = find_spec("clip")
    assert spec is not None, "install clip-anytorch, as `make test` does"
    assert spec.origin is not None
    text = gzip.decompress((Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz").read_bytes()).decode()
    pairs = (line.split() for line in text.split("\n")[1 : 49_152 - 256 - 2 + 1])
    return tuple((a, b) for a, b in pairs)


def clip_tokenizer(length: int = 77) -> Any:
    """CLIP's own tokenizer."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters, merges = [*bytes_to_unicode().values()], list(_clip_merges())
    words = [*letters, *(f"{x}</w>" for x in letters), *map("".join, merges), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=merges, model_max_length=length)
    assert tokenizer("a photo of a dog").input_ids == [49406, 320, 1125, 539, 320, 1929, 49407]
    return tokenizer


def t5_tokenizer() -> Any:
    """Pieces of a unigram model, as T5's are."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import T5Tokenizer

    learned = Tokenizer(models.Unigram())
    learned.normalizer, learned.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=900, special_tokens=special, unk_token="<unk>", show_progress=False)
    learned.train_from_iterator(PROMPTS, trainer)
    vocab = json.loads(learned.to_str())["model"]["vocab"]
    return T5Tokenizer(vocab=[(piece, score) for piece, score in vocab], extra_ids=0)


def _bytes() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Merges of bytes."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    learned.train_from_iterator([*PROMPTS, *["assistant\n"] * 99], trainer)
    model = json.loads(learned.to_str())["model"]
    return model["vocab"], [(a, b) for a, b in model["merges"]]


def qwen_tokenizer() -> Any:
    """Bytes, as Qwen's are, with the marks of a chat."""
    from transformers import Qwen2Tokenizer

    from tests.checkpoints.parts import CHAT

    vocab, merges = _bytes()
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=merges, chat_template=CHAT)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


def gemma_tokenizer() -> Any:
    """Letters and their merges, as Gemma's are: what it never saw is spelled in bytes."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import GemmaTokenizer

    learned = Tokenizer(models.BPE())
    learned.normalizer = normalizers.Replace(" ", "\u2581")
    learned.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=special, show_progress=False)
    learned.train_from_iterator([f" {prompt}" for prompt in PROMPTS], trainer)
    model = json.loads(learned.to_str())["model"]
    return GemmaTokenizer(vocab=model["vocab"], merges=[(a, b) for a, b in model["merges"]])


#: By the names that builders of checkpoints call them by.
REAL: dict[str, Callable[[], Any]] = {
    "clip_tokenizer": clip_tokenizer,
    "t5_tokenizer": t5_tokenizer,
    "qwen_tokenizer": qwen_tokenizer,
    "gemma_tokenizer": gemma_tokenizer,
}
