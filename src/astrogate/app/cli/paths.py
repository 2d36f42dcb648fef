"""Commands that travel: `walk` and `pan`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from astrogate.app.cli.key_points import key_points, tell_ends
from astrogate.app.cli.options import Sampling, Setup, check_output, draws, progress, samples
from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.path import Path as Way
    from astrogate.core.point import Point
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame, Recipe
    from astrogate.rendering.cache import FrameCache

_cache = click.option(
    "--cache", default="runs/frames", show_default=True, type=click.Path(path_type=Path), help="Where frames are kept."
)
_clip = click.option("--clip", "clip_folder", default=None, help="A CLIPModel folder that compares the pictures.")
_fps = click.option("--fps", default=24.0, show_default=True, help="Frames a second.")
_fast = click.option("--fast", "quick", is_flag=True, help="bfloat16, and for long runs torch.compile, where they pay.")


def _output(name: str) -> Any:
    text = "A video (.mp4, .webm, .gif, .webp), a sheet (.png), or a folder of frames."
    return click.option("-o", "--output", default=name, show_default=True, type=click.Path(path_type=Path), help=text)


@click.command(short_help="Travel from seed to seed, prompt to prompt, or picture to picture.")
@click.argument("prompt", required=False)
@click.option("--prompts", multiple=True, help="A key point's prompt, in the place of PROMPT. Repeatable.")
@click.option("--seed", default=0, show_default=True, help="Draws both ends, unless the next two say otherwise.")
@click.option("--from-seed", default=None, type=int, help="Draws the noise of the start.")
@click.option("--to-seed", default=None, type=int, help="Draws the noise of the end.")
@click.option("--start-image", default=None, type=click.Path(path_type=Path), help="A picture to start from.")
@click.option("--end-image", default=None, type=click.Path(path_type=Path), help="A picture to end at.")
@click.option("--by", default="slerp", show_default=True, type=click.Choice(["slerp", "nlerp", "lerp"]))
@click.option("--loop", "closed", is_flag=True, help="Come back to the start.")
@click.option(
    "--timing", default="uniform", show_default=True, type=click.Choice(["uniform", "eased", "perceptual", "retimed"])
)
@click.option("-n", "count", default=60, show_default=True, help="Frames.")
@_fps
@_fast
@_cache
@_clip
@_output("walk.mp4")
@samples
def walk(
    prompt: str | None,
    prompts: tuple[str, ...],
    seed: int,
    from_seed: int | None,
    to_seed: int | None,
    start_image: Path | None,
    end_image: Path | None,
    by: Literal["slerp", "nlerp", "lerp"],
    closed: bool,
    timing: str,
    count: int,
    fps: float,
    quick: bool,
    cache: Path,
    clip_folder: str | None,
    output: Path,
    setup: Sampling,
) -> None:
    """Travel through noise and text: PROMPT from one seed to another, or through several --prompts.

    Frames are kept in --cache, so a walk that was cut off goes on where it was. --timing perceptual draws frames where
    the picture moves; retimed shows the uniform ones, which it finds in the cache, each as often as that needs.
    """
    from contextlib import nullcontext
    from dataclasses import replace

    from astrogate.measure.clip import clip_for
    from astrogate.methods.path.walk import loop
    from astrogate.methods.path.walk import walk as travel
    from astrogate.models.sampler.fast import fast
    from astrogate.rendering.cache import FrameCache
    from astrogate.rendering.render import render

    if bool(prompt) == bool(prompts):
        raise AstrogateError("a walk needs PROMPT or --prompts", "name one of them, --prompts twice or more")
    texts = list(prompts) or [str(prompt)]
    recipe = setup.recipe()
    write = _writer(output, fps, count)
    check_output(cache / "x.png")
    images = (start_image, end_image)
    circling = closed and len(texts) == 1 and not any(images)
    if circling and by != "slerp":
        raise AstrogateError(f"a loop of one prompt goes round a circle, not by {by}", "leave --by out")
    if any(images):
        if recipe.scheduler not in (None, "DDIM", "DDIMScheduler"):
            raise AstrogateError(f"{recipe.scheduler} does not draw a picture back", "use --scheduler DDIM, or none")
        recipe = replace(recipe, scheduler="DDIM")
    clip = clip_for(setup.model, clip_folder) if timing in ("perceptual", "retimed") else None
    model = setup.load()
    keys = key_points(model, setup, texts, (seed, from_seed, to_seed), images, by)
    way = loop(keys[0], keys[1]) if circling else travel(*keys, by=by, closed=closed)
    kept = FrameCache(cache)
    named = click.get_current_context().get_parameter_source("batch") != ParameterSource.DEFAULT
    with fast(model, recipe, count) if quick else nullcontext((recipe, setup.batch)) as (chosen, size):
        write(_timed(model, way, timing, count, chosen, setup.batch if named else size, kept, clip))
        tell_ends(images, list(render(model, [keys[0], keys[-1]], recipe=chosen, cache=kept)) if any(images) else [])
    click.echo(f"{output}: {count} frames")


def _timed(
    model: Model,
    way: Way,
    timing: str,
    count: int,
    recipe: Recipe,
    batch: int,
    cache: FrameCache,
    clip: Any,
) -> Iterable[Frame]:
    """The frames of a path by one of the timings, drawn as they are asked for."""
    from astrogate.methods.path.pace import pace, retimed
    from astrogate.ops.timing import eased, uniform
    from astrogate.rendering.render import render

    if timing == "retimed":
        with _counting(way) as counted:
            times = retimed(model, counted, count, clip, recipe=recipe, batch_size=batch, cache=cache)
    elif timing == "perceptual":
        with _counting(way) as counted:
            found = pace(model, counted, count, clip, recipe=recipe, batch_size=batch, cache=cache)
        for low, high in found.jumps:
            click.echo(f"the picture jumps between {low:.3f} and {high:.3f} of the way", err=True)
        times = list(found.times)
    else:
        times = (eased if timing == "eased" else uniform)(count, way.keys, closed=way.closed)
    return render(model, way.sample(times), recipe=recipe, batch_size=batch, cache=cache)


@contextmanager
def _counting(way: Way) -> Generator[Way]:
    """The same path; while open, a bar counts the pictures that are compared before any is written."""
    from dataclasses import replace

    from tqdm import tqdm

    with tqdm(unit="picture", desc="timing", disable=not sys.stderr.isatty(), leave=False) as bar:

        def at(u: float) -> Point:
            bar.update()
            return way.at(u)

        yield replace(way, at=at)


def _writer(output: Path, fps: float, count: int) -> Callable[[Iterable[Frame]], None]:
    """What writes frames to `output`, by its kind; fails before any work if it can't."""
    from astrogate.rendering.png import records, save_png
    from astrogate.rendering.sheet import sheet
    from astrogate.rendering.video import check_video, video

    if count < 2 or not 0.1 <= fps <= 240:
        raise AstrogateError(f"{count} frames at {fps:g} a second", "ask for 2 or more, at 0.1 to 240 a second")

    def as_video(frames: Iterable[Frame]) -> None:
        video(progress(frames, count), output, fps=fps)

    def as_sheet(frames: Iterable[Frame]) -> None:
        drawn = list(progress(frames, count))
        save_png(sheet(drawn, columns=min(count, 10)), output, frame=drawn[0], more={"frames": count})

    def as_folder(frames: Iterable[Frame]) -> None:
        for i, frame in enumerate(progress(frames, count)):
            target, more = output / f"{i:05}.png", {"frame": i}
            if target.exists() and not records(target, frame, more):
                raise AstrogateError(f"{target} is of another walk", "empty the folder, or name another one")
            save_png(frame.image, target, frame=frame, more=more)

    if not output.suffix:
        check_output(output / "00000.png")
        if output.is_dir() and (old := len([p for p in output.glob("*.png") if p.stem.isdigit()])) > count:
            raise AstrogateError(f"{output} holds {old} frames of another walk", "empty it, or name another folder")
        return as_folder
    check_output(output)
    if output.suffix.lower() == ".png":
        return as_sheet
    check_video(output)
    return as_video


