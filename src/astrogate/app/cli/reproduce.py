"""Commands that reproduce what a source shows, each on a page of its own."""

from __future__ import annotations

from pathlib import Path

import click

from astrogate.actions.options import Loading
from astrogate.actions.output import check_output
from astrogate.app.cli.options import COUNT, DEVICE, PATH, READER, RUNS, SEED, loads
from astrogate.core.errors import AstrogateError
from astrogate.core.packages import need


@click.group()
def reproduce() -> None:
    """Reproduce what a source shows, on one HTML page, with numbers beside its pictures."""


_reproduced = click.option("-o", "--output", default="reproduced", show_default=True, type=PATH, help="Folder.")


def _page(output: Path, name: str, text: str) -> None:
    from astrogate.core.files import write_text

    write_text(output / f"{name}.html", text)
    click.echo(f"open {output / name}.html")


@reproduce.command(name="latent-directions", short_help="Concepts as directions in CLIP space.")
@_reproduced
@click.option("--seed", default=7, show_default=True, type=SEED, help="The seed of every picture.")
@READER
@loads
def latent_directions(output: Path, seed: int, clip_folder: str | None, loading: Loading) -> None:
    """Reproduce "Exploring CLIP latent space": fat, tall, black, and fat against happy, with the certainty of each
    direction, and CLIP-guided generation step by step.
    """
    from astrogate.studies.edit.latent_directions import latent_directions as made
    from astrogate.studies.edit.leaderboard import readers

    check_output(output / "latent-directions.html")
    reader, clip = readers(loading.model, clip_folder, offline=loading.offline)
    _page(output, "latent-directions", made(loading.load(), reader, clip, seed=seed, tell=click.echo))


@reproduce.command(name="style-strength", short_help="The strength of a style by slerp, and where it breaks.")
@_reproduced
@click.option("--seed", default=7, show_default=True, type=SEED, help="The seed of the walk from dog to cat.")
@click.option("--seeds", default=8, show_default=True, type=COUNT, help="Seeds per prompt.")
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
@click.option("--seed", default=1, show_default=True, type=SEED, help="Draws both ends of every path.")
@click.option("-n", "frames", default=300, show_default=True, type=COUNT, help="Frames of the paths that are scored.")
@click.option("--steps", default=30, show_default=True, type=COUNT, help="Denoising steps.")
@click.option("--guidance", default=7.5, show_default=True, help="Guidance scale.")
@click.option("--scheduler", default="DPMSolverMultistep", show_default=True, help="A diffusers scheduler.")
@click.option("--cache", default="runs/frames", show_default=True, type=PATH, help="Folder that keeps the frames.")
@click.option(
    "--clip", "clip_folder", default=None, help="For another model: the CLIP (folder or hub id) that compares."
)
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
    recipe = Recipe(steps, guidance, scheduler, dtype=loading.dtype)
    clip = clip_for(loading.model, clip_folder, offline=loading.offline)
    kept = FrameCache(cache)
    page = made(loading.load(), clip, seed=seed, frames=frames, recipe=recipe, cache=kept, tell=click.echo)
    _page(output, "latent-walks", page)


@reproduce.command(short_help="The manipulations, probes and priors of DALL-E 2.")
@_reproduced
@click.option("--count", default=48, show_default=True, type=COUNT, help="Held-out pictures behind each table.")
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
@click.option("--seed", default=0, show_default=True, type=SEED, help="The seed of the optimisations.")
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


COMMANDS = (reproduce,)
