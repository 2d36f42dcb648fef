"""The command line's reference, from its own help: `python -m astrogate.app.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator

import click

from astrogate.app.cli.main import main


def _helps(command: click.Command, path: str) -> Iterator[tuple[str, str]]:
    yield path, click.Context(command, info_name=path, terminal_width=100, **main.context_settings).get_help()
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _helps(command.commands[name], f"{path} {name}")


def reference() -> str:
    """Every command's help as one Markdown page."""
    sections = [f"## `{path}`\n\n```text\n{text}\n```\n" for path, text in _helps(main, "astrogate")]
    return "# The command line\n\nWritten by `make docs` from the commands' own help.\n\n" + "\n".join(sections)


if __name__ == "__main__":
    click.echo(reference(), nl=False)
