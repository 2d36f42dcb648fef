"""CLIP features of pictures and texts, and the perceptual distance that they give.

Pooled features are unit vectors, so a dot product is a cosine (Radford et al. 2021). The distance is LPIPS's form
(Zhang et al. 2018) without learned weights: over layers l and places p, each place's features scaled to unit norm,

    D(a, b) = mean_l mean_p |f_lp(a) - f_lp(b)|^2
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError, reason
from astrogate.core.keys import key_of
from astrogate.core.packages import check_python
from astrogate.core.state import usual
from astrogate.core.texts import check_text
from astrogate.core.values import check_pictures, path_of
from astrogate.models.finite import check_made
from astrogate.models.identity import digest_of
from astrogate.models.loading.checks import check_tokenizers
from astrogate.models.loading.locate import home, is_unclip, locate_part, shipped_folder
from astrogate.models.loading.parts import load_module
from astrogate.models.loading.quiet import quiet
from astrogate.models.loading.student import parted
from astrogate.models.text.prompts import check_length, check_words

#: The largest ratio of a picture's sides.
_SLIM = 16


@final
class Clip:
    """A CLIPModel with its tokenizer, by its folder or hub id; `offline` asks the local cache alone.

    fp16 weights are computed in float32: transformers 5 would keep fp16.

    Raises AstrogateError for a folder that is absent, not whole, or holds pickled weights alone.
    """

    @usual()
    def __init__(self, folder: Path | str, *, device: str = "cpu", offline: bool = False) -> None:
        check_python()
        with quiet():  # it says that torchvision is missing
            from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

        name = str(path_of(folder, "folder"))
        self.folder = folder = locate_part(name, "a CLIPModel", offline)
        try:
            with quiet():
                model: Any = load_module(CLIPModel, folder, torch.float32)
                self.tokenizer = CLIPTokenizer.from_pretrained(folder)
                processor = CLIPImageProcessor.from_pretrained(folder)
            self.model = model.to(device).eval()
            self.side = int(self.model.config.vision_config.image_size)
            numbers = torch.tensor([processor.image_mean, processor.image_std], dtype=torch.float32, device=device)
            if numbers.shape != (2, 3) or not numbers.isfinite().all() or not (numbers[1] > 0).all():
                told = f"the processor in {folder} has mean {processor.image_mean}, std {processor.image_std}"
                raise AstrogateError(told, "restore it")
            self.mean, self.std = numbers[..., None, None]
        except AstrogateError:
            raise
        except Exception as error:  # whatever a library raises on files that are not what they should be
            raise AstrogateError(f"{folder} is no CLIP ({reason(error)})", "name a whole CLIPModel folder") from error
        config = model.config.text_config
        fits = 2 < self.tokenizer.model_max_length <= config.max_position_embeddings
        if not fits or not 4 <= len(self.tokenizer) <= config.vocab_size:
            raise AstrogateError(f"the tokenizer in {folder} is not the model's", "restore its vocabulary")

    @cached_property
    def digest(self) -> str:
        """What names it: its weights, its tokenizer, and the numbers by which it sees pictures."""
        words = self.tokenizer.backend_tokenizer.to_str()
        return key_of(
            digest_of(self.model), words, self.side, self.mean.flatten().tolist(), self.std.flatten().tolist()
        )

    def __repr__(self) -> str:
        return f"<Clip {self.folder}>"

    def _pixels(self, pictures: Tensor, *, whole: bool = False) -> Tensor:
        """Pictures [n, 3, h, w] in [0, 1] as the vision tower takes them.

        Of one that is not square, the middle, as CLIP's own processor has it; or the `whole`, squeezed to a square.
        """
        check_pictures(pictures)
        high, wide = pictures.shape[-2:]
        if max(high, wide) > _SLIM * min(high, wide):
            raise AstrogateError(f"pictures of {wide} x {high} pixels", f"use sides of at most {_SLIM} to 1")
        pictures = pictures.to(self.mean.device)
        high, wide = (self.side, self.side) if whole else _covering(pictures.shape[-2], pictures.shape[-1], self.side)
        if pictures.shape[-2:] != (high, wide):
            pictures = F.interpolate(pictures, (high, wide), mode="bicubic", antialias=True).clamp(0, 1)
        top, left = (high - self.side) // 2, (wide - self.side) // 2
        return (pictures[..., top : top + self.side, left : left + self.side] - self.mean) / self.std

    def _unit(self, features: Tensor) -> Tensor:
        """Features [n, d] scaled to unit norm. Raises AstrogateError for what is no finite number."""
        check_made([features], "CLIP's features", {"CLIP": self.model})
        return F.normalize(features, dim=-1)

    @usual()
    def images_with_gradient(self, pictures: Tensor) -> Tensor:
        """Unit features [n, d] of pictures [n, 3, h, w] in [0, 1], differentiable, in one batch."""
        vision = self.model.vision_model(pixel_values=self._pixels(pictures))
        return self._unit(self.model.visual_projection(vision.pooler_output))

    @usual()
    @torch.no_grad()
    def images(self, pictures: Tensor, *, batch_size: int = 100) -> Tensor:
        """Unit features [n, d] of pictures [n, 3, h, w] in [0, 1]."""
        return torch.cat([self.images_with_gradient(part).cpu() for part in pictures.split(batch_size)])

    @usual()
    @torch.no_grad()
    def between(self, a: Tensor, b: Tensor, *, batch_size: int = 50) -> Tensor:
        """Perceptual distances [n] of pictures [n, 3, h, w] in [0, 1], row by row. See `core.protocols.Distance`.

        All of a picture counts: one that is not square is squeezed to a square.
        """
        if a.shape != b.shape:
            raise AstrogateError(f"pictures of shapes {tuple(a.shape)} and {tuple(b.shape)}", "give equal shapes")
        parts: list[Tensor] = []
        for x, y in zip(a.split(batch_size), b.split(batch_size), strict=True):
            pixels = self._pixels(torch.cat([x, y]), whole=True)
            states = self.model.vision_model(pixel_values=pixels, output_hidden_states=True).hidden_states[1:]
            check_made(states, "CLIP's features", {"CLIP": self.model})
            pairs = (F.normalize(s[:, 1:], dim=-1).chunk(2) for s in states)
            parts.append(torch.stack([(u - v).square().sum(-1).mean(1) for u, v in pairs]).mean(0).cpu())
        return torch.cat(parts)

    @usual()
    @torch.no_grad()
    def texts(self, texts: Sequence[str], *, batch_size: int = 250) -> Tensor:
        """Unit features [n, d] of texts. Warns about what is cut off of a long one."""
        check_words(texts, ())
        check_tokenizers(SimpleNamespace(tokenizer=self.tokenizer, text_encoder=self.model), str(self.folder))
        parts: list[Tensor] = []
        for start in range(0, len(texts), batch_size):
            some = list(texts[start : start + batch_size])
            tokens = self.tokenizer(some, padding=True, truncation=True, return_tensors="pt").input_ids
            for text in some if tokens.shape[1] == self.tokenizer.model_max_length else ():
                check_length(text, self.tokenizer)
            states = self.model.text_model(input_ids=tokens.to(self.mean.device))
            parts.append(self._unit(self.model.text_projection(states.pooler_output)).cpu())
        return torch.cat(parts)

    @usual()
    @torch.no_grad()
    def filled(self, templates: Sequence[str], words: Sequence[str], *, batch_size: int = 32) -> Tensor:
        """Unit features [templates, words, d] of texts with each word in their place {}: as `texts` has them, for less.

        The encoder is causal, so that what stands before the word is the same for all. A sequence holds it once, and
        behind it the endings of as many texts as fit; each sees only the beginning and itself, at its own positions.
        """
        for text in (*templates, *words):
            check_text(text)
        limit, found = int(self.model.config.text_config.max_position_embeddings), list[Tensor]()
        packed = [one for ids in _filled(self.tokenizer, templates, words) for one in _packed(ids, limit)]
        for start in range(0, len(packed), batch_size):
            part = packed[start : start + batch_size]
            length = max(len(sequence.tokens) for sequence in part)
            columns = zip(*(sequence.padded(length) for sequence in part), strict=True)
            tokens, positions, masks = (torch.stack(column).to(self.mean.device) for column in columns)
            text = self.model.text_model(input_ids=tokens, position_ids=positions, attention_mask=masks[:, None])
            ends = torch.cat([text.last_hidden_state[i, sequence.ends] for i, sequence in enumerate(part)])
            found.append(self._unit(self.model.text_projection(ends)).cpu())
        return torch.cat(found).view(len(templates), len(words), -1)


def _covering(high: int, wide: int, side: int) -> tuple[int, int]:
    """The size of a picture whose shorter side is `side`."""
    return (side, int(side * wide / high)) if high <= wide else (int(side * high / wide), side)


def _filled(tokenizer: Any, templates: Sequence[str], words: Sequence[str]) -> Iterator[list[list[int]]]:
    """A template's token ids with each word. Between spaces neither changes the other's: each is read once."""
    alone: list[list[int]] = tokenizer(list(words), add_special_tokens=False).input_ids
    room: int = tokenizer.model_max_length - 2
    for template in templates:
        if re.search(r"\S\{\}|\{\}\S", template):
            yield tokenizer([template.replace("{}", word) for word in words], truncation=True).input_ids
            continue
        before, after = tokenizer(template.split("{}"), add_special_tokens=False).input_ids
        yield [[tokenizer.bos_token_id, *(before + ids + after)[:room], tokenizer.eos_token_id] for ids in alone]


@dataclass(slots=True)
class _Packed:
    """Texts side by side in one sequence: block 0 is what they start with, the others are how each ends, and where."""

    tokens: list[int]
    positions: list[int]
    blocks: list[int]
    ends: list[int]

    def padded(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens and positions [length], and what each place sees [length, length]: 0, else minus infinity."""
        columns = (self.tokens, self.positions, self.blocks)
        tokens, positions, blocks = (F.pad(torch.tensor(c), (0, length - len(c)), value=0) for c in columns)
        sees = ((blocks[:, None] == blocks) | (blocks == 0)).tril()
        return tokens, positions, torch.zeros(length, length).masked_fill(~sees, -torch.inf)


