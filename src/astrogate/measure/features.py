"""CLIP features of pictures and texts: unit vectors, so that a dot product is a cosine (Radford et al. 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F


@final
class Clip:
    """A CLIPModel folder with its tokenizer. fp16 weights are computed in float32: transformers 5 would keep fp16."""

    def __init__(self, folder: Path | str, *, device: str = "cpu") -> None:
        from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

        self.model: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True).to(device).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        processor = CLIPImageProcessor.from_pretrained(folder)
        self.side = int(self.model.config.vision_config.image_size)
        self.mean, self.std = (
            torch.tensor(v, device=device)[:, None, None] for v in (processor.image_mean, processor.image_std)
        )

    @torch.no_grad()
    def images(self, pictures: Tensor, *, batch: int = 100) -> Tensor:
        """Unit features [n, d] of pictures [n, 3, h, w] in [0, 1]."""
        parts: list[Tensor] = []
        for part in pictures.split(batch):
            part = part.to(self.mean.device)
            if part.shape[-2:] != (self.side, self.side):
                part = F.interpolate(part, (self.side, self.side), mode="bicubic", antialias=True).clamp(0, 1)
            vision = self.model.vision_model(pixel_values=(part - self.mean) / self.std)
            parts.append(F.normalize(self.model.visual_projection(vision.pooler_output), dim=-1).cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def texts(self, texts: Sequence[str], *, batch: int = 250) -> Tensor:
        """Unit features [n, d] of texts."""
        parts: list[Tensor] = []
        for start in range(0, len(texts), batch):
            tokens = self.tokenizer(
                list(texts[start : start + batch]), padding=True, truncation=True, return_tensors="pt"
            ).input_ids.to(self.mean.device)
            text = self.model.text_model(input_ids=tokens)
            parts.append(F.normalize(self.model.text_projection(text.pooler_output), dim=-1).cpu())
        return torch.cat(parts)
