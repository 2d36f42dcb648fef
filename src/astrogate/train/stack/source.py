"""What a stack of unCLIP is trained on: Menagerie's world, or a folder of captioned pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError, reason
from astrogate.models.loading.checks import latents_vae
from astrogate.models.loading.locate import check_part, shipped_folder
from astrogate.train.kit.data import PictureData
from astrogate.train.kit.pictures import picture_data
from astrogate.train.parts.upsampler import FACTOR
from astrogate.train.stack.presets import UNCLIP_PRESETS
from astrogate.train.world.presets import PRESETS
from astrogate.train.world.world_data import world_data

#: For each folder that a part may need: what is wrong without it, a key of its configuration, and its kind.
_NEEDS = {
    "clip": ("which CLIP sees the pictures?", "text_config", "a CLIPModel"),
    "vae": ("a decoder draws latents", "block_out_channels", "an AutoencoderKL"),
}


@dataclass(frozen=True, slots=True)
class Source:
    """`pictures(folder, side)` builds the data set of pictures of `side` pixels in a folder.

    `clip` is a CLIPModel folder with its tokenizer, which upsamplers do without; `vae` is an AutoencoderKL folder,
    which only the decoder needs; `size` is the side of the decoder's pictures.
    """

    pictures: Callable[[Path, int], PictureData]
    clip: Path | None
    vae: Path | None
    size: int

    def needed(self, name: str) -> Path:
        """The folder `clip` or `vae`. Raises AstrogateError where there is none, or one that no part is trained on."""
        problem, key, kind = _NEEDS[name]
        folder: Path | None = {"clip": self.clip, "vae": self.vae}[name]
        if folder is None:
            raise AstrogateError(problem, f"name the folder of {kind} ({name})")
        config = _config(folder, key, kind)
        if name == "clip":
            text, embedding = config["text_config"].get("hidden_size", 512), config.get("projection_dim", 512)
            if text != embedding:
                raise AstrogateError(
                    f"a CLIP of text width {text}, embedding {embedding}", "choose one where both are equal"
                )
        return folder

    def halvings(self) -> int:
        """How often the VAE halves the side of a picture."""
        _, key, kind = _NEEDS["vae"]
        return len(_config(self.needed("vae"), key, kind)[key]) - 1


def menagerie_source(preset: str) -> Source:
    """The world, at the size of the shipped model, with its CLIP and VAE; `preset` says how many pictures."""
    shipped, cores = shipped_folder(), os.cpu_count() or 1
    tokenizer = _tokenizer(shipped / "clip")
    size = int(json.loads((shipped / "card.json").read_text())["size"])
    counts = dict(zip((size * FACTOR, size * FACTOR**2), UNCLIP_PRESETS[preset].large, strict=True))

    def pictures(folder: Path, side: int) -> PictureData:
        count = counts.get(side, PRESETS[preset].pictures)
        return world_data(folder, count, size=side, seed=1, captions=6, tokenizer=tokenizer, workers=cores)

    return Source(pictures, shipped / "clip", latents_vae(shipped), size)


def folder_source(folder: Path, clip: Path | None, vae: Path | None, size: int) -> Source:
    """A folder of pictures, which need captions where there is a `clip`.

    Raises AstrogateError for weights that must not be loaded.
    """
    for part in (clip, vae):
        if part is not None and not part.is_dir():
            raise AstrogateError(f"there is no folder {part}", "name a folder that save_pretrained wrote")
        if part is not None:
            check_part(part)
    cores, tokenizer = os.cpu_count() or 1, None if clip is None else _tokenizer(clip)
    return Source(lambda made, side: picture_data(made, folder, tokenizer, size=side, workers=cores), clip, vae, size)


def _config(folder: Path, needed: str, what: str) -> dict[str, Any]:
    """A model folder's configuration, which has the key `needed`."""
    try:
        found = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise AstrogateError(f"{folder} has no readable config.json", f"name the folder of {what}") from error
    if not isinstance(found, dict) or needed not in found:
        raise AstrogateError(f"{folder} is not {what}", f"name the folder of {what}")
    return found


def _tokenizer(clip: Path) -> Any:
    from transformers import CLIPTokenizer

    try:
        return CLIPTokenizer.from_pretrained(clip)
    except Exception as error:  # whatever a library raises on files that are not what they should be
        raise AstrogateError(
            f"{clip} has no tokenizer that can be read ({reason(error)})", "restore its tokenizer"
        ) from error
