"""Commands of unCLIP: `imagine`, `vary`, `blend`, `diff`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from astrogate.app.cli.options import BATCH, RANGE, check_output, progress, taking
from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from PIL.Image import Image

    from astrogate.core.point import Point
    from astrogate.core.protocols import UnCLIP
    from astrogate.core.recipe import Frame, Recipe

_COUNT = click.option("-n", "count", default=8, show_default=True, help="Pictures in a strip.")
ITERATIONS = click.option("--iterations", default=5, show_default=True, help="Of every step of the inversion.")


@dataclass(frozen=True, slots=True)
class Stacked:
    """The options of every command that draws from image embeddings."""

    model: str
    prior_model: str | None
    device: str | None
    dtype: str
    offline: bool
    steps: int
    guidance: float
    batch: int
    seed: int

    def recipe(self) -> Recipe:
        """The sampler settings, checked."""
        from astrogate.core.recipe import Recipe

        return Recipe(self.steps, self.guidance)

    def load(self) -> UnCLIP:
        """The stack."""
        from astrogate.methods.image.encode import unclip
        from astrogate.models.loading.load import load

        return unclip(
            load(self.model, device=self.device, dtype=self.dtype, offline=self.offline, prior=self.prior_model)
        )

    def encoded(self, stack: UnCLIP, images: Sequence[Image], iterations: int) -> list[Point]:
        """Pictures as points, at the stack's own size."""
        import torch

        from astrogate.methods.image.encode import encode
        from astrogate.rendering.invert import fitted

        side = stack.picture_size
        pictures = torch.stack([fitted(image, side, side) for image in images])
        return encode(
            stack,
            pictures,
            seed=self.seed,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            iterations=iterations,
        )


def read(*paths: Path) -> list[Image]:
    """Picture files, before anything heavy is loaded."""
    from astrogate.rendering.picture import read_picture

    return [read_picture(path) for path in paths]


