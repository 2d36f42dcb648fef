"""The command that shows a picture through the principal components of CLIP's space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import warn

import click

from astrogate.app.cli.image import ITERATIONS, Stacked, drawn, output_to, read, save, stacked
from astrogate.app.cli.options import check_output, progress
from astrogate.core.errors import AstrogateError, AstrogateWarning

if TYPE_CHECKING:
    from astrogate.core.protocols import UnCLIP
    from astrogate.ops.quantise import Codebook


@click.command(short_help="See a picture through the first components of CLIP's space.")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--ranks", default="1,2,4,8,16,32", show_default=True, help="Numbers of components, with commas.")
@click.option(
    "--pictures", default=None, type=click.Path(path_type=Path), help="Folder whose pictures give the components."
)
@ITERATIONS
@output_to("probe.png")
@stacked(50, 1.0)
def probe(image: Path, ranks: str, pictures: Path | None, iterations: int, output: Path, setup: Stacked) -> None:
    """Draw IMAGE from ever more of the principal components of image embeddings, then whole."""
    from astrogate.methods.image.probe import probe as probed

    try:
        chosen = [int(rank) for rank in ranks.split(",")]
    except ValueError:
        raise AstrogateError(f"ranks {ranks!r}", "write numbers with commas, e.g. --ranks 1,4,16") from None
    check_output(output)
    recipe, shown = setup.recipe(), read(image)
    stack = setup.load()
    codebook = _components(stack, pictures)
    point = setup.encoded(stack, shown, iterations)[0]
    points = [*probed(point, codebook, chosen), point]
    save(drawn(stack, points, recipe, setup.batch), output, [*(f"{rank}" for rank in chosen), "all"], ranks=chosen)


def _components(stack: UnCLIP, folder: Path | None) -> Codebook:
    """Principal components: those of the stack's autoregressive prior, or of the pictures in a folder."""
    import torch

    from astrogate.ops.quantise import fit_codebook
    from astrogate.rendering.invert import fitted
    from astrogate.rendering.picture import read_picture

    if folder is None:
        if stack.components is None:
            raise AstrogateError(f"{stack.name} keeps no components", "name a folder of pictures with --pictures")
        return stack.components
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    side, found = stack.picture_size, list[Any]()
    parts = [files[start : start + 50] for start in range(0, len(files), 50)]
    for paths in progress(parts, len(parts)):
        part = list[Any]()
        for path in paths:
            try:
                part.append(fitted(read_picture(path), side, side))
            except AstrogateError as error:
                warn(f"{error.problem}, left out", AstrogateWarning, stacklevel=2)
        found += [stack.embed(torch.stack(part))] if part else []
    if not found:
        raise AstrogateError(f"{folder} holds no pictures", "name a folder of PNG, JPEG or WebP files")
    z = torch.cat(found)
    return fit_codebook(z, rank=z.shape[1])
