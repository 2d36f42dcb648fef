"""SANA-Sprint (Chen et al. 2025): SANA distilled to one to four steps, with its guidance embedded.

It is drawn by TrigFlow, x_a = cos(a) x + sin(a) n, whose angle takes the place of time.
"""

from __future__ import annotations

from astrogate.core.recipe import Recipe
from astrogate.models.families.sana import SITES, TEXT, asked
from astrogate.models.family import Family, Guidance


def _by_steps(count: int) -> dict[str, float | None]:
    """The angle of a second and last step, which more of them have not."""
    return {"intermediate_timesteps": 1.3 if count == 2 else None}


FAMILY = Family(
    name="SANA-Sprint",
    pipelines=("SanaSprintPipeline",),
    encoders=("text_encoder",),
    denoiser="transformer",
    multiple=32,
    texts=(TEXT,),
    encoded=("prompt_embeds", "prompt_attention_mask"),
    sites=SITES,
    short=True,
    asked=asked,
    guidance=Guidance("none"),
    angles=True,
    samplers=("SCM",),
    precise=True,
    options={"use_resolution_binning": False},
    by_steps=_by_steps,
    recipe=Recipe(2, 4.5),
    can=frozenset({"steer", "guide", "hold", "attend", "offload"}),
)
