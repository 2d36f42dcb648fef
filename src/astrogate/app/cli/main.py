"""The command line. Commands parse, call the floors below and print; heavy modules load when a command runs."""

from __future__ import annotations

import io
import signal
import sys
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

import click

from astrogate.app.cli.text import printable
from astrogate.core.errors import AstrogateError, AstrogateWarning

#: Every command by its name: the module that has it, imported when it is asked for, and its line in the help.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "again": ("drawing", "Draw again what a file holds."),
    "bench": ("bench", "Measure methods against the ground truth."),
    "bias": ("bias", "Find which group a concept leans to, and even it out."),
    "blend": ("drawing", "Go from one picture to another through CLIP's space."),
    "card": ("shipped", "Measure the shipped model and write its card."),
    "demo": ("shipped", "Draw strips and a grid with the shipped model, on one page."),
    "diff": ("drawing", "Change a picture by the difference of two captions."),
    "direction": ("direction", "Fit, show, combine, calibrate and export directions."),
    "explain": ("concepts", "Take a word apart into the words that it is made of."),
    "explain-image": ("concepts", "Find the words that made one picture of a concept."),
    "grid": ("drawing", "Draw a grid of two directions."),
    "guide": ("drawing", "Draw a strip that is steered during the diffusion."),
    "imagine": ("drawing", "Draw a prompt by a prior, or by none."),
    "insert": ("drawing", "Draw a strip of a word put into the prompt by degrees."),
    "manipulate": ("drawing", "Draw a concept with more or less of one of its words."),
    "models": ("shipped", "List the models that can be loaded, and describe the shipped one."),
    "pan": ("drawing", "Move the window over noise, or over one wide canvas."),
    "probe": ("drawing", "See a picture through the first components of CLIP's space."),
    "reproduce": ("reproduce", "Reproduce what a source shows, on one HTML page, with numbers beside its pictures."),
    "score": ("scores", "Score the frames of a path."),
    "show": ("drawing", "Print how a file was made."),
    "slide": ("drawing", "Draw a strip that slides along a direction."),
    "style": ("drawing", "Draw a strip of a style's strength."),
    "sweep": ("scores", "Draw and score many paths, on this machine or a cluster."),
    "train": ("training", "Train the shipped models, your own stacks of unCLIP, and few-step students."),
    "vary": ("drawing", "Vary a picture: keep what CLIP sees of it."),
    "walk": ("drawing", "Travel from seed to seed, prompt to prompt, or picture to picture."),
}


class _Group(click.Group):
    """Commands are imported when they are asked for, so that help is there at once.

    Every error is one line that names the remedy, and exit 2; so is a warning, without the exit.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name, imported; None for another name."""
        if cmd_name not in COMMANDS:
            return None
        home = import_module(f"astrogate.app.cli.{COMMANDS[cmd_name][0]}")
        return next(command for command in home.COMMANDS if command.name == cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands, of which none is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, brief) for name, (_, brief) in COMMANDS.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command as click would, but print errors in one line."""
        told: set[str] = set()

        def tell(message: Warning | str, *_: Any) -> None:
            if (text := " ".join(str(message).split())) not in told:
                told.add(text)
                click.echo(printable(f"astrogate: warning: {text}"), err=True)

        warnings.showwarning = tell
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", AstrogateWarning)
        if sys.stderr is None:  # pyright: ignore[reportUnnecessaryComparison]
            sys.stderr = io.StringIO()
        for stream in (sys.stdout, sys.stderr):  # which may know fewer letters than a prompt has
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, _terminated)
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except AstrogateError as error:
            code = _fail(str(error))
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message())
            code = 2
        except click.ClickException as error:
            code = _fail(f"{error.format_message()} (see --help)")
        except OSError as error:
            code = _fail(f"{error.filename or 'a file'}: {error.strerror or error}: free it, or name another")
        except (click.Abort, KeyboardInterrupt):  # click's is a RuntimeError
            code = _fail("stopped", 130)
        except (MemoryError, RuntimeError) as error:
            if "memory" not in f"{type(error).__name__} {error}".lower():
                raise
            code = _fail("out of memory: draw fewer pictures at once, smaller ones, or with --offload")
        sys.exit(code if isinstance(code, int) else 0)


def _terminated(*_: Any) -> None:
    """Leave as at Ctrl+C, so that nothing unfinished stays behind."""
    raise KeyboardInterrupt


def _fail(text: str, code: int = 2) -> int:
    click.echo(printable(f"astrogate: {' '.join(text.split())}"), err=True)
    return code


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="astrogate")
def main() -> None:
    """Navigate, steer and explain the latent spaces of text-to-image diffusion models."""
