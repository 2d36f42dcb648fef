"""Requests for strips and grids: `slide`, `insert`, `style`, `guide`, `grid`, `manipulate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from astrogate.actions.options import Editing, check_words, direction_of, edit_by, is_file
from astrogate.actions.request import Plan, argument, needed, option
from astrogate.actions.typed import WHEN_HELP, Curves, Files, InputFile, Range, Settings, Texts, When
from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.basis import Basis
    from astrogate.core.point import Point
    from astrogate.core.protocols import Model

_PROMPT = "What to draw."
_NAMED = 'A saved direction, or two words, e.g. "fat:thin".'
_RANGE = "First and last scale.  [default: the edit's own]"


class Slide(Editing):
    """Draw PROMPT in a strip that slides along one direction or several, all else equal."""

    kind: ClassVar[str] = "slide"
    brief: ClassVar[str] = "Draw a strip that slides along a direction."
    prompt: str = argument(_PROMPT)
    toward: str | None = option(None, "The word to move towards, e.g. fat.")
    away: str | None = option(None, "The word to move away from, e.g. thin.")
    direction: Texts = option((), f"{_NAMED} Repeatable: they slide together.")
    edit: Files = option((), "A saved edit of this prompt. Repeatable: they slide together.")
    method: Texts = option((), "What finds an edit, module:object, of a model and a point. Repeatable.")
    also: Settings = option((), "A direction held at a scale, e.g. tall:short=1.5. Repeatable.")
    range: Range | None = option(None, _RANGE)
    n: int = option(7, "Pictures in a strip.", flag="-n", ge=1, le=1000)
    on: str | None = option(None, "For directions: move these words of the prompt alone.")
    window: When = option((0.0, 1.0), f"For directions. {WHEN_HELP}")
    curve: Curves = option((), "For directions: weights over the steps, e.g. 0.2:0,0.5:1; one for all, or one each.")
    half: Literal["positive", "negative", "both"] = option("positive", "For directions: which half of guidance moves.")

    def check(self) -> None:
        """See `Request.check`."""
        super().check()
        check_words(self.toward, self.away)
        if not (self.specs() or self.edit or self.method):
            raise AstrogateError("no direction is named", "name two words, a direction, an edit or a method")
        acting = ("curve",) if self.also else ("on", "window", "curve", "half")
        if not self.specs():
            self.refuse_idle(acting, "without a direction that slides", "name two words or a direction")
        moving = len(self.specs())
        if len(self.curve) not in (0, 1, moving):
            raise AstrogateError(f"{len(self.curve)} curves for {moving} directions", "give one, or one each")

    def specs(self) -> list[str]:
        """The directions that slide."""
        return [*([] if self.toward is None else [f"{self.toward}:{self.away}"]), *self.direction]

    def files(self) -> dict[str, Path]:
        """See `Request.files`."""
        named = [*self.direction, *(spec for spec, _ in self.also)]
        return super().files() | {spec: Path(spec) for spec in named if is_file(spec)}

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.core.edit import Edit

        directions = [direction_of(model, spec) for spec in self.specs()]
        held = [(direction_of(model, spec), scale) for spec, scale in self.also]
        curves = self.curve if len(self.curve) > 1 else (self.curve or ((),)) * len(directions)
        points = self.points(model, self.prompt)
        edits = [
            direction.at(points[0], on=self.on, window=self.window, curve=curve, half=self.half)
            for direction, curve in zip(directions, curves, strict=True)
        ]
        edits += [Edit.load(path) for path in self.edit]
        edits += [edit_by(name, model, points[0]) for name in self.method]
        for direction, scale in held:
            edit = direction.at(points[0], on=self.on, window=self.window, half=self.half)
            points = [point.apply(edit, scale) for point in points]
        return self.strip(model, points, edits, self.range, self.n, " with ".join(edit.name for edit in edits))


class Insert(Editing):
    """Draw PROMPT with WORD put in by degrees, where the denoiser listens, and the rest of the picture held."""

    kind: ClassVar[str] = "insert"
    brief: ClassVar[str] = "Draw a strip of a word put into the prompt by degrees."
    prompt: str = argument(_PROMPT)
    word: str = argument("The word to put in, e.g. fat.")
    before: str = needed("The words of the prompt that it is put before, e.g. dog.")
    against: str | None = option(None, "The word to put there at scales below 0, e.g. thin.")
    range: Range | None = option(None, _RANGE)
    n: int = option(7, "Pictures in a strip.", flag="-n", ge=1, le=1000)
    window: When | None = option(None, f"{WHEN_HELP}  [default: 0.2:1, of one or two steps all]")

    def check(self) -> None:
        """See `Request.check`."""
        from astrogate.core.edit import strength_of

        super().check()
        for scale in self.range or ():
            strength_of(scale, None, name=self.word)

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.edit.insert import insert

        points = self.points(model, self.prompt)
        edit = insert(
            model,
            points[0],
            self.word,
            before=self.before,
            against=self.against,
            window=self.window,
            recipe=self.recipe(model),
        )
        return self.strip(model, points, edit, self.range, self.n, f"{self.word} on {edit.origin['moved']}")


#: When a style acts.
_WHEN = {"early": (0.0, 0.3), "late": (0.3, 1.0), "always": (0.0, 1.0)}


class Style(Editing):
    """Draw PROMPT with a style from one strength to another, by slerp towards the text with the phrase."""

    kind: ClassVar[str] = "style"
    brief: ClassVar[str] = "Draw a strip of a style's strength."
    prompt: str = argument(_PROMPT)
    phrase: str = needed('The style, e.g. "Monet style".')
    range: Range | None = option(None, "First and last strength; below 0 weakens.  [default: 0:0.5]")
    n: int = option(6, "Pictures in a strip.", flag="-n", ge=1, le=1000)
    when: Literal["early", "late", "always"] = option("always", "The steps in which it acts.")
    difference: bool = option(False, "Move by what the phrase changes in this prompt.")
    in_span: bool = option(False, "Move the phrase's own tokens alone.")

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.edit.style import style

        points = self.points(model, self.prompt)
        edit = style(
            model,
            points[0],
            self.phrase,
            difference=self.difference,
            in_span=self.in_span,
            window=_WHEN[self.when],
        )
        return self.strip(model, points, edit, self.range, self.n, self.phrase)


class Guide(Editing):
    """Draw PROMPT from its own encoding, guided during the diffusion by a direction or a phrase."""

    kind: ClassVar[str] = "guide"
    brief: ClassVar[str] = "Draw a strip that is steered during the diffusion."
    prompt: str = argument(_PROMPT)
    direction: str | None = option(None, _NAMED)
    phrase: str | None = option(None, "A phrase to guide towards, by itself.")
    range: Range | None = option(None, "First and last strength of the term.  [default: the edit's own]")
    scale: float | None = option(
        None, "Scale of the direction in the edit that guides.  [default: 1 if it is calibrated, else 2]"
    )
    quantile: float = option(0.9, "Share of the picture that the mask leaves alone.", ge=0, lt=1)
    window: When | None = option(None, f"{WHEN_HELP}  [default: 0.2:1, of one or two steps all]")
    on: str | None = option(None, "For a direction: move these words of the prompt alone.")
    n: int = option(5, "Pictures in a strip.", flag="-n", ge=1, le=1000)

    def check(self) -> None:
        """See `Request.check`."""
        super().check()
        if (self.direction is None) == (self.phrase is None):
            raise AstrogateError("name one thing to guide by", "a direction, or a phrase")
        if self.phrase is not None:
            self.refuse_idle(("scale", "on"), "beside a phrase", "guide by a direction")

    def files(self) -> dict[str, Path]:
        """See `Request.files`."""
        named = [self.direction] if self.direction is not None and is_file(self.direction) else []
        return super().files() | {spec: Path(spec) for spec in named}

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.core.parts import late
        from astrogate.methods.edit.guidance import guide, toward

        points = self.points(model, self.prompt)
        window = self.window or late(self.recipe(model).num_inference_steps)
        if self.phrase is not None:
            edit = toward(model, self.phrase, quantile=self.quantile, window=window)
        else:
            by = direction_of(model, str(self.direction)).at(points[0], on=self.on)
            scale = by.range[1] if self.scale is None else self.scale
            edit = guide(points[0], by, scale, quantile=self.quantile, window=window)
        return self.strip(model, points, edit, self.range, self.n, edit.name)


class Grid(Editing):
    """Draw PROMPT under two directions at once: one varies across, the other down."""

    kind: ClassVar[str] = "grid"
    brief: ClassVar[str] = "Draw a grid of two directions."
    prompt: str = argument(_PROMPT)
    across: str = needed(_NAMED)
    down: str = needed(_NAMED)
    range: Range | None = option(None, _RANGE)
    n: int = option(5, "Pictures per side.", flag="-n", ge=1, le=100)
    on: str | None = option(None, "Move these words of the prompt alone.")
    window: When = option((0.0, 1.0), WHEN_HELP)

    def check(self) -> None:
        """See `Request.check`."""
        super().check()
        if self.seeds > 1:
            raise AstrogateError(f"{self.seeds} seeds", "a grid takes one")

    def total(self) -> int:
        """See `Request.total`."""
        return self.n * self.n

    def files(self) -> dict[str, Path]:
        """See `Request.files`."""
        return super().files() | {spec: Path(spec) for spec in (self.across, self.down) if is_file(spec)}

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.rendering.strip import labels, spaced, span, told

        point = self.points(model, self.prompt)[0]
        across, down = (
            direction_of(model, spec).at(point, on=self.on, window=self.window) for spec in (self.across, self.down)
        )
        steps = spaced(*span([across, down], *(self.range or (None, None))), self.n)
        heads = tuple(labels(steps))
        return self.drawn(
            model,
            [point.apply(across, a).apply(down, d) for d in steps for a in steps],
            heads,
            rows=heads,
            middle=self.n * self.n // 2,
            facts={"across": told(across), "down": told(down), "scales": steps, "seeds": [self.seed]},
            line=f"{across.name} across, {down.name} down, {self.n} x {self.n} pictures",
        )


class Manipulate(Editing):
    """Change one word's weight in an explained concept (its run's folder), and draw at the same seed."""

    kind: ClassVar[str] = "manipulate"
    brief: ClassVar[str] = "Draw a concept with more or less of one of its words."
    run: InputFile = argument("The run's folder, or its basis.")
    token: str = needed("The word whose weight is changed.")
    range: Range | None = option(None, "First and last scale: -1 is without the word, 0 as it is.  [default: -1:1]")
    most: float = option(3.0, "What the weight is multiplied by at scale 1.", gt=1, le=1000)
    n: int = option(7, "Pictures in a strip.", flag="-n", ge=1, le=1000)
    prompt: str | None = option(None, "Another prompt that contains the concept.")
    window: When = option((0.0, 1.0), WHEN_HELP)

    def check(self) -> None:
        """See `Request.check`."""
        super().check()
        if self.range is not None and not all(-1 <= scale <= 1 for scale in self.range):
            raise AstrogateError(f"a range of {self.range[0]:g} to {self.range[1]:g}", "use scales from -1 to 1")
        self.basis()

    def folders(self) -> tuple[Path | None, ...]:
        """See `Request.folders`."""
        return (*super().folders(), self.run)

    def basis(self) -> Basis:
        """What the run found. Raises AstrogateError for a folder without one."""
        from astrogate.core.basis import Basis
        from astrogate.methods.concept.explain import RESULT

        return Basis.load(self.run / RESULT if self.run.is_dir() else self.run)

    def plan(self, model: Model) -> Plan:
        """See `Request.plan`."""
        from astrogate.methods.concept.manipulate import manipulate, whole
        from astrogate.rendering.strip import spaced

        basis = self.basis()
        steps = spaced(*(self.range or (-1.0, 1.0)), self.n)
        factors = [1 + s if s <= 0 else 1 + s * (self.most - 1) for s in steps]

        def make(text: str, seed: int) -> Point:
            return self.point(model, text, seed)

        options: dict[str, Any] = {"prompt": self.prompt, "make": make}
        edit = manipulate(model, basis, self.token, [*factors, self.most], window=self.window, **options)
        points = whole(model, basis, self.token, list(self.chosen()), **options)
        points = points if self.hold is None else [point.held(*self.hold) for point in points]
        return self.strip(model, points, edit, self.range, self.n, f"{self.token} in {basis.name}")