def stacked(steps: int, guidance: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `Stacked` as `setup`, with these defaults."""
    return taking(
        Stacked,
        "setup",
        (
            click.option("--model", default="menagerie-unclip", show_default=True, help="A checkpoint of unCLIP."),
            click.option("--prior-model", default=None, help="The prior's own checkpoint, as Kandinsky has it."),
            click.option("--device", default=None, help="cpu, cuda, mps; by default a CUDA GPU if there is one."),
            click.option("--dtype", default="float32", show_default=True, help="float32, float16 or bfloat16."),
            click.option("--offline", is_flag=True, help="Never ask the hub; use the local cache."),
            click.option("--steps", default=steps, show_default=True, help="Denoising steps."),
            click.option("--guidance", default=guidance, show_default=True, help="Guidance scale; 1 is none."),
            BATCH,
            click.option("--seed", default=0, show_default=True, help="The first seed."),
        ),
    )


def output_to(name: str) -> Any:
    return click.option("-o", "--output", default=name, show_default=True, type=click.Path(path_type=Path))


def drawn(stack: UnCLIP, points: Sequence[Point], recipe: Recipe, batch: int) -> list[Frame]:
    from astrogate.rendering.render import render

    return list(progress(render(stack, points, recipe=recipe, batch_size=batch), len(points)))


def save(frames: Sequence[Frame], output: Path, labels: Sequence[str], rows: Sequence[str] = (), **more: Any) -> None:
    """One sheet, of a column a label."""
    from astrogate.rendering.png import save_png
    from astrogate.rendering.sheet import sheet

    save_png(sheet(frames, columns=len(labels), labels=labels, rows=rows), output, frame=frames[0], more=more)
    click.echo(f"{output}: {len(frames)} pictures")


@click.command(short_help="Draw a prompt by a prior, or by none.")
@click.argument("prompt")
@click.option(
    "--prior",
    "kind",
    default="diffusion",
    show_default=True,
    type=click.Choice(["diffusion", "ar", "none"]),
    help="none puts the text's own embedding into the decoder.",
)
@click.option("--candidates", default=2, show_default=True, help="Drawn by the prior; the best fitting is kept.")
@click.option("--prior-guidance", default=None, type=float, help="Guidance of the prior.  [default: the stack's own]")
@click.option("--noise-level", default=0, show_default=True, help="Noise on the embedding, to forgive the prior.")
@click.option("--bare", is_flag=True, help="The decoder does not read the prompt itself.")
@click.option("--upscale", "larger", is_flag=True, help="Enlarge the pictures by the stack's upsamplers.")
@click.option("-n", "count", default=4, show_default=True, help="Pictures, a seed each.")
@output_to("imagine.png")
@stacked(20, 3.0)
def imagine(
    prompt: str,
    kind: Literal["diffusion", "ar", "none"],
    candidates: int,
    prior_guidance: float | None,
    noise_level: int,
    bare: bool,
    larger: bool,
    count: int,
    output: Path,
    setup: Stacked,
) -> None:
    """Draw PROMPT: a prior says what the picture shows, the decoder draws it."""
    from astrogate.methods.image.prior import prior
    from astrogate.rendering.upscale import upscale

    _check_count(count)
    check_output(output)
    recipe, stack = setup.recipe(), setup.load()
    if larger and not stack.upsamplers:
        raise AstrogateError(f"{setup.model} has no upsampler", "leave --upscale out")
    seeds = [setup.seed + i for i in range(count)]
    points = prior(
        stack,
        [prompt] * count,
        seeds=seeds,
        kind=kind,
        candidates=candidates,
        guidance_scale=prior_guidance,
        captioned=not bare,
        noise_level=noise_level,
        batch_size=setup.batch,
    )
    frames = drawn(stack, points, recipe, setup.batch)
    if larger:
        frames = list(progress(upscale(stack, frames), count))
    save(
        frames,
        output,
        [f"seed {seed}" for seed in seeds],
        prior=kind,
        candidates=candidates,
        bare=bare,
        upscaled=larger,
    )


@click.command(short_help="Vary a picture: keep what CLIP sees of it.")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--eta", default="0:1", show_default=True, type=RANGE, help="First and last share of DDPM's noise.")
@click.option("--seeds", default=1, show_default=True, help="Rows, a seed each.")
@_COUNT
@ITERATIONS
@output_to("vary.png")
@stacked(50, 1.0)
def vary(
    image: Path, eta: tuple[float, float], seeds: int, count: int, iterations: int, output: Path, setup: Stacked
) -> None:
    """Draw IMAGE again with more and more of it left to chance; at eta 0 it is the reconstruction."""
    from astrogate.methods.edit.slide import scales
    from astrogate.methods.image.vary import vary as varied

    _check_count(count)
    if not 1 <= seeds <= 1000:
        raise AstrogateError(f"{seeds} rows", "ask for 1 to 1000")
    check_output(output)
    first, last = (replace(setup.recipe(), eta=value) for value in eta)
    etas, shown = scales(first.eta, last.eta, count), read(image)
    stack = setup.load()
    points = varied(setup.encoded(stack, shown, iterations)[0], seeds, seed=setup.seed)
    columns = [drawn(stack, points, replace(first, eta=value), setup.batch) for value in etas]
    frames = [column[row] for row in range(seeds) for column in columns]
    rows = [f"seed {setup.seed + i}" for i in range(seeds)] if seeds > 1 else []
    save(frames, output, [f"eta {value:.2g}" for value in etas], rows, etas=etas)


@click.command(short_help="Go from one picture to another through CLIP's space.")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--noises", default=0, show_default=True, help="More rows, each with one noise from end to end.")
@_COUNT
@ITERATIONS
@output_to("blend.png")
@stacked(50, 1.0)
def blend(first: Path, second: Path, noises: int, count: int, iterations: int, output: Path, setup: Stacked) -> None:
    """Draw the way from FIRST to SECOND; in the first row the noise turns, too, and the ends are reconstructions."""
    from astrogate.methods.edit.slide import scales
    from astrogate.methods.image.blend import blend as blended

    _check_count(count)
    if not 0 <= noises <= 100:
        raise AstrogateError(f"{noises} noises", "ask for 0 to 100")
    check_output(output)
    recipe, shown = setup.recipe(), read(first, second)
    stack = setup.load()
    a, b = setup.encoded(stack, shown, iterations)
    chosen = [None, *range(setup.seed, setup.seed + noises)]
    us = scales(0.0, 1.0, count)
    points = [point for seed in chosen for point in blended(a, b, seed=seed).sample(us)]
    rows = ["both noises", *(f"noise {seed}" for seed in chosen[1:])] if noises else []
    save(
        drawn(stack, points, recipe, setup.batch),
        output,
        [f"{u:.2g}" for u in us],
        rows,
        pictures=[first.name, second.name],
    )


@click.command(short_help="Change a picture by the difference of two captions.")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--from", "before", default="", help='What the picture shows, e.g. "a dog"; by default nothing is said.')
@click.option("--to", "after", required=True, help='What it should become, e.g. "a cat".')
@click.option("--theta", default="0:0.5", show_default=True, type=RANGE, help="First and last share of the way.")
@_COUNT
@ITERATIONS
@output_to("diff.png")
@stacked(50, 1.0)
def diff(
    image: Path,
    before: str,
    after: str,
    theta: tuple[float, float],
    count: int,
    iterations: int,
    output: Path,
    setup: Stacked,
) -> None:
    """Turn what CLIP sees of IMAGE from one caption towards another; the noise stays."""
    from astrogate.methods.edit.slide import scales
    from astrogate.methods.image.textdiff import check_theta, direction, textdiff

    _check_count(count)
    check_output(output)
    thetas = scales(*map(check_theta, theta), count)
    recipe, shown = setup.recipe(), read(image)
    stack = setup.load()
    direction(stack, before, after)
    point = setup.encoded(stack, shown, iterations)[0]
    points = [textdiff(stack, point, before, after, value) for value in thetas]
    save(
        drawn(stack, points, recipe, setup.batch),
        output,
        [f"{value:.2g}" for value in thetas],
        before=before,
        after=after,
    )


def _check_count(count: int) -> None:
    if not 1 <= count <= 1000:
        raise AstrogateError(f"{count} pictures", "ask for 1 to 1000")
