"""What the commands that draw have in common: their options, how directions are named, where pictures go."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.direction import Direction
    from astrogate.core.point import Curve, Point
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame, Recipe


class _Parsed(click.ParamType):
    """Text that `parse` turns into a tuple; one line says what is wrong with what it does not take."""

    def __init__(self, name: str, parse: Callable[[str], tuple[Any, ...]], problem: str, remedy: str) -> None:
        self.name, self.parse, self.problem, self.remedy = name, parse, problem, remedy

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return self.parse(str(value))
        except ValueError:
            raise AstrogateError(f"{value!r} {self.problem}", self.remedy) from None


def _range(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    return float(low), float(high)


def _hold(text: str) -> tuple[float, float]:
    share, _, attend = text.partition(":")
    return float(share), float(attend or 1.0)


def _curve(text: str) -> Curve:
    return tuple((float(u), float(w)) for u, w in (pair.split(":") for pair in text.split(",") if text))


def _held(text: str) -> tuple[str, float]:
    spec, _, scale = text.rpartition("=")
    return spec, float(scale)


#: Two numbers; a share to hold and when attention begins; pairs of share and weight; a direction and its scale.
RANGE = _Parsed("low:high", _range, "is not a range", "write two numbers with a colon, e.g. 0:1 or =-2:2")
HOLD = _Parsed("share[:attend]", _hold, "is no hold", "write e.g. --hold 1, or --hold 0.5:0.2")
CURVE = _Parsed("u:w,...", _curve, "is not a curve", "write pairs, e.g. --curve 0.2:0,0.5:1")
HELD = _Parsed("spec=scale", _held, "has no scale", "write e.g. --also tall:short=1.5")


@dataclass(frozen=True, slots=True)
class Loading:
    """The options of every command that loads a model."""

    model: str
    device: str | None
    dtype: str
    config: str | None
    offload: bool
    offline: bool

    def load(self) -> Model:
        """The model."""
        from astrogate.models.loading.load import load

        options = {"dtype": self.dtype, "config": self.config, "offload": self.offload, "offline": self.offline}
        return load(self.model, device=self.device, **options)


@dataclass(frozen=True, slots=True)
class Sampling(Loading):
    """The options of every command that samples."""

    negative: str
    size: int | None
    steps: int
    guidance: float
    true_cfg: float
    scheduler: str | None
    batch: int

    def recipe(self) -> Recipe:
        """The sampler settings, checked."""
        from astrogate.core.recipe import Recipe

        return Recipe(
            self.steps, self.guidance, self.scheduler, self.size, self.size, self.dtype, true_cfg_scale=self.true_cfg
        )

    def point(self, model: Model, prompt: str, seed: int) -> Point:
        """The point of a prompt and a seed."""
        return model.point(prompt, seed=seed, negative=self.negative, height=self.size, width=self.size)


@dataclass(frozen=True, slots=True)
class Setup(Sampling):
    """The options of every command that draws one strip or more, a seed each."""

    seed: int
    seeds: int

    def chosen(self) -> range:
        """The seeds, checked."""
        if not 1 <= self.seeds <= 1000:
            raise AstrogateError(f"{self.seeds} strips", "ask for 1 to 1000")
        return range(self.seed, self.seed + self.seeds)

    def check(self, output: Path) -> None:
        """Fail before any work for settings that no sampler takes, and where the output cannot be written."""
        self.recipe()
        self.chosen()
        check_output(output)

    def points(self, model: Model, prompt: str) -> list[Point]:
        """The prompt's points, one a seed."""
        return [self.point(model, prompt, seed) for seed in self.chosen()]


@dataclass(frozen=True, slots=True)
class Editing(Setup):
    """The options of every command whose strips edit a picture."""

    hold: tuple[float, float] | None

    def points(self, model: Model, prompt: str) -> list[Point]:
        """The prompt's points, one a seed, held as asked for."""
        return self.held(Setup.points(self, model, prompt))

    def held(self, points: list[Point]) -> list[Point]:
        """The points, held as asked for."""
        return points if self.hold is None else [point.held(*self.hold) for point in points]


