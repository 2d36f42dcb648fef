"""Paths by the hundred: what a TOML file asks for, as items, and the work on one.

    prompts = ["a painting of a dog", ...]        frames = 16        steps = 20
    pairs = [[1, 2], [3, 4]]                      guidance = 4.0     model = "menagerie-64"
    ways = [["lerp", "uniform"], ["slerp", "even"]]

An item is one path: a prompt, two seeds, a rule and a timing. Its result are its scores, those of its noise, and, where
the model is Menagerie, what the oracle reads of the factors that the prompt names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np

from astrogate.core.errors import AstrogateError
from astrogate.core.path import Path as Way
from astrogate.core.recipe import Recipe
from astrogate.core.seeds import checked
from astrogate.core.texts import read_text
from astrogate.measure.clip import clip_for, own_part
from astrogate.measure.paths import score_noise
from astrogate.menagerie.captions import stated
from astrogate.menagerie.oracle import load_oracle
from astrogate.methods.path.pace import pace
from astrogate.methods.path.walk import By, walk
from astrogate.models.identity import digest_of
from astrogate.models.loading.load import load
from astrogate.models.loading.locate import SMALL
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.kit.jobs import Spec
from astrogate.studies.path.score import score_pictures

#: Raise it when the work on an item changes.
_VERSION = 2
#: The most bytes of a file, paths, and frames of one.
_LONGEST, _PATHS, _FRAMES = 2**20, 100_000, 1_000
_TIMINGS = ("uniform", "eased", "even")
_DEFAULTS: dict[str, Any] = {
    "model": SMALL,
    "clip": None,
    "frames": 16,
    "steps": 20,
    "guidance": 4.0,
    "dtype": None,
}


def read_sweep(path: Path) -> list[dict[str, Any]]:
    """The items of a TOML file. Raises AstrogateError for what is missing, unknown or of another type."""
    try:
        asked = tomllib.loads(read_text(path, most=_LONGEST))
    except (ValueError, RecursionError) as error:
        raise AstrogateError(f"{path} could not be read ({error})", "see docs/sweep.md for an example") from error
    known = {"prompts", "pairs", "ways", *_DEFAULTS}
    if unknown := sorted(set(asked) - known):
        raise AstrogateError(f"{path}: unknown {', '.join(unknown)}", f"use {', '.join(sorted(known))}")
    prompts, pairs, ways = (asked.get(name, []) for name in ("prompts", "pairs", "ways"))
    if not (prompts and pairs and ways):
        raise AstrogateError(f"{path} has no prompts, pairs or ways", "name one or more of each")
    _check_list(
        path,
        "prompts",
        prompts,
        lambda prompt: isinstance(prompt, str) and prompt.strip() and "\0" not in prompt,
        "texts",
    )
    _check_list(
        path, "pairs", pairs, lambda pair: _two(pair, int) and pair[0] != pair[1], "pairs of two different seeds"
    )
    allowed = f"pairs of one of {get_args(By)} and one of {_TIMINGS}"
    _check_list(path, "ways", ways, lambda w: _two(w, str) and w[0] in get_args(By) and w[1] in _TIMINGS, allowed)
    common = _DEFAULTS | {name: asked[name] for name in _DEFAULTS if name in asked}
    text = (str, type(None))
    kinds = {"model": str, "clip": text, "frames": int, "steps": int, "guidance": (int, float), "dtype": text}
    for name, kind in kinds.items():
        if not isinstance(common[name], kind):
            raise AstrogateError(
                f"{path}: {name} = {common[name]!r}", f"see docs/sweep.md; the default is {_DEFAULTS[name]}"
            )
    if not 2 <= common["frames"] <= _FRAMES:
        raise AstrogateError(f"{path}: {common['frames']} frames", f"ask for 2 to {_FRAMES:,}")
    if (asked_for := len(prompts) * len(pairs) * len(ways)) > _PATHS:
        raise AstrogateError(f"{path} asks for {asked_for:,} paths", f"ask for at most {_PATHS:,}")
    for pair in pairs:
        for seed in pair:
            checked(seed)
    Recipe(common["steps"], common["guidance"], dtype=common["dtype"])
    return [
        {**common, "prompt": prompt, "seeds": list(pair), "by": by, "timing": timing}
        for prompt in prompts
        for pair in pairs
        for by, timing in ways
    ]


def _check_list(path: Path, name: str, values: Any, good: Callable[[Any], Any], what: str) -> None:
    if not isinstance(values, list) or not all(good(value) for value in values):
        raise AstrogateError(f"{path}: {name} = {values!r}"[:200], f"give a list of {what}")


def _two(value: Any, kind: type) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(item, kind) for item in value)


class PathWork:
    """Draws and scores one path after another; the model is loaded once. A `jobs.Work`."""

    def __init__(self, model: str = SMALL, clip: str | None = None, device: str | None = None) -> None:
        self.clip = clip_for(model, clip)
        self.model = load(model, device=device)
        oracle = own_part(model, "oracle")
        self.oracle = load_oracle(oracle) if oracle else None
        readers = [self.clip.digest] if self.oracle is None else [self.clip.digest, digest_of(self.oracle.net)]
        self.digest = " ".join([str(_VERSION), self.model.weights, *readers])

    def __call__(self, spec: Spec) -> dict[str, Any]:
        """The scores of one path."""
        recipe = Recipe(spec["steps"], spec["guidance"], dtype=spec["dtype"])
        start, end = self.model.points(spec["prompt"], spec["seeds"])
        way = walk(start, end, by=spec["by"])
        times, jumps = self._times(way, spec, recipe)
        points = list(map(way, times))
        pictures = to_tensor(render(self.model, points, recipe=recipe, batch_size=min(len(points), 16)))
        middle = points[len(points) // 2].tensors["latents"]
        return {
            "scores": score_pictures(pictures, self.clip, spec["prompt"]).to_json(),
            "noise": asdict(score_noise(middle)),
            "times": list(times),
            "distances": self.clip.between(pictures[:-1], pictures[1:]).tolist(),
            "jumps": [list(pair) for pair in jumps],
            "read": self._read(pictures, spec["prompt"]),
        }

    def _times(self, way: Way, spec: Spec, recipe: Recipe) -> tuple[list[float], tuple[tuple[float, float], ...]]:
        if spec["timing"] == "even":
            found = pace(self.model, way, spec["frames"], self.clip, recipe=recipe, batch_size=16)
            return list(found.times), found.jumps
        return way.times(spec["frames"], "eased" if spec["timing"] == "eased" else "uniform"), ()

    def _read(self, pictures: Any, prompt: str) -> dict[str, list[float]]:
        """The probability of every value that the prompt names, by factor, frame by frame."""
        if self.oracle is None:
            return {}
        readings = self.oracle.read(pictures)
        found = {}
        for factor, value in stated(prompt).items():
            column = list(readings.classes[factor]).index(value)
            found[factor] = np.round(readings.probabilities[factor][:, column].numpy().astype(float), 4).tolist()
        return found
