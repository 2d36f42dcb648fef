"""SANA (Xie et al. 2024): linear attention over a picture that an autoencoder makes 32 times as small a side.

The text is Gemma's states of the prompt behind a long instruction, of which the pipeline keeps but the end, and the
mark at the beginning of all. The negative prompt stands alone.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

from astrogate.core.recipe import Recipe
from astrogate.models.family import WITH_MASK, Family, Site, Text


def asked(pipe: Any) -> dict[str, list[str]]:
    """The instruction, which stands in the pipeline's call alone."""
    return {"complex_human_instruction": signature(pipe.__call__).parameters["complex_human_instruction"].default}


def _instruction(pipe: Any) -> tuple[str, str]:
    return "\n".join(asked(pipe)["complex_human_instruction"]), ""


def _left_out(pipe: Any) -> int:
    """All tokens of the instruction but its first and its last."""
    return len(pipe.tokenizer.encode(_instruction(pipe)[0])) - 2


#: The prompt, 298 tokens at most, behind the two.
TEXT = Text("tokenizer", 300, around=_instruction, alone=True, lowered=True, drop=_left_out, kept=1, right=True)
SITES = {
    "prompt_embeds": Site(("encoder_hidden_states",)),
    "prompt_attention_mask": Site(("encoder_attention_mask",), fixed=True),
}

FAMILY = Family(
    name="SANA",
    pipelines=("SanaPipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    multiple=32,
    texts=(TEXT,),
    encoded=WITH_MASK,
    sites=SITES,
    short=True,
    asked=asked,
    precise=True,
    options={"negative_prompt": None, "use_resolution_binning": False},
    recipe=Recipe(20, 4.5),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
