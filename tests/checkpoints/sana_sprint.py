"""A tiny SANA-Sprint."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints.sana import SIZE as SIZE
from tests.checkpoints.sana import parts


def build(folder: Path) -> None:
    from diffusers import SanaSprintPipeline, SCMScheduler

    SanaSprintPipeline(
        scheduler=SCMScheduler(), **parts(guidance_embeds=True, qk_norm="rms_norm_across_heads")
    ).save_pretrained(folder)
