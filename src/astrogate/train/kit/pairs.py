"""Latents with captions as strings: what any checkpoint's U-Net is trained on, in the checkpoint's own terms.

Three sources: pictures with captions, a model's own pictures of prompts, and Menagerie's world (`train.world`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageOps
from tqdm import trange

from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of
from astrogate.core.progress import unseen
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import checked
from astrogate.core.texts import lines_of
from astrogate.models.prediction import moments
from astrogate.rendering.pixels import read_picture, to_tensor
from astrogate.train.kit.data import keep_rows
from astrogate.train.kit.pictures import captioned, readable


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Moments of latents, scaled, [n, 2, c, h, w] (mean and deviation), and some captions for each."""

    moments: NDArray[np.float16]
    captions: Sequence[Sequence[str]]

    @property
    def key(self) -> str:
        """What names these latents and captions."""
        return key_of([torch.from_numpy(np.array(self.moments)), [list(texts) for texts in self.captions]])

    def texts(self, index: NDArray[np.int64], rng: np.random.Generator) -> list[str]:
        """One caption for each of some items, drawn at random."""
        choices = (self.captions[int(item)] for item in index)
        return [texts[int(rng.integers(len(texts)))] for texts in choices]


def picture_pairs(model: Model, source: Path, folder: Path, *, batch: int = 8) -> Pairs:
    """The captioned pictures below `source`, cropped to the model's own size; their moments are kept in `folder`.

    Raises AstrogateError where there are none.
    """
    found = readable(captioned(source), folder / "left-out.txt")
    if not found:
        raise AstrogateError(f"{source} holds no picture with a caption", "put NAME.txt beside NAME.png")
    stamp = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in found]
    paths, side = list(found), model.size

    def parts() -> Iterator[NDArray[np.float16]]:
        for start in trange(0, len(paths), batch, desc="latents", disable=unseen()):
            pictures = [ImageOps.fit(read_picture(path), (side, side)) for path in paths[start : start + batch]]
            both = moments(model, to_tensor(pictures), batch_size=batch)
            yield torch.stack(both, 1).half().cpu().numpy()

    kept = folder / f"moments-{key_of([stamp, model.weights])[:8]}.npy"
    return Pairs(keep_rows(kept, len(paths), parts()), list(found.values()))


def drawn_pairs(
    model: Model, prompts: Sequence[str], recipe: Recipe, folder: Path, *, count: int, seed: int, batch: int = 8
) -> Pairs:
    """`count` pictures of prompts, in turn, that the model draws itself; their latents are kept in `folder`."""
    checked(seed + count - 1)
    texts = [prompts[i % len(prompts)] for i in range(count)]

    def parts() -> Iterator[NDArray[np.float16]]:
        for start in trange(0, count, batch, desc="drawings", disable=unseen()):
            some = range(start, min(start + batch, count))
            latents = model.denoise([model.point(texts[i], seed=seed + i) for i in some], recipe).half().cpu()
            yield torch.stack([latents, torch.zeros_like(latents)], 1).numpy()

    kept = folder / f"drawn-{key_of([texts, recipe.to_json(), seed, model.weights])[:8]}.npy"
    return Pairs(keep_rows(kept, count, parts()), [[text] for text in texts])


def prompts_in(path: Path) -> list[str]:
    """The prompts of a text file, one per line. Raises AstrogateError for a file without any."""
    found = lines_of(path)
    if not found:
        raise AstrogateError(f"{path} holds no prompt", "write one per line")
    return found
