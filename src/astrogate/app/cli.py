"""The command line. Commands parse, call the floors below and print; heavy modules load when a command runs."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import click

from astrogate.app.direction import direction
from astrogate.app.options import Loading, Range, check_output, loads
from astrogate.app.strips import grid, guide, slide, style
from astrogate.core.errors import AstrogateError, AstrogateWarning


class _Group(click.Group):
    """Every error is one line that names the remedy, and exit 2; so is a warning, without the exit."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command as click would, but print errors in one line."""
        told: set[str] = set()

        def tell(message: Warning | str, *_: Any) -> None:
            if (text := " ".join(str(message).split())) not in told:
                told.add(text)
                click.echo(f"astrogate: warning: {text}", err=True)

        warnings.showwarning = tell
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", AstrogateWarning)
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except AstrogateError as error:
            code = _fail(str(error))
        except click.ClickException as error:
            code = _fail(f"{error.format_message()} (see --help)")
        except OSError as error:
            code = _fail(f"{error.filename or 'a file'}: {error.strerror or error}: free it, or name another")
        except (click.Abort, KeyboardInterrupt):
            code = _fail("stopped", 130)
        sys.exit(code if isinstance(code, int) else 0)


def _fail(text: str, code: int = 2) -> int:
    click.echo(f"astrogate: {' '.join(text.split())}", err=True)
    return code


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="astrogate")
def main() -> None:
    """Navigate, steer and explain the latent spaces of text-to-image diffusion models."""


main.add_command(slide)
main.add_command(style)
main.add_command(guide)
main.add_command(grid)
main.add_command(direction)


