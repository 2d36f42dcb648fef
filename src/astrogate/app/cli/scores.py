"""Commands that score paths: `score` what is drawn, `sweep` through many."""

from __future__ import annotations

from pathlib import Path

import click

from astrogate.actions.output import check_output
from astrogate.app.cli.options import DEVICE, PATH
from astrogate.core.errors import AstrogateError
from astrogate.core.progress import unseen


@click.command(short_help="Score the frames of a path.")
@click.argument("frames", type=PATH)
@click.option("--text", default=None, help="What the frames should show, for InterpScore.")
@click.option("--start", default=None, type=PATH, help="What the first frame should show.")
@click.option("--end", default=None, type=PATH, help="What the last frame should show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--clip", "clip_folder", default=None, help="A CLIP (folder or hub id) that compares the pictures.")
def score(
    frames: Path, text: str | None, start: Path | None, end: Path | None, as_json: bool, clip_folder: str | None
) -> None:
    """Score FRAMES, a folder of pictures or a video: InterpScore, smoothness, jumps, ghosting, sharpness.

    Features are the shipped model's CLIP's, unless --clip names another. By the shipped one, its oracle also says what
    it reads along the path.
    """
    import json
    import math

    from astrogate.measure.clip import clip_for
    from astrogate.models.loading.locate import SHIPPED
    from astrogate.rendering.pixels import read_picture
    from astrogate.rendering.reading import read_frames
    from astrogate.studies.path.score import end_distance, read_along, score_pictures, shrunk

    if (start is None) != (end is None):
        raise AstrogateError("only one end is named", "name --start and --end, or neither")
    ends = () if start is None or end is None else (read_picture(start), read_picture(end))
    pictures, clip = shrunk(read_frames(frames)), clip_for(SHIPPED, clip_folder)
    fidelity = end_distance(pictures, *ends, clip) if ends else math.nan
    found = score_pictures(pictures, clip, text, fidelity=fidelity)
    read = {} if clip_folder else read_along(pictures)
    if as_json:
        finite = {name: value if math.isfinite(value) else None for name, value in found.to_json().items()}
        click.echo(json.dumps({**finite, "read": read}))
        return
    for name, value in found.to_json().items():
        click.echo(f"{name:13} {value:.4g}")
    for factor, changes in read.items():
        click.echo(f"{factor:13} {' -> '.join(changes)}")


@click.command(short_help="Draw and score many paths, on this machine or a cluster.")
@click.argument("file", type=PATH)
@click.option("-o", "--output", default="runs/sweep", show_default=True, type=PATH, help="Folder.")
@click.option(
    "--engine", default="process", show_default=True, type=click.Choice(["process", "ray"]), help="Where it runs."
)
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1, 1000), help="With ray: actors of one thread each."
)
@click.option("--address", default=None, help='With ray: the cluster to join, "auto" for a running one.')
@DEVICE
@click.option("--page", default=None, type=PATH, help="Write the scores together, as Markdown.")
def sweep(
    file: Path, output: Path, engine: str, workers: int, address: str | None, device: str | None, page: Path | None
) -> None:
    """Draw and score every path that FILE (TOML) asks for. An interrupted sweep resumes."""
    from functools import partial

    from tqdm import tqdm

    from astrogate.studies.kit.jobs import Store, in_process
    from astrogate.studies.kit.ray_engine import on_ray
    from astrogate.studies.path.sweep import PathWork, read_sweep
    from astrogate.studies.path.sweep_page import write_page

    specs, store = read_sweep(file), Store(output.absolute())
    check_output(output / "x.json")
    if page is not None:
        check_output(page, ".md")
    model, clip = _anywhere(specs[0]["model"]), specs[0]["clip"] and _anywhere(specs[0]["clip"])
    make = partial(PathWork, model, clip, device)
    if engine == "ray":
        keys = on_ray(make, specs, store, workers=workers, address=address)
    else:
        keys = in_process(make, specs, store)
    done = list(tqdm(keys, total=len(specs), unit="path", disable=unseen(terminal=True)))
    click.echo(f"{output}: {len(set(done))} paths")
    if page is not None:
        write_page(store, done, file, page)
        click.echo(f"wrote {page}")


def _anywhere(name: str) -> str:
    """A folder by its whole path, so that workers find it from theirs; any other name as it is."""
    from astrogate.models.loading.locate import is_shipped

    return str(Path(name).absolute()) if Path(name).is_dir() and not is_shipped(name) else name


COMMANDS = (score, sweep)