_LOADING = (
    click.option("--model", default="menagerie", show_default=True, help="A diffusers folder, a file, or a hub id."),
    click.option("--device", default=None, help="cpu, cuda, mps; by default a CUDA GPU if there is one."),
    click.option("--dtype", default="float32", show_default=True, help="float32, float16 or bfloat16."),
    click.option("--config", default=None, help="Of a single file: a diffusers folder of its kind."),
    click.option("--offload", is_flag=True, help="Keep what does not work off the GPU."),
    click.option("--offline", is_flag=True, help="Never ask the hub; use the local cache."),
)
BATCH = click.option("--batch", default=8, show_default=True, type=click.IntRange(1), help="Pictures drawn at once.")
_SAMPLING = (
    click.option("--negative", default="", help="Negative prompt."),
    click.option("--size", default=None, type=int, help="Side of a picture in pixels."),
    click.option("--steps", default=20, show_default=True, help="Denoising steps."),
    click.option("--guidance", default=4.0, show_default=True, help="Guidance scale; 1 is none."),
    click.option("--true-cfg", default=1.0, show_default=True, help="Of Flux: guidance by the negative prompt."),
    click.option("--scheduler", default=None, help="A diffusers scheduler, e.g. DPMSolverMultistep."),
    BATCH,
)
_SEEDS = (
    click.option("--seed", default=0, show_default=True, help="The first seed."),
    click.option("--seeds", default=1, show_default=True, help="How many seeds, one after the other."),
)
_HOLD = (
    click.option("--hold", default=None, type=HOLD, help="Keep the rest as in the unedited picture: 1, or 0.5:0.2."),
)


def taking(kind: type[Any], argument: str, options: Sequence[Any]) -> Callable[..., Callable[..., None]]:
    """A decorator that gives a command `options` as one argument, a `kind`."""
    names = [field.name for field in fields(kind)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**given: Any) -> None:
            command(**{argument: kind(**{name: given.pop(name) for name in names})}, **given)

        for option in reversed(options):
            call = option(call)
        return call

    return decorate


#: Give a command the options of `Loading` as `loading`, those of `Sampling`, `Setup` or `Editing` as `setup`.
loads = taking(Loading, "loading", _LOADING)
samples = taking(Sampling, "setup", (*_LOADING, *_SAMPLING))
draws = taking(Setup, "setup", (*_LOADING, *_SAMPLING, *_SEEDS))
edits = taking(Editing, "setup", (*_LOADING, *_SAMPLING, *_SEEDS, *_HOLD))


def direction_of(model: Model, spec: str) -> Direction:
    """A saved direction by its file, or the contrast of two words by "WORD:OPPOSITE" ("WORD:" is against no word)."""
    from astrogate.core.direction_file import load_direction
    from astrogate.methods.edit.contrast import contrast

    toward, colon, away = spec.partition(":")
    if Path(spec).exists() or spec.endswith(".safetensors") or not colon:
        return load_direction(spec)
    return contrast(model, toward, away or None)


def check_output(path: Path) -> None:
    """Fail before any work if the file cannot be written."""
    folder = next(p for p in (path.absolute().parent, *path.absolute().parent.parents) if p.exists())
    odd = path.exists() and not path.is_file()
    if odd or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise AstrogateError(f"cannot write {path}", "name a writable file")


def draw(
    model: Model,
    points: Sequence[Point],
    setup: Setup,
    output: Path,
    *,
    labels: Sequence[str],
    rows: Sequence[str] = (),
    middle: int = 0,
    more: dict[str, Any],
) -> None:
    """Render points, with progress, into one sheet of a column a label, whose record is that of the frame `middle`.

    `rows` are named after the seeds, if there are several and no other names.
    """
    from astrogate.rendering.png import save_png
    from astrogate.rendering.render import render
    from astrogate.rendering.sheet import sheet

    frames = list(progress(render(model, points, recipe=setup.recipe(), batch_size=setup.batch), len(points)))
    seeds = list(setup.chosen())
    rows = rows or ([f"seed {s}" for s in seeds] if len(seeds) > 1 else [])
    page = sheet(frames, columns=len(labels), labels=labels, rows=rows)
    save_png(page, output, frame=frames[middle], more={**more, "seeds": seeds})


def progress(frames: Iterable[Frame], total: int) -> Iterable[Frame]:
    """The same frames, with how many are done and the time left on a terminal."""
    from tqdm import tqdm

    return tqdm(frames, total=total, unit="picture", disable=not sys.stderr.isatty(), leave=False)
