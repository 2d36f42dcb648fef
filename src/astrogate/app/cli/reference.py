"""Pages that are made of the program itself: the command line's reference, and the table of the families' rows.

`python -m astrogate.app.cli.reference docs` writes `docs/cli.md` and the table in `docs/models.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from astrogate.app.cli.main import main
from astrogate.core.files import write_text


def below(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group by their names; none, for what is no group."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: other for name, other in found.items() if other is not None}


def _helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    yield path, click.Context(command, info_name=path, terminal_width=100, **main.context_settings).get_help()
    for name, other in below(command).items():
        yield from _helps(other, f"{path} {name}")


def reference() -> str:
    """Every command's help as one Markdown page."""
    sections = [f"## `{path}`\n\n```text\n{text}\n```\n" for path, text in _helps(main, "astrogate")]
    return "# The command line\n\nWritten by `make docs` from the commands' own help.\n\n" + "\n".join(sections)


def table() -> str:
    """What each family can do, by the rows, as a Markdown table."""
    from astrogate.models.family import ABILITIES
    from astrogate.models.registry import families

    rows = families()
    told = [ability for ability in ABILITIES if any(ability in row.can for row in rows)]
    lines = [f"| Family | {' | '.join(told)} |", f"|---|{'---|' * len(told)}"]
    lines += [f"| {row.name} | {' | '.join('x' if ability in row.can else '' for ability in told)} |" for row in rows]
    meanings = [f"- `{ability}`: {ABILITIES[ability]}" for ability in told]
    return "\n".join([*lines, "", "What a model can do:", "", *meanings])


def with_table(page: str) -> str:
    """A page with the table between its two marks."""
    head, _, rest = page.partition(_START)
    return f"{head}{_START}\n{table()}\n{_END}{rest.partition(_END)[2]}"


_START, _END = "<!-- families: written by `make docs` -->", "<!-- end of families -->"

if __name__ == "__main__":
    docs = Path(sys.argv[1])
    write_text(docs / "cli.md", reference())
    write_text(docs / "models.md", with_table((docs / "models.md").read_text()))
