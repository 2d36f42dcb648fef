"""A prompt as a user's message of a chat."""

from __future__ import annotations

from typing import Any

_PROMPT = "PROMPT"


def chat(tokenizer: Any, **options: Any) -> tuple[str, str]:
    """What a tokenizer's template puts before and behind a message."""
    said = [{"role": "user", "content": _PROMPT}]
    text = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True, **options)
    before, _, behind = text.partition(_PROMPT)
    return before, behind
