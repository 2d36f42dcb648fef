"""Commands that draw, one for each kind of request; `again` and `show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from astrogate.actions.output import perform
from astrogate.actions.request import Request, digest
from astrogate.actions.table import REQUESTS
from astrogate.app.cli.options import PATH, made, parameters, progress
from astrogate.app.cli.text import printable
from astrogate.core.errors import AstrogateError

#: What a result is called unless another name is given.
_OUTPUTS = {"walk": "walk.mp4", "pan": "pan.mp4"}


def command_of(kind: type[Request]) -> click.Command:
    """The command of a kind of request."""
    moving = kind.kind in _OUTPUTS
    output = click.Option(
        ["-o", "--output"],
        default=_OUTPUTS.get(kind.kind, f"{kind.kind}.png"),
        show_default=True,
        type=PATH,
        help="A video (.mp4, .webm, .gif, .webp), a sheet (.png), or a folder of frames."
        if moving
        else "A sheet (.png), or a folder of pictures.",
    )

    def run(output: Path, **given: Any) -> None:
        plan = perform(made(kind, given), output, watch=progress)
        click.echo(printable(f"{output}: {plan.line}"))

    params = [*parameters(kind), output]
    params.sort(key=lambda param: not isinstance(param, click.Argument))
    return click.Command(kind.kind, params=params, callback=run, help=kind.__doc__, short_help=kind.brief)


@click.command(short_help="Draw again what a file holds.")
@click.argument("file", type=PATH)
@click.option("-o", "--output", default=None, type=PATH, help="[default: again- and its name, beside it or its folder]")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="Change an option, e.g. n=9. Repeatable.")
@click.option("--seed", default=None, type=int, help="Another first seed.")
def again(file: Path, output: Path | None, changes: tuple[str, ...], seed: int | None) -> None:
    """Draw again what FILE holds: a picture, a video or a folder of frames that Astrogate drew."""
    from astrogate.actions.again import found

    wanted: dict[str, Any] = {} if seed is None else {"seed": seed}
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise AstrogateError(f"{change!r} changes nothing", "write a name and a value, e.g. n=9")
        wanted[name.replace("-", "_")] = value
    asked = found(file, **wanted)
    for difference in asked.differs:
        click.echo(printable(f"astrogate: warning: {difference}"), err=True)
    named = file if file.name not in ("", "..") else file.resolve()
    if asked.frame is not None:  # among the frames it would be in the way of the next run
        folder = named.resolve().parent
        named = folder.with_name(f"{folder.name}-{named.name}")
    target, before = output or named.with_name(f"again-{named.name}"), _drawn(file)
    plan = perform(asked.request, target, watch=progress, made=asked)
    said = f"{target}: {plan.line}"
    if not asked.changed and target.suffix.lower() == file.suffix.lower():
        said += ", the same bytes" if _drawn(target) == before else ", not the same bytes"
    click.echo(printable(said))


def _drawn(path: Path) -> list[str]:
    """The keys of what was drawn: a file, or the frames in a folder, which may hold other files."""
    return [digest(frame) for frame in (sorted(path.glob("[0-9]*.png")) if path.is_dir() else [path])]


@click.command(short_help="Print how a file was made.")
@click.argument("file", type=PATH)
def show(file: Path) -> None:
    """Print the record of FILE: a picture, a video or a folder of frames that Astrogate drew."""
    from astrogate.rendering.record import read_record

    found = read_record(file)
    try:
        text = json.dumps(found, indent=2, ensure_ascii=True)
    except RecursionError:
        raise AstrogateError(f"the record of {file} is damaged", "name the file as it was written") from None
    command = found.get("command")
    if isinstance(command, str) and command:
        click.echo(f"$ {printable(command)}")
    click.echo(text)


COMMANDS = (*map(command_of, REQUESTS.values()), again, show)
