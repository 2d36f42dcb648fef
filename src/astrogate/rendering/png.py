"""PNG files that say how they were made: A1111's `parameters` text, and the whole record as JSON under `astrogate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from astrogate.core.files import whole_file
from astrogate.core.recipe import Frame


def record(frame: Frame) -> dict[str, Any]:
    """What makes a frame again: the point's origin, its steers, and the recipe."""
    steers = [
        {
            "name": s.name,
            "spaces": sorted(s.vectors),
            "scale": s.scale,
            "window": list(s.window),
            "curve": [list(pair) for pair in s.curve],
            "half": s.half,
            **s.origin,
        }
        for s in frame.point.steers
    ]
    guides = [
        {
            "name": g.name,
            "spaces": sorted(g.tensors),
            "scale": g.scale,
            "window": list(g.window),
            "base": g.base,
            "quantile": g.quantile,
            **g.origin,
        }
        for g in frame.point.guides
    ]
    return {
        "point": {**frame.point.origin, "fingerprint": frame.point.model},
        "steers": steers,
        "guides": guides,
        "hold": frame.point.hold,
        "attend": frame.point.attend,
        "recipe": frame.recipe.to_json(),
        "recipe_hash": frame.recipe.hash,
    }


def parameters(frame: Frame) -> str:
    """The settings in the form that A1111's web UI reads."""
    origin, recipe = frame.point.origin, frame.recipe
    lines = [str(origin.get("prompt", ""))]
    if origin.get("negative"):
        lines.append(f"Negative prompt: {origin['negative']}")
    lines.append(
        f"Steps: {recipe.num_inference_steps}, Sampler: {recipe.scheduler or 'default'}, "
        f"CFG scale: {recipe.guidance_scale:g}, Seed: {origin.get('seed', '')}, "
        f"Size: {frame.image.width}x{frame.image.height}, Model: {origin.get('model', '')}"
    )
    return "\n".join(lines)


def records(path: Path, frame: Frame, more: Mapping[str, Any]) -> bool:
    """Whether a PNG file is one that `save_png` wrote with this record."""
    try:
        with Image.open(path) as image:
            return image.info.get("astrogate") == _text(frame, more)
    except (OSError, SyntaxError, ValueError):
        return False


def _text(frame: Frame, more: Mapping[str, Any] | None) -> str:
    return json.dumps({**record(frame), **(more or {})})


def save_png(image: Image.Image, path: Path, *, frame: Frame, more: Mapping[str, Any] | None = None) -> None:
    """Write a picture or a sheet, whole or not at all; `frame` stands for its settings, `more` joins the record."""
    info = PngInfo()
    info.add_text("parameters", parameters(frame))
    info.add_text("astrogate", _text(frame, more))
    with whole_file(path) as file:
        image.save(file, "PNG", pnginfo=info)
