"""A pseudo-word: vectors that stand in a prompt for a word's own, behind the input embeddings of every text encoder.

A forward hook on each embedding table puts them there, so that the table itself stays as it is and gradients reach the
vectors.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.protocols import Model
from astrogate.models.registry import require
from astrogate.models.text.prompts import first_segment

#: The keys under which other programs look for the embeddings of one and of two text encoders.
_KEYS = (("emb_params",), ("clip_l", "clip_g"))


def encoders(model: Model) -> list[tuple[Any, nn.Embedding]]:
    """Each text encoder's tokenizer and input embedding table.

    Raises AstrogateError for models that are no Stable Diffusion 1, 2 or XL: theirs also read T5, or pictures.
    """
    require(model, "pseudo_words")
    pipe: Any = model.pipe  # type: ignore[attr-defined]
    pairs = ((getattr(pipe, f"tokenizer{n}", None), getattr(pipe, f"text_encoder{n}", None)) for n in ("", "_2"))
    return [(tokenizer, encoder.get_input_embeddings()) for tokenizer, encoder in pairs if encoder is not None]


@contextmanager
def standing_in(model: Model, word: str, vectors: Sequence[Tensor], prompts: Sequence[str]) -> Generator[None]:
    """While open, a batch of `prompts` is embedded with `vectors` [tokens, width], one per encoder, where `word` is.

    Where it occurs twice the last one counts. Raises AstrogateError for a prompt that does not contain it, and for
    vectors of other widths than the model's.
    """
    tables = encoders(model)
    given, own = [vector.shape[-1] for vector in vectors], [table.embedding_dim for _, table in tables]
    if given != own:
        raise AstrogateError(f"a pseudo-word of widths {given} for text encoders of {own}", "use one of this model")
    spans = [_span(model, word, prompt) for prompt in prompts]

    def hook(vector: Tensor) -> Any:
        def put(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            out = out.clone()
            for i, span in enumerate(spans):
                out[i, slice(*span)] = vector.to(out)
            return out

        return put

    with ExitStack() as stack:
        stack.enter_context(model.lock)  # type: ignore[attr-defined]
        for (_, table), vector in zip(tables, vectors, strict=True):
            stack.callback(table.register_forward_hook(hook(vector)).remove)
        yield


def _span(model: Model, word: str, prompt: str) -> tuple[int, int]:
    span = first_segment(model, prompt).find(word, last=True)
    if span is None:
        raise AstrogateError(
            f"{prompt!r} is cut off before {word!r}", "write a shorter prompt, the word nearer its start"
        )
    return span


def keyed(vectors: Sequence[Tensor]) -> dict[str, Tensor]:
    """Vectors [tokens, width], one per encoder, under the keys that diffusers, A1111 and ComfyUI look for."""
    return dict(zip(_KEYS[len(vectors) - 1], vectors, strict=True))


def save_pseudo_word(vectors: Sequence[Tensor], path: Path | str) -> None:
    """Write vectors [tokens, width], one per encoder, as other programs read them, whole or not at all."""
    archive.write(path, {key: vector.float() for key, vector in keyed(vectors).items()})
