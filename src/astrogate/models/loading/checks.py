"""Whether a folder of weights is what it says: no pickles, no code, no mixture of parts, no empty vocabulary."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError

_PICKLED = {".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"}


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a part's files."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != "trained_on.json":
            total.update(path.name.encode() + path.read_bytes())
    return total.hexdigest()


def latents_vae(folder: Path) -> Path:
    """The autoencoder whose latents a checkpoint of ours draws: the small one, where its own decodes them larger."""
    small = folder / "vae_64"
    return small if small.is_dir() else folder / "vae"


def check_parts(folder: Path, shared: Path) -> None:
    """Refuse a mixture: where our own card says what each part is and was trained on, the parts must be those."""
    card = folder / "card.json"
    content = json.loads(card.read_text()) if card.exists() else {}
    if "astrogate" not in content:
        return
    needed = {*content["parts"], *(part for parts in content["trained_on"].values() for part in parts)}
    homes = {part: folder if (folder / part).is_dir() else shared for part in needed}
    found = {part: digest(home / part) for part, home in homes.items() if (home / part).is_dir()}
    seen = found | ({"vae": digest(latents_vae(homes["vae"]))} if "vae" in found else {})
    for owner, parts in [("card.json", content["parts"]), *content["trained_on"].items()]:
        for name, expected in parts.items():
            if (found if owner == "card.json" else seen).get(name) != expected:
                raise AstrogateError(
                    f"{folder}: {name} is not the one that {owner} was made for", "restore the matching parts"
                )


def check_tokenizers(pipe: Any, name: str) -> None:
    """transformers makes a tokenizer of two tokens from nothing, without an error."""
    pairs = (("tokenizer", "text_encoder"), ("prior_tokenizer", "prior_text_encoder"))
    for part, encoder in (*pairs, *((f"tokenizer_{i}", f"text_encoder_{i}") for i in (2, 3))):
        tokenizer = getattr(pipe, part, None)
        if tokenizer is None:
            continue
        if len(tokenizer) < 4 or tokenizer.eos_token_id is None:
            raise AstrogateError(f"{name} has an empty {part}", "restore its vocabulary")
        if len(tokenizer) > getattr(pipe, encoder).config.vocab_size:
            raise AstrogateError(f"{name}: {part} and {encoder} differ in size", f"restore the matching {part}")


def check_folder(folder: Path) -> None:
    """Refuse a folder with pickled weights or Python files. Raises AstrogateError that names the file."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".py":
            raise AstrogateError(
                f"{path} is code in a model folder", "delete it if you trust the rest; it is never run"
            )
        if path.suffix in _PICKLED:
            raise AstrogateError(
                f"{path} may be pickled", "convert it to safetensors and delete it; it is never opened"
            )
