"""Whether a folder of weights is what it says: no mixture of parts, no empty vocabulary."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.models.loading.trust import plain_name, read_settings

#: What transformers calls the length of a tokenizer that has none.
_UNSAID = 10**30


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
    content = read_settings(card) if card.exists() else {}
    if "astrogate" not in content:
        return
    _check_card(card, content)
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


def read_card(card: Path) -> Mapping[str, Any]:
    """Our own card of a folder. Raises AstrogateError for one that is damaged."""
    content = read_settings(card)
    _check_card(card, content)
    return content


def _check_card(card: Path, content: Mapping[str, Any]) -> None:
    """Raise AstrogateError for a card whose parts are no plain names with digests."""
    of_parts: list[Any] = [content.get("parts"), content.get("trained_on")]
    if isinstance(of_parts[1], dict):
        of_parts += of_parts[1].values()
    named = all(isinstance(part, dict) and all(map(plain_name, part)) for part in of_parts)
    if not named or not all(isinstance(value, str) for part in (of_parts[0], *of_parts[2:]) for value in part.values()):
        raise AstrogateError(f"{card} is damaged", "restore it")


def check_tokenizers(pipe: Any, name: str) -> None:
    """transformers makes a tokenizer of two tokens from nothing, without an error."""
    pairs = (("tokenizer", "text_encoder"), ("prior_tokenizer", "prior_text_encoder"))
    for part, encoder in (*pairs, *((f"tokenizer_{i}", f"text_encoder_{i}") for i in (2, 3))):
        tokenizer = getattr(pipe, part, None)
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)  # that of a processor
        if tokenizer is None:
            continue
        if len(tokenizer) < 4 or tokenizer.eos_token_id is None:
            raise AstrogateError(f"{name} has an empty {part}", "restore its vocabulary")
        config, most = getattr(pipe, encoder).config, tokenizer.model_max_length
        if len(tokenizer) > config.get_text_config().vocab_size:
            raise AstrogateError(f"{name}: {part} and {encoder} differ in size", f"restore the matching {part}")
        unsaid = most >= _UNSAID and not str(config.model_type).startswith("clip")  # and the family says it
        if not unsaid and not 2 < most <= getattr(config, "max_position_embeddings", most):
            raise AstrogateError(
                f"{name}: {part} reads {most} tokens, {encoder} others", f"restore the {part}'s config"
            )


def check_scheduler(pipe: Any, name: str) -> None:
    """Raise AstrogateError for a scheduler that a pipeline does not draw with: one that scales no input where the
    pipeline has it scaled, one of noise for a pipeline of flows, or one whose step asks for more than a prediction.
    """
    own, asked = pipe.scheduler, str(signature(type(pipe).__init__).parameters["scheduler"].annotation)
    taken = [p for p in signature(own.step).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    more = [p for p in taken if p.default is p.empty][3:]  # than a prediction, its step and the sample
    flow = "Flow" in type(own).__name__ or own.config.get("use_flow_sigmas", False)
    flow = flow or own.config.get("prediction_type") == "flow_prediction"
    other = not hasattr(own, "scale_model_input") if "Karras" in asked else "FlowMatch" in asked and not flow
    if more or other or not hasattr(own, "set_timesteps"):
        told = f"{name} has a {type(own).__name__}, by which a {type(pipe).__name__} does not draw"
        raise AstrogateError(told, "restore its scheduler")


def check_adapters(parts: Mapping[str, Any]) -> None:
    """Warn of LoRAs that are switched on and have a weight of 0, and of IP-Adapters of scale 0: they do nothing."""
    for part, module in parts.items():
        looks = [p for p in getattr(module, "attn_processors", {}).values() if "IPAdapter" in type(p).__name__]
        scales = [look.scale if isinstance(look.scale, list) else [look.scale] for look in looks]
        if looks and not any(np.any(scale) for each in scales for scale in each):
            warn(f"the IP-Adapter of the {part} has scale 0: no effect", AstrogateWarning, stacklevel=4)
        layers = [
            layer for layer in module.modules() if hasattr(layer, "active_adapters") and hasattr(layer, "scaling")
        ]
        for adapter in sorted({name for layer in layers for name in layer.active_adapters}):
            strengths = [layer.scaling[adapter] for layer in layers if adapter in layer.scaling]
            if strengths and not any(strengths):
                warn(f"the LoRA {adapter!r} of the {part} has weight 0: no effect", AstrogateWarning, stacklevel=4)
