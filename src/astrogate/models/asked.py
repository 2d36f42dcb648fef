"""What points and a recipe ask of a model, whatever its kind: refused before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence

from astrogate.core.errors import AstrogateError
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.models.registry import Able, require

#: The setting that guides distilled models.
TRUE = "true_cfg_scale"


def check_points(model: Able, points: Sequence[Point]) -> None:
    """Raise AbilityError for what points ask for and the model can't do."""
    asked = {
        "steer": any(point.steers for point in points),
        "guide": any(point.guides for point in points),
        "hold": any(point.holding.acts for point in points),
        "attend": any(point.holding.attend < 1 for point in points),
        "control": any("image" in point.extras for point in points),
        "ip_adapter": any("ip_adapter_image_embeds" in point.extras for point in points),
    }
    require(model, *(ability for ability, wanted in asked.items() if wanted))


def check_recipe(model: Able, recipe: Recipe, guidance: str = "guidance_scale") -> None:
    """Raise AbilityError for windows that the model can't draw in, AstrogateError for guidance that it does not take.

    `guidance` names the setting that guides it.
    """
    if recipe.stride is not None:
        require(model, "pan")
    if recipe.true_cfg_scale > 1 and guidance != TRUE:
        raise AstrogateError(f"{TRUE} {recipe.true_cfg_scale:g} does nothing in {model.name}", f"use {guidance}")