def _packed(texts: Sequence[Sequence[int]], limit: int) -> Iterator[_Packed]:
    """Sequences of at most `limit` tokens that hold all texts, in order, and once what all of them start with."""
    columns = zip(*(text[:-1] for text in texts), strict=False)
    shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    head, places = list(texts[0][:shared]), list(range(shared))
    now = _Packed([*head], [*places], [0] * shared, [])
    for ending in (text[shared:] for text in texts):
        if now.ends and len(now.tokens) + len(ending) > limit:
            yield now
            now = _Packed([*head], [*places], [0] * shared, [])
        now.tokens += ending
        now.positions += range(shared, shared + len(ending))
        now.blocks += [len(now.ends) + 1] * len(ending)
        now.ends.append(len(now.tokens) - 1)
    yield now


def own_part(model_name: str, part: str) -> Path | None:
    """The folder `part`, such as "clip" or "oracle", that a model's folder holds beside its pipeline, if it does.

    `model_name` is what `load` takes. The shipped models hold both.
    """
    name, _ = parted(model_name, student=False)
    folder = (shipped_folder() if is_unclip(name) else home(name)) / part
    return folder if folder.is_dir() else None


def clip_for(model_name: str, folder: Path | str | None = None, *, device: str = "cpu", offline: bool = False) -> Clip:
    """The CLIP that compares and reads a model's pictures: the one in `folder`, or of a hub id (None: the model's own).

    Raises AstrogateError for None where the model's folder holds no `clip`.
    """
    if (chosen := folder or own_part(model_name, "clip")) is None:
        fault = f"{model_name} has no CLIP to see pictures with"
        raise AstrogateError(fault, "name a CLIPModel folder or hub id (clip)")
    return Clip(chosen, device=device, offline=offline)
