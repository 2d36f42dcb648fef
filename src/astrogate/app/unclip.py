"""Commands of unCLIP: `imagine`, `vary`, `blend`, `diff`, `probe`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from astrogate.app.options import BATCH, RANGE, check_output, progress, taking
from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.point import Point
    from astrogate.core.protocols import UnCLIP
    from astrogate.core.recipe import Frame, Recipe
    from astrogate.ops.quantise import Codebook

_COUNT = click.option("-n", "count", default=8, show_default=True, help="Pictures in a strip.")
_ITERATIONS = click.option("--iterations", default=5, show_default=True, help="Of every step of the inversion.")


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
        from astrogate.methods.encode import unclip
        from astrogate.models.load import load

        return unclip(
            load(self.model, device=self.device, dtype=self.dtype, offline=self.offline, prior=self.prior_model)
        )

    def encoded(self, stack: UnCLIP, images: Sequence[Path], iterations: int) -> list[Point]:
        """Picture files as points, at the stack's own size."""
        import torch

        from astrogate.methods.encode import encode
        from astrogate.rendering.invert import fitted
        from astrogate.rendering.picture import read_picture

        side = stack.picture_size
        pictures = torch.stack([fitted(read_picture(path), side, side) for path in images])
        return encode(
            stack,
            pictures,
            seed=self.seed,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance,
            iterations=iterations,
        )


def _stacked(steps: int, guidance: float) -> Callable[[Callable[..., None]], Callable[..., None]]:
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


def _output(name: str) -> Any:
    return click.option("-o", "--output", default=name, show_default=True, type=click.Path(path_type=Path))


def _draw(stack: UnCLIP, points: Sequence[Point], recipe: Recipe, batch: int) -> list[Frame]:
    from astrogate.rendering.render import render

    return list(progress(render(stack, points, recipe=recipe, batch_size=batch), len(points)))


def _save(frames: Sequence[Frame], output: Path, labels: Sequence[str], rows: Sequence[str] = (), **more: Any) -> None:
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
@_output("imagine.png")
@_stacked(20, 3.0)
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
    from astrogate.methods.prior import prior
    from astrogate.rendering.upscale import upscale

    _check_count(count)
    check_output(output)
    recipe, stack = setup.recipe(), setup.load()
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
    )
    frames = _draw(stack, points, recipe, setup.batch)
    if larger:
        frames = list(progress(upscale(stack, frames), count))
    _save(
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
@_ITERATIONS
@_output("vary.png")
@_stacked(50, 1.0)
def vary(
    image: Path, eta: tuple[float, float], seeds: int, count: int, iterations: int, output: Path, setup: Stacked
) -> None:
    """Draw IMAGE again with more and more of it left to chance; at eta 0 it is the reconstruction."""
    from astrogate.methods.slide import scales
    from astrogate.methods.vary import vary as varied

    _check_count(count)
    check_output(output)
    first, last = (replace(setup.recipe(), eta=value) for value in eta)
    etas = scales(first.eta, last.eta, count)
    stack = setup.load()
    points = varied(setup.encoded(stack, [image], iterations)[0], seeds, seed=setup.seed)
    columns = [_draw(stack, points, replace(first, eta=value), setup.batch) for value in etas]
    frames = [column[row] for row in range(seeds) for column in columns]
    rows = [f"seed {setup.seed + i}" for i in range(seeds)] if seeds > 1 else []
    _save(frames, output, [f"eta {value:.2g}" for value in etas], rows, etas=etas)


@click.command(short_help="Go from one picture to another through CLIP's space.")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--noises", default=0, show_default=True, help="More rows, each with one noise from end to end.")
@_COUNT
@_ITERATIONS
@_output("blend.png")
@_stacked(50, 1.0)
def blend(first: Path, second: Path, noises: int, count: int, iterations: int, output: Path, setup: Stacked) -> None:
    """Draw the way from FIRST to SECOND; in the first row the noise turns, too, and the ends are reconstructions."""
    from astrogate.methods.blend import blend as blended
    from astrogate.methods.slide import scales

    _check_count(count)
    if not 0 <= noises <= 100:
        raise AstrogateError(f"{noises} noises", "ask for 0 to 100")
    check_output(output)
    recipe, stack = setup.recipe(), setup.load()
    a, b = setup.encoded(stack, [first, second], iterations)
    chosen = [None, *range(setup.seed, setup.seed + noises)]
    us = scales(0.0, 1.0, count)
    points = [point for seed in chosen for point in blended(a, b, seed=seed).sample(us)]
    rows = ["both noises", *(f"noise {seed}" for seed in chosen[1:])] if noises else []
    _save(
        _draw(stack, points, recipe, setup.batch),
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
@_ITERATIONS
@_output("diff.png")
@_stacked(50, 1.0)
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
    from astrogate.methods.slide import scales
    from astrogate.methods.textdiff import check_theta, textdiff

    _check_count(count)
    check_output(output)
    thetas = scales(*map(check_theta, theta), count)
    recipe, stack = setup.recipe(), setup.load()
    point = setup.encoded(stack, [image], iterations)[0]
    points = [textdiff(stack, point, before, after, value) for value in thetas]
    _save(
        _draw(stack, points, recipe, setup.batch),
        output,
        [f"{value:.2g}" for value in thetas],
        before=before,
        after=after,
    )


@click.command(short_help="See a picture through the first components of CLIP's space.")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--ranks", default="1,2,4,8,16,32", show_default=True, help="Numbers of components, with commas.")
@click.option(
    "--pictures", default=None, type=click.Path(path_type=Path), help="Folder whose pictures give the components."
)
@_ITERATIONS
@_output("probe.png")
@_stacked(50, 1.0)
def probe(image: Path, ranks: str, pictures: Path | None, iterations: int, output: Path, setup: Stacked) -> None:
    """Draw IMAGE from ever more of the principal components of image embeddings, then whole."""
    from astrogate.methods.probe import probe as probed

    try:
        chosen = [int(rank) for rank in ranks.split(",")]
    except ValueError:
        raise AstrogateError(f"ranks {ranks!r}", "write numbers with commas, e.g. --ranks 1,4,16") from None
    check_output(output)
    recipe, stack = setup.recipe(), setup.load()
    codebook = _components(stack, pictures)
    point = setup.encoded(stack, [image], iterations)[0]
    points = [*probed(point, codebook, chosen), point]
    _save(_draw(stack, points, recipe, setup.batch), output, [*(f"{rank}" for rank in chosen), "all"], ranks=chosen)


def _components(stack: Any, folder: Path | None) -> Codebook:
    """Principal components: those of the stack's autoregressive prior, or of the pictures in a folder."""
    import torch

    from astrogate.ops.quantise import fit_codebook
    from astrogate.rendering.invert import fitted
    from astrogate.rendering.picture import read_picture

    if folder is None:
        kept = stack.stack.parts.get("codebook")
        if kept is None:
            raise AstrogateError(f"{stack.name} keeps no components", "name a folder of pictures with --pictures")
        return kept[0]
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    side = stack.picture_size
    found = [fitted(read_picture(path), side, side) for path in files]
    if not found:
        raise AstrogateError(f"{folder} holds no pictures", "name a folder of PNG, JPEG or WebP files")
    z = torch.cat([stack.embed(torch.stack(found[i : i + 50])) for i in range(0, len(found), 50)])
    return fit_codebook(z, rank=z.shape[1])


def _check_count(count: int) -> None:
    if not 1 <= count <= 1000:
        raise AstrogateError(f"{count} pictures", "ask for 1 to 1000")
