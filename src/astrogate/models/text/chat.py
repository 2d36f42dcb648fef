"""A prompt as a user's message of a chat."""

from __future__ import annotations

from typing import Any

_PROMPT = "PROMPT"


def chat(tokenizer: Any, *, system: str = "", **options: Any) -> tuple[str, str]:
    """What a tokenizer's template puts before and behind a message, which may stand behind a system's."""
    told = [{"role": "system", "content": [{"type": "text", "text": system}]}] if system else []
    said = [{"type": "text", "text": _PROMPT}] if system else _PROMPT
    options = {"add_generation_prompt": True, **options}
    text = tokenizer.apply_chat_template([*told, {"role": "user", "content": said}], tokenize=False, **options)
    before, _, behind = text.rpartition(_PROMPT)  # some marks have this word
    return before, behind
