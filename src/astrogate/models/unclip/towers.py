"""CLIP's two towers as a stack of unCLIP holds them: texts and pictures in one space (Radford et al. 2021).

z_i = P_i vision(picture),   z_t = P_t text(caption),   both of unit length where the stack was trained so
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.errors import AstrogateError
from astrogate.core.state import usual
from astrogate.core.values import check_pictures
from astrogate.models.loading.checks import check_tokenizers
from astrogate.models.text.prompts import tokenized


@dataclass(frozen=True, slots=True)
class Texts:
    """A batch of captions as a prior sees them: states [b, length, w], z_t [b, d], mask [b, length] of real tokens."""

    states: Tensor
    embeds: Tensor
    mask: Tensor

    def doubled(self, empty: Texts) -> Texts:
        """No caption for every row, then the captions themselves: the two halves of classifier-free guidance."""
        pairs = ((empty.states, self.states), (empty.embeds, self.embeds), (empty.mask, self.mask))
        return Texts(*(torch.cat([a.expand_as(b), b]) for a, b in pairs))


@dataclass(frozen=True, slots=True)
class Towers:
    """A CLIPTextModelWithProjection with its tokenizer and a CLIPVisionModelWithProjection with its processor.

    Either may be absent (None), as some checkpoints leave one out. `unit` says that z_i and z_t have unit length.
    """

    tokenizer: Any
    text: Any
    vision: Any
    processor: Any
    unit: bool = False

    @usual()
    def texts(self, prompts: Sequence[str]) -> Texts:
        """Captions padded to the tokenizer's length. Raises AstrogateError where there is no text tower."""
        if self.text is None:
            raise AstrogateError("this checkpoint has no text encoder in the space of its pictures", "load its prior")
        check_tokenizers(SimpleNamespace(tokenizer=self.tokenizer, text_encoder=self.text), "the model")
        found = tokenized(self.tokenizer, prompts)
        out = self.text(found.input_ids.to(self.text.device))
        mask = found.attention_mask.bool().to(self.text.device)
        return Texts(out.last_hidden_state, self._scaled(out.text_embeds), mask)

    @usual()
    def pictures(self, pictures: Tensor) -> Tensor:
        """z_i [n, d] of pictures [n, 3, h, w] in [0, 1]. Raises AstrogateError where there is no vision tower."""
        if self.vision is None:
            raise AstrogateError("this checkpoint has no image encoder", "add its image_encoder and feature_extractor")
        return self._scaled(self.vision(pixel_values=self._pixels(pictures)).image_embeds)

    def _pixels(self, pictures: Tensor) -> Tensor:
        """Pictures as the vision tower takes them; they are resized whole, not cropped."""
        check_pictures(pictures)
        side, device = int(self.vision.config.image_size), self.vision.device
        if pictures.shape[-2:] != (side, side):
            pictures = F.interpolate(pictures, (side, side), mode="bicubic", antialias=True).clamp(0, 1)
        processor = self.processor
        mean, std = (torch.tensor(v)[:, None, None] for v in (processor.image_mean, processor.image_std))
        return ((pictures.cpu() - mean) / std).to(device, self.vision.dtype)

    def _scaled(self, z: Tensor) -> Tensor:
        return F.normalize(z, dim=-1) if self.unit else z
