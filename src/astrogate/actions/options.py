"""The options that requests share, each stated once: loading, sampling, seeds, how edits are held."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from astrogate.actions.request import Plan, Request, option
from astrogate.actions.typed import HoldPair
from astrogate.core.errors import AstrogateError
from astrogate.core.files import is_folder
from astrogate.core.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astrogate.core.direction import Direction
    from astrogate.core.edit import Edit
    from astrogate.core.point import Point
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame
    from astrogate.rendering.effects import Effect

Dtype = Literal["float32", "float16", "bfloat16"]


class Loading(Request):
    """What every request says that loads a model."""

    model: str = option("menagerie", "A diffusers folder, a file, or a hub id; +LORA adds a few-step student.")
    device: str | None = option(None, "cpu, cuda, mps; by default a CUDA GPU if there is one.")
    dtype: Dtype = option("float32", "What the model computes in.")
    config: str | None = option(None, "For a single file: a diffusers folder of its kind.")
    prior_model: str | None = option(None, "The prior's own checkpoint, as Kandinsky has it.")
    offload: bool = option(False, "Offload idle parts to main memory.")
    student: bool = option(False, "Draw with the model's few-step student.")
    offline: bool = option(False, "Never ask the hub; use the local cache.")
    variant: str | None = option(None, "Files of another precision, e.g. fp16.  [default: the plain ones, if any]")

    def files(self) -> dict[str, Path]:
        """See `Request.files`."""
        return super().files() | named_folder(self.config)

    def folders(self) -> tuple[Path | None, ...]:
        """See `Request.folders`."""
        return tuple(named_folder(self.config).values())

    def load(self) -> Model:
        """The model."""
        from astrogate.models.loading.load import load

        return load(
            self.model,
            device=self.device,
            dtype=self.dtype,
            config=self.config,
            prior=self.prior_model,
            offload=self.offload,
            offline=self.offline,
            student=self.student,
            variant=self.variant,
        )


class Measuring(Loading):
    """What every request says that measures a model: by default Menagerie with its small decoder, which is sooner."""

    model: str = option("menagerie-64", "A diffusers folder, a file, or a hub id; +LORA adds a few-step student.")


class Sampling(Loading):
    """What every request says that draws from prompts."""

    negative: str = option("", "Negative prompt.")
    size: int | None = option(None, "Side of a picture in pixels.  [default: the model's own]")
    steps: int | None = option(None, "Denoising steps.  [default: the model's own]")
    guidance: float | None = option(None, "Guidance scale; 1 is none.  [default: the model's own]")
    true_cfg: float | None = option(None, "For Flux.1: guidance by the negative prompt.  [default: the model's own]")
    scheduler: str | None = option(None, "A diffusers scheduler, e.g. DPMSolverMultistep.")
    batch_size: int | None = option(None, "Pictures drawn at once.  [default: 8, or what suits the run]", ge=1, le=1000)

    def recipe(self, model: Model | None = None) -> Recipe:
        """The sampler settings, what is not given being the model's own; checked."""
        own = Recipe() if model is None else model.recipe
        given = {
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance,
            "true_cfg_scale": self.true_cfg,
            "scheduler": self.scheduler,
        }
        return replace(
            own,
            height=self.size,
            width=self.size,
            **{name: value for name, value in given.items() if value is not None},
        )

    def check(self) -> None:
        """See `Request.check`."""
        super().check()
        self.recipe()

    @property
    def at_once(self) -> int:
        """How many pictures are drawn at once where nothing else is asked for."""
        return self.batch_size or 8

    def point(self, model: Model, prompt: str, seed: int) -> Point:
        """The point of a prompt and a seed."""
        return model.point(prompt, seed=seed, negative=self.negative, height=self.size, width=self.size)

    def drawn(self, model: Model, points: Sequence[Point], columns: Sequence[str], **options: Any) -> Plan:
        """The plan of drawing points row by row, a column per label."""

        def frames() -> Iterator[Frame]:
            from astrogate.rendering.render import render

            return render(model, points, recipe=self.recipe(model), batch_size=self.at_once)

        def told(frames: Sequence[Frame]) -> tuple[Effect, ...]:
            from astrogate.rendering.effects import effects

            return effects(frames, model)

        return Plan(frames, len(points), tuple(columns), effects=told, **options)


