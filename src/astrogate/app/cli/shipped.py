"""Commands about the models that are shipped: `demo`, `models`, `card`."""

from __future__ import annotations

from pathlib import Path

import click

from astrogate.actions.output import check_output
from astrogate.app.cli.options import COUNT, DEVICE, PATH, SEED, page_file
from astrogate.core.errors import AstrogateError


@click.command(short_help="Draw strips and a grid with the shipped model, on one page.")
@click.option("-o", "--output", default="demo", show_default=True, type=PATH, help="Folder.")
@click.option("--seed", default=7, show_default=True, type=SEED, help="The seed of every picture.")
@DEVICE
def demo(output: Path, seed: int, device: str | None) -> None:
    """Draw strips and a grid with the shipped model, read them with its oracle, and write one page."""
    from astrogate.studies.world.demo import write_demo

    check_output(output / "index.html")
    page = write_demo(output, seed=seed, device=device, tell=click.echo)
    click.echo(f"open {page}")


@click.command()
def models() -> None:
    """List the models that can be loaded, and describe the shipped one."""
    import json

    from astrogate.models.loading.locate import (
        SHIPPED,
        SMALL,
        UNCLIP_SHIPPED,
        UNCLIP_SMALL,
        shipped_folder,
        shipped_unclip,
    )
    from astrogate.models.registry import families

    card = json.loads((shipped_folder() / "card.json").read_text())
    about = f"{card['parameters'] / 1e6:.1f} M parameters, preset {card['preset']}"
    click.echo(f"{SHIPPED}: shipped, {card['draws']} px, {about}")
    if shipped_unclip().is_dir():
        click.echo(f"{UNCLIP_SHIPPED}: shipped, a stack of unCLIP on the same CLIP and VAE")
    if card["draws"] != card["size"]:
        click.echo(f"{SMALL}, {UNCLIP_SMALL}: the same at {card['size']} px, by a smaller decoder: what is measured")
    click.echo("a diffusers folder or hub id (owner/name, owner/name@revision) of:")
    for family in families():
        click.echo(f"  {family.name}: {', '.join(family.pipelines)}")


@click.command(short_help="Measure the shipped model and write its card.")
@page_file("menagerie.md")
@click.option("--captions", default=1000, show_default=True, type=COUNT, help="Held-out captions to draw.")
@click.option("--witness", default=None, type=PATH, help="Folder of a trained witness.")
@DEVICE
def card(output: Path, captions: int, witness: Path | None, device: str | None) -> None:
    """Measure the shipped model and write its card, with the numbers as JSON and sheets of samples beside it."""
    from astrogate.studies.world.card import card_of_shipped

    if captions < 100:
        raise AstrogateError(f"{captions} captions", "ask for 100 or more: retrieval is among 100")
    check_output(output, ".md")
    card_of_shipped(output, captions=captions, witness=witness, device=device, report=lambda text: click.echo(text))
    click.echo(f"wrote {output}")


COMMANDS = (demo, models, card)
