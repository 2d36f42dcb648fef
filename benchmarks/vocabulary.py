"""The English words among CLIP's 49,408 tokens, embedded by a text tower of ViT-L/14's size with random weights.

Prints how many words there are, the minutes that their features take in 27 templates on this machine, by what was done
in some of the templates, and the most memory. Needs clip-anytorch for CLIP's own merges. Run: python
benchmarks/vocabulary.py FOLDER [TEMPLATES]; the folder keeps the tower, of half a gigabyte.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from real_size import LARGE

import astrogate as ag
from astrogate.methods.concept.vocabulary import TEMPLATES, english, word_features
from tests.vocabularies import clip_tokenizer


def build(folder: Path) -> None:
    """Write a CLIP with the text tower, unless it is there; what sees is small."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    if (folder / "model.safetensors").exists():
        return
    torch.manual_seed(0)
    ends = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    text = {**LARGE, **ends, "vocab_size": 49408, "max_position_embeddings": 77, "projection_dim": 768}
    sees = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32, "patch_size": 16}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config={**sees, "projection_dim": 768}, projection_dim=768))
    model.save_pretrained(folder)
    clip_tokenizer().save_pretrained(folder)
    CLIPImageProcessor().save_pretrained(folder)


def main(folder: Path, count: int = 2) -> None:
    """Print all measures."""
    build(folder)
    clip = ag.Clip(folder)
    tokens = [token.removesuffix("</w>") for token in clip.tokenizer.get_vocab() if token.endswith("</w>")]
    words = [word for word in english(tokens) if word.isalpha() and word.isascii() and len(word) > 1]
    started = time.perf_counter()
    features = word_features(clip, words, TEMPLATES[:count])
    seconds = (time.perf_counter() - started) / count * len(TEMPLATES)
    assert features.shape == (len(words), 768)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(words):,} words in {len(TEMPLATES)} templates: {seconds / 60:.1f} minutes by {count} of them")
    print(f"{torch.get_num_threads()} threads, {peak:.0f} MB at most")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
