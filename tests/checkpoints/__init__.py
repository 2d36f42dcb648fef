"""Tiny random checkpoints, made and saved by diffusers: a module per row of `models.families` that a pipeline draws."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import torch

from astrogate.core.edit import Edit
from astrogate.core.parts import Half, Parts, Steer
from astrogate.core.point import Point
from astrogate.core.protocols import Model
from astrogate.core.recipe import Recipe
from astrogate.models.family import Family
from astrogate.models.sampler.layers import side_by_side
from astrogate.models.sampler.lengths import padded
from tests.checkpoints.parts import WORDS as WORDS
from tests.checkpoints.parts import clip_model as clip_model

_BUILDERS = {name: import_module(f"{__name__}.{name}") for _, name, _ in iter_modules(__path__) if name != "parts"}
#: By the name of its row's module, what builds a checkpoint in a folder, and the side of its pictures.
FAMILIES = {name: module.build for name, module in _BUILDERS.items()}
SIZE = {name: module.SIZE for name, module in _BUILDERS.items()}
PROMPT = "a painting of a fat dog"


def row(family: str) -> Family:
    """The row that a checkpoint is of."""
    return import_module(f"astrogate.models.families.{family}").FAMILY


def able(ability: str) -> list[str]:
    """The families that can do something."""
    return [family for family in FAMILIES if ability in row(family).can]


def guided(family: str, scale: float) -> dict[str, float]:
    """The settings that guide a family's pictures by their negative prompt, if there are any."""
    return {row(family).guidance.scale: scale} if halved(family) else {}


def unguided(family: str) -> dict[str, float]:
    """The settings by which a family's pictures are not guided."""
    return guided(family, row(family).guidance.none)


def halved(family: str) -> bool:
    """Whether a family's guidance has two halves."""
    return row(family).guidance.layout != "none"


def in_turn(family: str) -> bool:
    """Whether the halves of guidance come in turn."""
    return row(family).guidance.layout == "in turn"


def made(model: Model, family: str, prompt: str = PROMPT, seed: int = 5, negative: str = "") -> Point:
    return model.point(prompt, seed=seed, negative=negative, height=SIZE[family], width=SIZE[family])


def edit_of(*steers: Steer) -> Edit:
    """An edit by steers, for any prompt."""
    return Edit(Parts(steers))


def steered(model: Model, point: Point, half: Half = "positive", **options: Any) -> Edit:
    """An edit that adds 2 to all text states."""
    spaces = [s for s in ("prompt_embeds", "pooled_prompt_embeds") if s in model.spaces]
    steer = Steer({s: torch.ones_like(point.tensors[s]) for s in spaces}, 2.0, half=half, **options)
    return Edit(Parts((steer,)), model=point.model, segments=point.segments, name="everything")


def watched(model: Any, points: list[Point], recipe: Recipe) -> list[dict[str, torch.Tensor]]:
    """The text states that the denoiser receives, call by call."""
    seen: list[dict[str, torch.Tensor]] = []

    def watch(module: Any, args: Any, kwargs: dict[str, Any], out: Any) -> None:
        found: dict[str, Any] = {}
        for space in ("prompt_embeds", "pooled_prompt_embeds"):
            if space in model.family.sites:
                found[space] = dict(enumerate(args)) | kwargs
                for step in model.family.sites[space].path:
                    found[space] = found[space][step]
        if model.family.unpadded:
            found["prompt_embeds"] = padded(found, model.family)["prompt_embeds"]
        found = side_by_side(found)
        seen.append({space: states.clone() for space, states in found.items()})

    handle = model.denoiser.register_forward_hook(watch, with_kwargs=True)
    try:
        model.denoise(points, recipe)
    finally:
        handle.remove()
    return seen
