"""The command line. Commands parse, call the floors below and print; heavy modules load when a command runs."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astrogate.core.errors import AstrogateError, AstrogateWarning

if TYPE_CHECKING:
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame, Recipe


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


class _Range(click.ParamType):
    """Two numbers, LOW:HIGH."""

    name = "low:high"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        low, _, high = str(value).partition(":")
        try:
            return float(low), float(high)
        except ValueError:
            raise AstrogateError(f"{value!r} is not a range", "write two numbers, e.g. --scales=-2:2") from None


@dataclass(frozen=True, slots=True)
class _Setup:
    """The options of every command that draws."""

    model: str
    negative: str
    size: int | None
    steps: int
    guidance: float
    scheduler: str | None
    device: str | None
    dtype: str
    offline: bool

    def recipe(self) -> Recipe:
        """The sampler settings, checked."""
        from astrogate.core.recipe import Recipe

        return Recipe(self.steps, self.guidance, self.scheduler, self.size, self.size, self.dtype)

    def load(self) -> Model:
        """The model."""
        from astrogate.models.load import load

        return load(self.model, device=self.device, dtype=self.dtype, offline=self.offline)


_SETUP = (
    click.option("--model", default="menagerie", show_default=True, help="A diffusers folder or a hub id."),
    click.option("--negative", default="", help="Negative prompt."),
    click.option("--size", default=None, type=int, help="Side of a picture in pixels."),
    click.option("--steps", default=20, show_default=True, help="Denoising steps."),
    click.option("--guidance", default=4.0, show_default=True, help="Guidance scale; 1 is none."),
    click.option("--scheduler", default=None, help="A diffusers scheduler, e.g. DPMSolverMultistep."),
    click.option("--device", default=None, help="cpu, cuda, mps; by default a CUDA GPU if there is one."),
    click.option("--dtype", default="float32", show_default=True, help="float32, float16 or bfloat16."),
    click.option("--offline", is_flag=True, help="Never ask the hub; use the local cache."),
)


def _draws(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_Setup`, as one argument `setup`."""
    names = [field.name for field in fields(_Setup)]

    @wraps(command)
    def call(**options: Any) -> None:
        command(setup=_Setup(*(options.pop(name) for name in names)), **options)

    for option in reversed(_SETUP):
        call = option(call)
    return call


@main.command(short_help="Draw a strip that slides from one word to its opposite.")
@click.argument("prompt")
@click.option("--toward", required=True, help="The word to move towards, e.g. fat.")
@click.option("--away", required=True, help="The word to move away from, e.g. thin.")
@click.option("--scales", default="-2:2", show_default=True, type=_Range(), help="Strengths of the first and the last.")
@click.option("-n", "count", default=7, show_default=True, help="Pictures in a strip.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first strip.")
@click.option("--seeds", default=1, show_default=True, help="Strips, one seed each.")
@click.option("--on", default=None, help="Move this word of the prompt alone.")
@click.option("-o", "--output", default="slide.png", show_default=True, type=click.Path(path_type=Path))
@_draws
def slide(
    prompt: str,
    toward: str,
    away: str,
    scales: tuple[float, float],
    count: int,
    seed: int,
    seeds: int,
    on: str | None,
    output: Path,
    setup: _Setup,
) -> None:
    """Draw PROMPT in a strip that slides from one word to its opposite, all else equal."""
    from astrogate.methods import slide as method
    from astrogate.methods.contrast import contrast
    from astrogate.rendering.png import save_png
    from astrogate.rendering.render import render
    from astrogate.rendering.sheet import sheet

    positions, recipe = method.scales(*scales, count), setup.recipe()
    if not 1 <= seeds <= 1000:
        raise AstrogateError(f"{seeds} strips", "ask for 1 to 1000")
    _check_output(output)
    model = setup.load()
    direction, chosen = contrast(model, toward, away), range(seed, seed + seeds)
    points = [
        point
        for s in chosen
        for point in method.slide(
            model.point(prompt, seed=s, negative=setup.negative, height=setup.size, width=setup.size),
            direction,
            *scales,
            n=count,
            on=on,
        )
    ]
    frames = list(_progress(render(model, points, recipe=recipe), len(points)))
    rows = [f"seed {s}" for s in chosen] if seeds > 1 else []
    page = sheet(frames, columns=count, labels=method.labels(positions), rows=rows)
    more = {"direction": dict(direction.origin), "on": on, "scales": positions, "seeds": list(chosen)}
    save_png(page, output, frame=frames[count // 2], more=more)
    click.echo(f"{output}: {direction.name}, {seeds} x {count} pictures")


def _check_output(path: Path) -> None:
    """Fail before any work if the file cannot be written."""
    folder = next(p for p in (path.absolute().parent, *path.absolute().parent.parents) if p.exists())
    odd = path.exists() and not path.is_file()
    if odd or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise AstrogateError(f"cannot write {path}", "name a writable file")


def _progress(frames: Iterable[Frame], total: int) -> Iterable[Frame]:
    from tqdm import tqdm

    return tqdm(frames, total=total, unit="picture", disable=not sys.stderr.isatty(), leave=False)


@main.command(short_help="Draw strips and a grid with the shipped model, on one page.")
@click.option("-o", "--output", default="demo", show_default=True, type=click.Path(path_type=Path), help="Folder.")
@click.option("--seed", default=7, show_default=True)
@click.option("--device", default=None)
def demo(output: Path, seed: int, device: str | None) -> None:
    """Draw strips and a grid with the shipped model, read them with its oracle, and write one page."""
    from astrogate.studies.demo import write_demo

    _check_output(output / "index.html")
    page = write_demo(output, seed=seed, device=device, report=lambda text: click.echo(text))
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
    _check_output(output)
    card_of_shipped(output, captions=captions, witness=witness, device=device, report=lambda text: click.echo(text))
    click.echo(f"wrote {output}")


@main.group()
def bench() -> None:
    """Measure methods against the ground truth."""


@bench.command(short_help="Rank correlation of scale and read factor within strips.")
@click.option("--seeds", default=8, show_default=True, help="Seeds a subject.")
@click.option("--scales", default="-2:2", show_default=True, type=_Range())
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