@click.command(short_help="Move the window over noise, or over one wide canvas.")
@click.argument("prompt")
@click.option(
    "--how",
    default="noise",
    show_default=True,
    type=click.Choice(["noise", "wipe", "canvas"]),
    help="The picture drawn anew over moving noise; columns replaced one by one; one wide picture.",
)
@click.option("--loop", "closed", is_flag=True, help="Come back to the start; a canvas always does.")
@click.option("--wide", default=4, show_default=True, help="Width of a canvas, in pictures.")
@click.option(
    "--stride", default=None, type=int, help="Pixels from window to window of a canvas.  [default: a quarter]"
)
@click.option("-n", "count", default=60, show_default=True, help="Frames.")
@_fps
@_cache
@_output("pan.mp4")
@draws
def pan(
    prompt: str,
    how: str,
    closed: bool,
    wide: int,
    stride: int | None,
    count: int,
    fps: float,
    cache: Path,
    output: Path,
    setup: Setup,
) -> None:
    """Move along: PROMPT over the noise of --seeds (2 or more) side by side, or over one canvas of overlapping windows.

    With -o NAME.png, a canvas is written whole.
    """
    from dataclasses import replace

    from astrogate.methods.path import pan as method
    from astrogate.ops.timing import sample
    from astrogate.rendering.cache import FrameCache
    from astrogate.rendering.png import save_png
    from astrogate.rendering.render import render

    recipe, write, kept = setup.recipe(), _writer(output, fps, count), FrameCache(cache)
    check_output(cache / "x.png")
    if how == "wipe" and (closed or setup.seeds > 2):
        raise AstrogateError("a wipe goes from one noise to another", "leave --loop out, and --seeds at 2")
    if how != "canvas" and setup.seeds < 2:
        setup = replace(setup, seeds=2)
    setup.chosen()
    if not 2 <= wide <= 64:
        raise AstrogateError(f"a canvas {wide} pictures wide", "ask for 2 to 64")
    model = setup.load()
    if how == "canvas":
        side = setup.size or model.size
        point = model.point(prompt, seed=setup.seed, negative=setup.negative, height=side, width=wide * side)
        recipe = replace(recipe, height=None, width=None, stride=stride or max(8, model.size // 4))
        frame = next(iter(progress(render(model, point, recipe=recipe, cache=kept), 1)))
        if output.suffix.lower() == ".png":
            save_png(frame.image, output, frame=frame)
        else:
            write(method.views(frame, count, width=side))
    else:
        points = setup.points(model, prompt)
        way = method.pan(*points, closed=closed) if how == "noise" else method.wipe(points[0], points[-1])
        write(render(model, sample(way, count), recipe=recipe, batch_size=setup.batch, cache=kept))
    click.echo(f"{output}: {how}")