@main.command(short_help="Draw strips and a grid with the shipped model, on one page.")
@click.option("-o", "--output", default="demo", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--seed", default=7, show_default=True)
@click.option("--device", default=None)
def demo(output: Path, seed: int, device: str | None) -> None:
    """Draw strips and a grid with the shipped model, read them with its oracle, and write one page."""
    from astrogate.studies.demo import write_demo

    check_output(output / "index.html")
    page = write_demo(output, seed=seed, device=device, tell=click.echo)
    click.echo(f"open {page}")


@main.command()
def models() -> None:
    """Say which models can be loaded, and what the shipped one is."""
    import json

    from astrogate.models.load import FAMILIES, SHIPPED, shipped_folder

    card = json.loads((shipped_folder() / "card.json").read_text())
    click.echo(f"{SHIPPED}: shipped, {card['size']} px, {card['parameters'] / 1e6:.1f} M parameters, {card['preset']}")
    click.echo("a diffusers folder or hub id (owner/name, owner/name@revision) of:")
    for family in FAMILIES:
        click.echo(f"  {family}")


@main.command(short_help="Measure the shipped model and write its card.")
@click.option("-o", "--output", default="docs/menagerie.md", show_default=True, type=click.Path(path_type=Path))
@click.option("--captions", default=1000, show_default=True, help="Held-out captions to draw.")
@click.option("--witness", default=None, type=click.Path(path_type=Path), help="Folder of a trained witness.")
@click.option("--device", default=None)
def card(output: Path, captions: int, witness: Path | None, device: str | None) -> None:
    """Measure the shipped model and write its card, with the numbers as JSON and sheets of samples beside it."""
    from astrogate.studies.card import card_of_shipped

    if captions < 100:
        raise AstrogateError(f"{captions} captions", "ask for 100 or more: retrieval is among 100")
    check_output(output)
    card_of_shipped(output, captions=captions, witness=witness, device=device, report=lambda text: click.echo(text))
    click.echo(f"wrote {output}")


@main.group()
def bench() -> None:
    """Measure methods against the ground truth."""


@bench.command(short_help="Rank correlation of scale and read factor within strips.")
@click.option("--seeds", default=8, show_default=True, help="Seeds a subject.")
@click.option("--scales", default="-2:2", show_default=True, type=Range())
@click.option("--device", default=None)
def strips(seeds: int, scales: tuple[float, float], device: str | None) -> None:
    """Rank correlation of scale and read factor within strips of the shipped model, 6 subjects a seed."""
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.load import load
    from astrogate.studies.strips import score_strips

    if seeds < 1:
        raise AstrogateError(f"{seeds} seeds", "ask for 1 or more")
    model = load(device=device)
    for score in score_strips(model, load_oracle(), seeds=range(100, 100 + seeds), low=scales[0], high=scales[1]):
        curve = " ".join(f"{value:+.2f}" for value in score.curve)
        click.echo(f"{score.factor:7} Spearman {score.estimate} over {score.estimate.n} strips; mean readings {curve}")


@bench.command(short_help="What else changes when an edit has done its work, by method.")
@click.option("-o", "--output", default="docs/leakage.md", show_default=True, type=click.Path(path_type=Path))
@click.option("--cells", default=Path("runs/leakage"), show_default=True, type=click.Path(path_type=Path))
@click.option("--clip", "clip_folder", default=None, help="For another model: the CLIPModel folder that reads.")
@click.option("--tune", "tuning", is_flag=True, help="Compare options of ours on the tuning half instead.")
@click.option("--seeds", default=8, show_default=True, help="Seeds a cell.")
@click.option("--steps", default=20, show_default=True, help="Denoising steps.")
@loads
def leakage(
    output: Path, cells: Path, clip_folder: str | None, tuning: bool, seeds: int, steps: int, loading: Loading
) -> None:
    """Change attributes by every method and read, at equal effect, what else changed. What is done is kept."""
    from astrogate.core.recipe import Recipe
    from astrogate.studies import leaderboard

    if seeds < 1:
        raise AstrogateError(f"{seeds} seeds", "ask for 1 or more")
    check_output(output)
    recipe, chosen = Recipe(steps), tuple(range(200, 200 + seeds))
    reader, _ = leaderboard.readers(loading.model, clip_folder)
    measured = leaderboard.bench_of(loading.load(), reader, cells, recipe, chosen)
    if tuning:
        for options, row in leaderboard.tune(measured, click.echo):
            click.echo(f"{row.leakage} outside {row.background}, {row.reached} of {row.cells}: {options}")
        return
    leaderboard.write_leaderboard(leaderboard.run_leaderboard(measured, click.echo), output)
    click.echo(f"wrote {output}")


@bench.command(short_help="What several sliders do to one another.")
@click.option("--scale", default=1.5, show_default=True, help="What every slider is set to.")
@click.option("--cells", default=Path("runs/leakage"), show_default=True, type=click.Path(path_type=Path))
@click.option("--clip", "clip_folder", default=None, help="For another model: the CLIPModel folder that reads.")
@loads
def interactions(scale: float, cells: Path, clip_folder: str | None, loading: Loading) -> None:
    """Set fat, tall, happy, black and spotted alone and in pairs, and read all of them: effects, then interactions."""
    from astrogate.core.recipe import Recipe
    from astrogate.methods.contrast import contrast
    from astrogate.studies import interactions as study
    from astrogate.studies.leaderboard import bench_of, readers
    from astrogate.studies.leakage import REPORTED, TUNED

    reader, _ = readers(loading.model, clip_folder)
    model = loading.load()
    words = {a.word: a for a in (*TUNED, *REPORTED)}
    chosen = [words[w] for w in ("fat", "tall", "happy", "black", "spotted")]
    sliders = {a.word: (contrast(model, a.word, a.opposite), a.target) for a in chosen}
    found = study.interactions(bench_of(model, reader, cells, Recipe()), sliders, scale=scale)
    click.echo("\n".join(study.lines(found)))


@main.group()
def reproduce() -> None:
    """Make again what a seed shows, on one HTML page, with numbers beside its pictures."""


def _page(output: Path, name: str, text: str) -> None:
    from astrogate.core.files import write_text

    write_text(output / f"{name}.html", text)
    click.echo(f"open {output / name}.html")


@reproduce.command(name="latent-directions", short_help="Seed 000: concepts as directions in CLIP space.")
@click.option(
    "-o", "--output", default="reproduced", show_default=True, type=click.Path(path_type=Path), help="Folder."
)
@click.option("--seed", default=7, show_default=True)
@click.option("--clip", "clip_folder", default=None, help="For another model: the CLIPModel folder that reads.")
@loads
def latent_directions(output: Path, seed: int, clip_folder: str | None, loading: Loading) -> None:
    """Fat, tall, black, and fat against happy; how sure each direction is; CLIP-guided generation step by step."""
    from astrogate.studies.leaderboard import readers
    from astrogate.studies.reproduce_directions import latent_directions as made

    check_output(output / "latent-directions.html")
    reader, clip = readers(loading.model, clip_folder)
    _page(output, "latent-directions", made(loading.load(), reader, clip, seed=seed, tell=click.echo))


@reproduce.command(name="style-strength", short_help="Seed 001: a style's strength by slerp, and where it breaks.")
@click.option(
    "-o", "--output", default="reproduced", show_default=True, type=click.Path(path_type=Path), help="Folder."
)
@click.option("--seed", default=7, show_default=True, help="Of the walk from dog to cat.")
@click.option("--seeds", default=8, show_default=True, help="Seeds a prompt.")
@click.option("--device", default=None)
def style_strength(output: Path, seed: int, seeds: int, device: str | None) -> None:
    """The seed's figures 5 to 9 on the shipped model, beside ways that begin later, and where each breaks down."""
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.load import load
    from astrogate.studies.reproduce_style import style_strength as made

    if seeds < 1:
        raise AstrogateError(f"{seeds} seeds", "ask for 1 or more")
    check_output(output / "style-strength.html")
    chosen = tuple(range(300, 300 + seeds))
    page = made(load(device=device), load_oracle(), seed=seed, seeds=chosen, tell=click.echo)
    _page(output, "style-strength", page)


@main.group()
def train() -> None:
    """Train the models that ship with the package."""


@train.command()
@click.option("--preset", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]))
@click.option("--run", "folder", default=None, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option(
    "--stage", "stages", multiple=True, help="Only this stage (vae, clip, unet, oracle, witness); repeatable."
)
@click.option("--resume", is_flag=True, help="Take what the run lacks from the shipped weights.")
@click.option("--seed", default=0, show_default=True)
@click.option("--pack", is_flag=True, help="Put the finished stages into the package.")
def menagerie(preset: str, folder: Path | None, stages: tuple[str, ...], resume: bool, seed: int, pack: bool) -> None:
    """Train Menagerie: data, VAE, CLIP, U-Net, oracle. What is finished is kept; what was cut off goes on."""
    from astrogate.models.load import shipped_folder
    from astrogate.train.menagerie import STAGES, train_menagerie
    from astrogate.train.presets import PRESETS

    unknown = set(stages) - set(STAGES)
    if unknown:
        raise AstrogateError(f"unknown stage {', '.join(sorted(unknown))}", f"choose from {', '.join(STAGES)}")
    if preset == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise AstrogateError("there is no CUDA device", "use --preset cpu")
    folder = folder or Path("runs") / f"menagerie-{preset}"
    start = shipped_folder() if resume else None
    train_menagerie(PRESETS[preset], folder, stages=stages or STAGES, seed=seed, start=start)
    if pack:
        from astrogate.train.packing import assemble

        click.echo(f"packed {assemble(folder, shipped_folder(), preset):,} bytes")
