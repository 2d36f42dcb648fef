"""Commands that draw strips and grids: `slide`, `insert`, `style`, `guide`, `grid`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astrogate.app.cli.options import CURVE, HELD, RANGE, Editing, direction_of, draw, edits
from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.direction import Direction
    from astrogate.core.point import Curve, Half
    from astrogate.core.protocols import Model

_NAMED = 'A saved direction, or two words, e.g. "fat:thin".'
_window = click.option("--window", default="0:1", show_default=True, type=RANGE, help="Shares of the steps.")
_count = click.option("-n", "count", default=7, show_default=True, help="Pictures in a strip.")


def _output(name: str) -> Any:
    return click.option("-o", "--output", default=name, show_default=True, type=click.Path(path_type=Path))


def _directions(model: Model, named: tuple[str, ...], toward: str | None, away: str | None) -> list[Direction]:
    pair = (f"{toward}:{away}",) if toward is not None and away is not None else ()
    return [direction_of(model, spec) for spec in (*pair, *named)]


def _check_named(named: tuple[str, ...], toward: str | None, away: str | None) -> None:
    if (toward is None) != (away is None):
        raise AstrogateError(f"{'--toward' if toward is None else '--away'} is missing", "name both words")
    if toward is None and not named:
        raise AstrogateError("no direction is named", "use --toward and --away, or --direction")


@click.command(short_help="Draw a strip that slides along a direction.")
@click.argument("prompt")
@click.option("--toward", default=None, help="The word to move towards, e.g. fat.")
@click.option("--away", default=None, help="The word to move away from, e.g. thin.")
@click.option("--direction", "named", multiple=True, help=f"{_NAMED} Repeatable: they slide together.")
@click.option("--also", multiple=True, type=HELD, help="A direction held at a scale, e.g. tall:short=1.5. Repeatable.")
@click.option("--scales", default=None, type=RANGE, help="First and last scale.  [default: -2:2, calibrated -1:1]")
@_count
@click.option("--on", default=None, help="Move these words of the prompt alone.")
@_window
@click.option(
    "--curve", "curves", multiple=True, type=CURVE, help="Weights over the steps, e.g. 0.2:0,0.5:1; or one each."
)
@click.option("--half", default="positive", type=click.Choice(["positive", "negative", "both"]), help="Of guidance.")
@_output("slide.png")
@edits
def slide(
    prompt: str,
    toward: str | None,
    away: str | None,
    named: tuple[str, ...],
    also: tuple[tuple[str, float], ...],
    scales: tuple[float, float] | None,
    count: int,
    on: str | None,
    window: tuple[float, float],
    curves: tuple[Curve, ...],
    half: Half,
    output: Path,
    setup: Editing,
) -> None:
    """Draw PROMPT in a strip that slides along one direction or several, all else equal."""
    from astrogate.methods.edit import slide as method

    _check_named(named, toward, away)
    method.scales(*(scales or (-1, 1)), count)
    setup.check(output)
    model = setup.load()
    directions = _directions(model, named, toward, away)
    held = [(direction_of(model, spec), scale) for spec, scale in also]
    curve = list(curves) if len(curves) > 1 else curves[0] if curves else ()
    calibrated = all(d.calibration is not None for d in directions)
    low, high = scales or ((-1.0, 1.0) if calibrated else (-2.0, 2.0))
    points = [
        point
        for start in setup.points(model, prompt)
        for point in method.slide(
            start, directions, low, high, n=count, also=held, on=on, window=window, curve=curve, half=half
        )
    ]
    positions = method.scales(low, high, count)
    more = {
        "directions": [dict(d.origin) for d in directions],
        "also": [{"scale": scale, **d.origin} for d, scale in held],
        "on": on,
        "scales": positions,
    }
    draw(
        model,
        points,
        setup,
        output,
        labels=method.labels(positions),
        middle=count // 2,
        more=more,
    )
    names = " with ".join(d.name for d in directions)
    click.echo(f"{output}: {names}, {setup.seeds} x {count} pictures")


@click.command(short_help="Draw a strip of a word put into the prompt by degrees.")
@click.argument("prompt")
@click.argument("word")
@click.option("--on", required=True, help="The words of the prompt that it is put before, e.g. dog.")
@click.option("--against", default=None, help="The word to put there at scales below 0, e.g. thin.")
@click.option("--scales", default=None, type=RANGE, help="First and last scale.  [default: 0:1.5, against -1.5:1.5]")
@_count
@click.option("--window", default="0.2:1", show_default=True, type=RANGE, help="Shares of the steps.")
@_output("insert.png")
@edits
def insert(
    prompt: str,
    word: str,
    on: str,
    against: str | None,
    scales: tuple[float, float] | None,
    count: int,
    window: tuple[float, float],
    output: Path,
    setup: Editing,
) -> None:
    """Draw PROMPT with WORD put in by degrees, where the denoiser listens, and the rest of the picture held."""
    from astrogate.methods.edit.insert import insert as steer_of
    from astrogate.methods.edit.insert import inserted
    from astrogate.methods.edit.slide import labels
    from astrogate.methods.edit.slide import scales as spaced

    positions = spaced(*(scales or (-1.5 if against else 0.0, 1.5)), count)
    setup.check(output)
    model, recipe = setup.load(), setup.recipe()
    starts = setup.points(model, prompt)
    toward = steer_of(model, starts[0], word, on=on, window=window, recipe=recipe)
    away = steer_of(model, starts[0], against, on=on, window=window, recipe=recipe) if against else toward.scaled(-1)
    points = [inserted(p, toward if s > 0 else away, abs(s), hold=setup.hold) for p in starts for s in positions]
    draw(
        model,
        points,
        setup,
        output,
        labels=labels(positions),
        middle=positions.index(0) if 0 in positions else 0,
        more={
            "insert": {"above": dict(toward.origin), "below": dict(away.origin), "window": window, "hold": setup.hold},
            "against": against,
            "scales": positions,
        },
    )
    click.echo(f"{output}: {word} on {toward.origin['moved']}, {setup.seeds} x {count} pictures")


#: Where the enhancement begins; seed 001 asks for later than the first step.
_WHEN = {"early": (0.0, 0.3), "late": (0.3, 1.0), "always": (0.0, 1.0)}


@click.command(short_help="Draw a strip of a style's strength.")
@click.argument("prompt")
@click.option("--phrase", required=True, help='The style, e.g. "Monet style".')
@click.option("--strength", default="0:0.5", show_default=True, type=RANGE, help="First and last; below 0 weakens.")
@click.option("-n", "count", default=6, show_default=True, help="Pictures in a strip.")
@click.option("--when", default="always", show_default=True, type=click.Choice(list(_WHEN)), help="Steps that move.")
@click.option("--difference", is_flag=True, help="Move by what the phrase changes in this prompt.")
@click.option("--in-span", is_flag=True, help="Move the phrase's own tokens alone.")
@_output("style.png")
@edits
def style(
    prompt: str,
    phrase: str,
    strength: tuple[float, float],
    count: int,
    when: str,
    difference: bool,
    in_span: bool,
    output: Path,
    setup: Editing,
) -> None:
    """Draw PROMPT with a style from one strength to another (seed 001: slerp towards states + phrase)."""
    from astrogate.methods.edit import phrase as method
    from astrogate.methods.edit.slide import labels, scales

    positions = scales(*strength, count)
    setup.check(output)
    model = setup.load()
    points = [
        start.with_steers(
            method.phrase(model, start, phrase, s, difference=difference, in_span=in_span, window=_WHEN[when])
        )
        for start in setup.points(model, prompt)
        for s in positions
    ]
    draw(
        model,
        points,
        setup,
        output,
        labels=labels(positions),
        more={"phrase": phrase, "strengths": positions, "when": when},
    )
    click.echo(f"{output}: {phrase}, {setup.seeds} x {count} pictures")


@click.command(short_help="Draw a strip that is steered during the diffusion.")
@click.argument("prompt")
@click.option("--direction", "named", default=None, help=_NAMED)
@click.option("--phrase", default=None, help="A phrase to guide towards, by itself.")
@click.option("--scales", default="0:4", show_default=True, type=RANGE, help="First and last strength of the term.")
@click.option("--edit", default=2.0, show_default=True, help="Scale of the direction in the edit.")
@click.option("--quantile", default=0.9, show_default=True, help="Share of the picture that the mask leaves alone.")
@click.option("--window", default="0.2:1", show_default=True, type=RANGE, help="Shares of the steps.")
@click.option("--on", default=None, help="Move these words of the prompt alone.")
@click.option("-n", "count", default=5, show_default=True, help="Pictures in a strip.")
@_output("guide.png")
@edits
def guide(
    prompt: str,
    named: str | None,
    phrase: str | None,
    scales: tuple[float, float],
    edit: float,
    quantile: float,
    window: tuple[float, float],
    on: str | None,
    count: int,
    output: Path,
    setup: Editing,
) -> None:
    """Draw PROMPT from its own encoding, guided during the diffusion by a direction or a phrase."""
    from astrogate.core.direction import place
    from astrogate.methods.edit import guidance as method
    from astrogate.methods.edit import slide as strip

    if (named is None) == (phrase is None):
        raise AstrogateError("name one thing to guide by", "use --direction or --phrase")
    positions = strip.scales(*scales, count)
    setup.check(output)
    model = setup.load()
    masked = {"quantile": quantile, "window": window}
    if phrase is not None:
        guides = [method.toward(model, phrase, s, **masked) for s in positions]
        points = [start.with_guides(g) for start in setup.points(model, prompt) for g in guides]
    else:
        direction = direction_of(model, str(named))
        points = [
            start.with_guides(method.guide(place(direction, start, scale=edit, on=on), s, **masked))
            for start in setup.points(model, prompt)
            for s in positions
        ]
    draw(
        model,
        points,
        setup,
        output,
        labels=strip.labels(positions),
        more={"guide": phrase or named, "scales": positions, **masked},
    )
    click.echo(f"{output}: {phrase or named}, {setup.seeds} x {count} pictures")


@click.command(short_help="Draw a grid of two directions.")
@click.argument("prompt")
@click.option("--across", required=True, help=_NAMED)
@click.option("--down", required=True, help=_NAMED)
@click.option("--scales", default=None, type=RANGE, help="First and last scale.  [default: -2:2, calibrated -1:1]")
@click.option("-n", "count", default=5, show_default=True, help="Pictures a side.")
@click.option("--on", default=None, help="Move these words of the prompt alone.")
@_window
@_output("grid.png")
@edits
def grid(
    prompt: str,
    across: str,
    down: str,
    scales: tuple[float, float] | None,
    count: int,
    on: str | None,
    window: tuple[float, float],
    output: Path,
    setup: Editing,
) -> None:
    """Draw PROMPT under two directions at once: one varies across, the other down."""
    from astrogate.core.direction import place
    from astrogate.methods.edit import slide as method

    method.scales(*(scales or (-1, 1)), count)
    setup.check(output)
    if setup.seeds > 1:
        raise AstrogateError(f"{setup.seeds} seeds", "a grid takes one")
    model = setup.load()
    pair = [direction_of(model, spec) for spec in (across, down)]
    low, high = scales or ((-1.0, 1.0) if all(d.calibration is not None for d in pair) else (-2.0, 2.0))
    method.check_range([(d, max(abs(low), abs(high))) for d in pair])
    positions = method.scales(low, high, count)
    start = setup.points(model, prompt)[0]
    a, b = ([place(d, start, scale=s, on=on, window=window) for s in positions] for d in pair)
    labels = method.labels(positions)
    draw(
        model,
        method.grid(start, a, b),
        setup,
        output,
        labels=labels,
        rows=labels,
        middle=count * count // 2,
        more={"across": dict(pair[0].origin), "down": dict(pair[1].origin), "scales": positions},
    )
    click.echo(f"{output}: {pair[0].name} across, {pair[1].name} down, {count} x {count} pictures")