class Seeded(Sampling):
    """What every request says that draws one strip or more, one per seed."""

    seed: int = option(0, "The first seed.", ge=0)
    seeds: int = option(1, "How many seeds, one after the other.", ge=1, le=1000)

    def points(self, model: Model, prompt: str) -> list[Point]:
        """The prompt's points, one per seed."""
        sizes = {"height": self.size, "width": self.size}
        return model.points(prompt, self.chosen(), negative=self.negative, **sizes)

    def chosen(self) -> range:
        """The seeds."""
        return range(self.seed, self.seed + self.seeds)

    def rows(self) -> tuple[str, ...]:
        """A label per seed, if there are several."""
        return tuple(f"seed {seed}" for seed in self.chosen()) if self.seeds > 1 else ()


class Editing(Seeded):
    """What every request says whose strips edit a picture."""

    hold: HoldPair | None = option(None, "Keep the rest as in the unedited picture: 1, or 0.5:0.2.")

    def total(self) -> int:
        """See `Request.total`."""
        return self.seeds * int(getattr(self, "n", 1))

    def points(self, model: Model, prompt: str) -> list[Point]:
        """The prompt's points, one per seed, held as asked for."""
        points = super().points(model, prompt)
        return points if self.hold is None else [point.held(*self.hold) for point in points]

    def strip(
        self,
        model: Model,
        points: Sequence[Point],
        edits: Edit | Sequence[Edit],
        scales: tuple[float, float] | None,
        n: int,
        line: str,
    ) -> Plan:
        """The plan of a strip along edits, one row per point, over a range or by default their own."""
        from astrogate.core.edit import Edit
        from astrogate.rendering.strip import along, labels, spaced, span, told

        moving = [edits] if isinstance(edits, Edit) else list(edits)
        steps = spaced(*span(moving, *(scales or (None, None))), n)
        every = [along(point, moving, scale) for point in points for scale in steps]
        return self.drawn(
            model,
            every,
            labels(steps),
            rows=self.rows(),
            middle=steps.index(0) if 0 in steps else 0,
            facts={"along": [told(edit) for edit in moving], "scales": steps, "seeds": list(self.chosen())},
            line=f"{line}, {len(points)} x {n} pictures",
        )


def named_folder(name: str | None) -> dict[str, Path]:
    """A folder that an option names; none where it names what is on the hub."""
    return {} if name is None or not is_folder(name) else {name: Path(name)}


def direction_of(model: Model, spec: str) -> Direction:
    """A saved direction by its file, or the contrast of two words by "WORD:OPPOSITE" ("WORD:" is against no word)."""
    from astrogate.core.direction import Direction
    from astrogate.methods.edit.contrast import contrast

    if is_file(spec):
        return Direction.load(spec)
    toward, _, away = spec.partition(":")
    return contrast(model, toward, away or None)


def edit_by(name: str, model: Model, point: Point) -> Edit:
    """The edit of a point that a method of another package finds. Raises AstrogateError for what finds none."""
    from astrogate.core.edit import Edit
    from astrogate.core.plugins import named

    method = named(name, "astrogate.methods")
    found = method(model, point) if callable(method) else None
    if not isinstance(found, Edit):
        raise AstrogateError(f"{name!r} finds no edit", "let it take a model and a point, and return an Edit")
    return found


def is_file(spec: str) -> bool:
    """Whether a direction is named by its file: two words with a colon are none, whatever the working folder holds."""
    return spec.endswith(".safetensors") or ":" not in spec or (os.sep in spec and Path(spec).exists())


def check_words(toward: str | None, away: str | None) -> None:
    """Raise AstrogateError where one of two words is missing."""
    if (toward is None) != (away is None):
        raise AstrogateError(f"the word to go {'toward' if toward is None else 'away from'} is missing", "name both")
