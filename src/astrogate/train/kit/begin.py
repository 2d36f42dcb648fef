"""Start a training from existing weights: those of the same model, or of a wider one, narrowed.

    narrow[i] = wide[floor(i W / N)],  i < N, in every dimension of W channels that has N here

This is structural pruning (Fang, Ma & Wang 2023) without a search for what to prune. The same of W channels are kept
everywhere, so that they still fit where features are added and, for simple shares such as 3 of 4, where they are
concatenated or divided into heads and groups. A pruned model draws nothing at first, but learns sooner than from noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from astrogate.core import archive
from astrogate.core.errors import AstrogateError

_REMEDY = "start from a model of the same kind, as wide or wider"


def narrowed(weight: Tensor, shape: torch.Size, name: str = "a weight") -> Tensor:
    """A tensor brought to `shape`, in float32. Raises AstrogateError where that is wider or of other dimensions."""
    if weight.ndim != len(shape) or any(have < wanted for have, wanted in zip(weight.shape, shape, strict=True)):
        raise AstrogateError(f"{name} is {list(weight.shape)}, not {list(shape)} or more", _REMEDY)
    for dim, (have, wanted) in enumerate(zip(weight.shape, shape, strict=True)):
        if have != wanted:
            weight = weight.index_select(dim, torch.arange(wanted) * have // wanted)
    return weight.float()


def begin(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give `module` the weights that have the names of its own, narrowed; the others stay as they are.

    Raises AstrogateError where none fits.
    """
    own = module.state_dict()
    shared = {name: narrowed(weights[name], own[name].shape, name) for name in own if name in weights}
    if not shared:
        raise AstrogateError("none of the weights is one of this part's", _REMEDY)
    module.load_state_dict({**own, **shared})


def begin_decoder(unet: Any, projection: Any, model: Path) -> None:
    """Start a decoder and its `UnCLIPTextProjModel` from those of a stack, or from the U-Net of a text-to-image model.

    The latter knows no image embeddings: their part of the time embedding starts at zero, and the text states go
    through unchanged. What it has besides, such as a reader of words, is left out.
    """
    weights, *projected = starting_weights(model, "decoder")
    begin(unet, weights)
    if projected:
        begin(projection, projected[0])
        return
    nn.init.zeros_(unet.class_embedding.linear_2.weight)
    nn.init.zeros_(unet.class_embedding.linear_2.bias)
    nn.init.eye_(projection.encoder_hidden_states_proj.weight)
    nn.init.zeros_(projection.encoder_hidden_states_proj.bias)


def starting_weights(model: Path, part: str) -> list[dict[str, Tensor]]:
    """The weights that a part of a stack starts from; behind a decoder's those of its projection, if it has one.

    A second upsampler starts from the first of a stack that has one alone.
    """
    if part == "upsampler_2" and not (model / part).is_dir():
        part = "upsampler"  # of the same layout
    if part != "decoder":
        return [weights_of(model, part)]
    if not (model / part).is_dir():
        return [weights_of(model, "unet")]
    projection = "text_proj" if (model / "text_proj").is_dir() else "decoder/text_proj"
    return [weights_of(model, part), weights_of(model, projection)]


def weights_of(model: Path, part: str) -> dict[str, Tensor]:
    """All weights of a part of a model's folder. Raises AstrogateError where there are none."""
    files = sorted((model / part).glob("*.safetensors"))
    if not files:
        raise AstrogateError(f"{model} has no weights of {part}", _REMEDY)
    read = (archive.read(file, what="weights", remedy=_REMEDY)[0] for file in files)
    return {name: weight for weights in read for name, weight in weights.items()}
