"""`astrogate sweep`: many paths, resumable, on one engine or another."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from astrogate.app.options import check_output

_PATH = click.Path(path_type=Path)


@click.command(short_help="Draw and score many paths, on this machine or a cluster.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", default="runs/sweep", show_default=True, type=click.Path(path_type=Path), help="Folder."
)
@click.option("--engine", default="process", show_default=True, type=click.Choice(["process", "ray"]))
@click.option("--workers", default=2, show_default=True, help="Of Ray: actors of one thread each.")
@click.option("--address", default=None, help='Of Ray: the cluster to join, "auto" for a running one.')
@click.option("--device", default=None)
@click.option(
    "--page", default=None, type=click.Path(path_type=Path), help="Write what they say together, as Markdown."
)
def sweep(
    file: Path, output: Path, engine: str, workers: int, address: str | None, device: str | None, page: Path | None
) -> None:
    """Draw and score every path that FILE (TOML) asks for. What is done is kept in the folder, and not done again."""
    from functools import partial

    from tqdm import tqdm

    from astrogate.studies.jobs import Store, in_process
    from astrogate.studies.ray_engine import on_ray
    from astrogate.studies.sweep import PathWork, read_sweep
    from astrogate.studies.sweep_page import write_page

    specs, store = read_sweep(file), Store(output)
    check_output(output / "x.json")
    if page is not None:
        check_output(page)
    make = partial(PathWork, specs[0]["model"], specs[0]["clip"], device)
    if engine == "ray":
        keys = on_ray(make, specs, store, workers=workers, address=address)
    else:
        keys = in_process(make, specs, store)
    done = list(tqdm(keys, total=len(specs), unit="path", disable=not sys.stderr.isatty()))
    click.echo(f"{output}: {len(set(done))} paths")
    if page is not None:
        write_page(store, done, file, page)
        click.echo(f"wrote {page}")
