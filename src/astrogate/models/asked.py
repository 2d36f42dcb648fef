"""What points and a recipe ask of a model, whatever its kind: refused before anything is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from warnings import warn

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.point import Point
from astrogate.core.recipe import Recipe
from astrogate.core.values import whole
from astrogate.models.registry import Able, require

#: The setting that guides distilled models.
TRUE = "true_cfg_scale"
#: The guidance that distilled models still stand.
_MILD = 2.0


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


def check_negative(points: Sequence[Point], *, guided: bool, guidance: str = "guidance_scale") -> None:
    """Warn about a negative prompt without guidance, by which alone it acts; `guidance` names the setting."""
    told = next((text for point in points if (text := str(point.origin.get("negative") or ""))), "")
    if told and not guided:
        warn(
            f"the negative prompt {told!r} does nothing without guidance: leave it out, or raise {guidance}",
            AstrogateWarning,
            stacklevel=5,
        )


def check_way(points: Sequence[Point], is_noisy: Callable[[], bool]) -> None:
    """Warn about points between two seeds where the sampler draws noise of its own, by one seed after the other."""
    ways = ((point, point.origin["walk"]) for point in points if "walk" in point.origin)
    ends = ((point, [(way[end]["seed"], way[end]["draw"]) for end in ("from", "to")]) for point, way in ways)
    if any((point.seed, point.draw) == first != last for point, (first, last) in ends) and is_noisy():
        warn(
            "the sampler draws noise at each step, by the seed of one key point until the next is reached: "
            "the picture jumps there; use a scheduler that draws none, such as DDIM, and eta 0",
            AstrogateWarning,
            stacklevel=5,
        )


def check_guided(name: str, own: Recipe, asked: Recipe) -> None:
    """Warn about guidance of a model whose `own` recipe has none: what was distilled draws noise by it."""
    if own.guidance_scale <= 1 and asked.guidance_scale > _MILD:
        told = f"guidance_scale {asked.guidance_scale:g} spoils the pictures of {name}, which was made to draw without"
        warn(f"{told}: use {own.guidance_scale:g}, or {_MILD:g} at most", AstrogateWarning, stacklevel=5)


def sides(height: int | None, width: int | None, default: Callable[[], int], factor: int) -> tuple[int, int]:
    """Height and width in pixels. Raises AstrogateError for what is no multiple of `factor`."""
    height, width = (whole(default() if side is None else side, "{} pixels", 1, 16384) for side in (height, width))
    if height % factor or width % factor:
        near = " x ".join(str(max(1, round(side / factor)) * factor) for side in (width, height))
        raise AstrogateError(
            f"{width} x {height} pixels", f"choose multiples of {factor} for this model, such as {near}"
        )
    return height, width
