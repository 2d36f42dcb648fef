"""The command line. Commands parse, call the floors below and print; heavy modules load when a command runs."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import click

from astrogate.actions.options import Loading
from astrogate.actions.output import check_output
from astrogate.app.cli.bench import bench
from astrogate.app.cli.bias import bias
from astrogate.app.cli.concepts import explain, explain_image
from astrogate.app.cli.direction import direction
from astrogate.app.cli.drawing import again, drawing, show
from astrogate.app.cli.options import DEVICE, PATH, READER, RUNS, loads, page_file, printable
from astrogate.app.cli.scores import score, sweep
from astrogate.app.cli.training import train
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.packages import need


class _Group(click.Group):
    """Every error is one line that names the remedy, and exit 2; so is a warning, without the exit."""

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


def _fail(text: str, code: int = 2) -> int:
    click.echo(printable(f"astrogate: {' '.join(text.split())}"), err=True)
    return code


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="astrogate")
def main() -> None:
    """Navigate, steer and explain the latent spaces of text-to-image diffusion models."""


for command in (*drawing, again, show):
    main.add_command(command)
main.add_command(explain)
main.add_command(explain_image)
main.add_command(bias)
main.add_command(score)
main.add_command(sweep)
main.add_command(direction)
main.add_command(bench)
main.add_command(train)


@main.command(short_help="Draw strips and a grid with the shipped model, on one page.")
@click.option("-o", "--output", default="demo", show_default=True, type=PATH, help="Folder.")
@click.option("--seed", default=7, show_default=True, help="The seed of every picture.")
@DEVICE
def demo(output: Path, seed: int, device: str | None) -> None:
    """Draw strips and a grid with the shipped model, read them with its oracle, and write one page."""
    from astrogate.studies.world.demo import write_demo

    check_output(output / "index.html")
    page = write_demo(output, seed=seed, device=device, tell=click.echo)
    click.echo(f"open {page}")


@main.command()
def models() -> None:
    """List the models that can be loaded, and describe the shipped one."""
    import json

    from astrogate.models.loading.locate import SHIPPED, UNCLIP_SHIPPED, shipped_folder, shipped_unclip
    from astrogate.models.registry import families

    card = json.loads((shipped_folder() / "card.json").read_text())
    click.echo(f"{SHIPPED}: shipped, {card['size']} px, {card['parameters'] / 1e6:.1f} M parameters, {card['preset']}")
    if shipped_unclip().is_dir():
        click.echo(f"{UNCLIP_SHIPPED}: shipped, a stack of unCLIP on the same CLIP and VAE")
    click.echo("a diffusers folder or hub id (owner/name, owner/name@revision) of:")
    for family in families():
        click.echo(f"  {family.name}: {', '.join(family.pipelines)}")


@main.command(short_help="Measure the shipped model and write its card.")
@page_file("menagerie.md")
@click.option("--captions", default=1000, show_default=True, help="Held-out captions to draw.")
@click.option("--witness", default=None, type=PATH, help="Folder of a trained witness.")
@DEVICE
def card(output: Path, captions: int, witness: Path | None, device: str | None) -> None:
    """Measure the shipped model and write its card, with the numbers as JSON and sheets of samples beside it."""
    from astrogate.studies.world.card import card_of_shipped

    if captions < 100:
        raise AstrogateError(f"{captions} captions", "ask for 100 or more: retrieval is among 100")
    check_output(output)
    card_of_shipped(output, captions=captions, witness=witness, device=device, report=lambda text: click.echo(text))
    click.echo(f"wrote {output}")


@main.group()
def reproduce() -> None:
    """Reproduce what a source shows, on one HTML page, with numbers beside its pictures."""


_reproduced = click.option("-o", "--output", default="reproduced", show_default=True, type=PATH, help="Folder.")


def _page(output: Path, name: str, text: str) -> None:
    from astrogate.core.files import write_text

    write_text(output / f"{name}.html", text)
    click.echo(f"open {output / name}.html")


@reproduce.command(name="latent-directions", short_help="Concepts as directions in CLIP space.")
@_reproduced
@click.option("--seed", default=7, show_default=True, help="The seed of every picture.")
@READER
@loads
def latent_directions(output: Path, seed: int, clip_folder: str | None, loading: Loading) -> None:
    """Reproduce "Exploring CLIP latent space": fat, tall, black, and fat against happy, with the certainty of each
    direction, and CLIP-guided generation step by step.
    """
    from astrogate.studies.edit.latent_directions import latent_directions as made
    from astrogate.studies.edit.leaderboard import readers

    check_output(output / "latent-directions.html")
    reader, clip = readers(loading.model, clip_folder)
    _page(output, "latent-directions", made(loading.load(), reader, clip, seed=seed, tell=click.echo))


@reproduce.command(name="style-strength", short_help="The strength of a style by slerp, and where it breaks.")
@_reproduced
@click.option("--seed", default=7, show_default=True, help="The seed of the walk from dog to cat.")
@click.option("--seeds", default=8, show_default=True, help="Seeds per prompt.")
@DEVICE
def style_strength(output: Path, seed: int, seeds: int, device: str | None) -> None:
    """Reproduce figures 5 to 9 of Qi (2023) on the shipped model, beside methods that start later, and measure where
    each breaks down.
    """
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.loading.load import load
    from astrogate.studies.edit.style_strength import style_strength as made

    if seeds < 1:
        raise AstrogateError(f"{seeds} seeds", "ask for 1 or more")
    check_output(output / "style-strength.html")
    chosen = tuple(range(300, 300 + seeds))
    page = made(load(device=device), load_oracle(), seed=seed, seeds=chosen, tell=click.echo)
    _page(output, "style-strength", page)


@reproduce.command(name="latent-walks", short_help="Travel through noise and text.")
@_reproduced
@click.option("--seed", default=1, show_default=True, help="Draws both ends of every path.")
@click.option("-n", "frames", default=300, show_default=True, help="Frames of the paths that are scored.")
@click.option("--steps", default=30, show_default=True, help="Denoising steps.")
@click.option("--guidance", default=7.5, show_default=True, help="Guidance scale.")
@click.option("--scheduler", default="DPMSolverMultistep", show_default=True, help="A diffusers scheduler.")
@click.option("--cache", default="runs/frames", show_default=True, type=PATH, help="Folder that keeps the frames.")
@click.option("--clip", "clip_folder", default=None, help="For another model: the CLIPModel folder that compares.")
@loads
def latent_walks(
    output: Path,
    seed: int,
    frames: int,
    steps: int,
    guidance: float,
    scheduler: str,
    cache: Path,
    clip_folder: str | None,
    loading: Loading,
) -> None:
    """Reproduce "Exploring the latent space of text-to-image diffusion models": spread, three interpolations, text,
    translation, slices, InterpScore, a side-by-side video, four prompts.
    """
    from astrogate.core.recipe import Recipe
    from astrogate.measure.clip import clip_for
    from astrogate.rendering.cache import FrameCache
    from astrogate.studies.path.latent_walks import latent_walks as made

    if frames < 3:
        raise AstrogateError(f"{frames} frames", "ask for 3 or more")
    need("matplotlib", "report")
    check_output(output / "latent-walks.html")
    recipe, clip = Recipe(steps, guidance, scheduler, dtype=loading.dtype), clip_for(loading.model, clip_folder)
    kept = FrameCache(cache)
    page = made(loading.load(), clip, seed=seed, frames=frames, recipe=recipe, cache=kept, tell=click.echo)
    _page(output, "latent-walks", page)


@reproduce.command(short_help="The manipulations, probes and priors of DALL-E 2.")
@_reproduced
@click.option("--count", default=48, show_default=True, help="Held-out pictures behind each table.")
@DEVICE
def unclip(output: Path, count: int, device: str | None) -> None:
    """Reproduce DALL-E 2 (Ramesh et al. 2022): variations, interpolations, text diffs, probing, a typographic attack,
    and priors compared with none.
    """
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.methods.image.encode import unclip as as_unclip
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import UNCLIP_SHIPPED
    from astrogate.studies.image.manipulations import unclip as made

    if count < 8:
        raise AstrogateError(f"{count} pictures", "ask for 8 or more")
    check_output(output / "unclip.html")
    stack = as_unclip(load(UNCLIP_SHIPPED, device=device))
    _page(output, "unclip", made(stack, load(device=device), load_oracle(), count=count, tell=click.echo))


@reproduce.command(short_help="What a word means to the model.")
@_reproduced
@RUNS
@click.option("--seed", default=0, show_default=True, help="The seed of the optimisations.")
@DEVICE
def conceptor(output: Path, folder: Path, seed: int, device: str | None) -> None:
    """Reproduce Conceptor (Chefer et al. 2024): eight concepts beside their planted truth, the words of one picture,
    and a sculpture more or less abstract.
    """
    from astrogate.measure.clip import clip_for
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SHIPPED
    from astrogate.studies.concept.decompositions import conceptor as made

    need("matplotlib", "report")
    check_output(output / "conceptor.html")
    clip = clip_for(SHIPPED, None)
    _page(output, "conceptor", made(load(device=device), load_oracle(), clip, folder, seed=seed, tell=click.echo))
