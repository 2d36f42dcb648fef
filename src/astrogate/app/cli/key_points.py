"""The key points of a walk: prompts, seeds and picture files, as the command line names them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from astrogate.app.cli.options import Sampling
from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.point import Point
    from astrogate.core.protocols import Model
    from astrogate.core.recipe import Frame


def key_points(
    model: Model,
    setup: Sampling,
    texts: list[str],
    seeds: tuple[int, int | None, int | None],
    images: tuple[Path | None, Path | None],
    by: Literal["slerp", "nlerp", "lerp"],
) -> list[Point]:
    """The key points: a prompt each, with noise on the way from the first end's to the last one's."""
    from dataclasses import replace

    from astrogate.methods.path.walk import redrawn
    from astrogate.methods.path.walk import walk as travel

    seed, first, last = seeds
    points = [setup.point(model, text, seed if first is None else first) for text in texts]
    if len(points) == 1:
        points = [points[0], points[0]]
    if last is not None:
        end = redrawn(points[-1], last)
    elif len(texts) == 1 and images[1] is None:
        if first is not None:
            raise AstrogateError("--from-seed alone", "name --to-seed too, or leave both out")
        end = redrawn(points[-1], seed, draw=1)
    else:
        end = points[-1]
    points[0] = points[0] if images[0] is None else _inverted(model, setup, points[0], images[0])
    points[-1] = end if images[1] is None else _inverted(model, setup, end, images[1])
    if not points[0].tensors["latents"].equal(points[-1].tensors["latents"]):
        way = travel(points[0], points[-1], by=by, spaces=("latents",))
        for i in range(1, len(points) - 1):
            noisy = way(i / (len(points) - 1))
            tensors = {**points[i].tensors, "latents": noisy.tensors["latents"]}
            points[i] = replace(points[i], tensors=tensors, origin={**points[i].origin, "noise": noisy.origin["walk"]})
    return points


def _inverted(model: Any, setup: Sampling, point: Point, image: Path) -> Point:
    """The point, with the noise from which DDIM draws a picture file."""
    from astrogate.rendering.invert import fitted, invert
    from astrogate.rendering.picture import read_picture

    if "image_embeds" in model.spaces:
        raise AstrogateError(f"{model.name} draws from image embeddings", "use `astrogate blend` for its pictures")
    side = setup.size or model.size
    pictures = fitted(read_picture(image), side, side)[None]
    return invert(
        model, pictures, [point], num_inference_steps=setup.steps, guidance_scale=setup.guidance, iterations=10
    )[0]


def tell_ends(images: tuple[Path | None, Path | None], drawn: list[Frame]) -> None:
    """Say how well the ends that are picture files came back; `drawn` are both."""
    from astrogate.measure.scores import psnr
    from astrogate.rendering.invert import fitted
    from astrogate.rendering.picture import read_picture
    from astrogate.rendering.render import to_tensor

    for image, frame in zip(images, drawn, strict=False):
        if image is not None:
            picture = fitted(read_picture(image), frame.image.height, frame.image.width)[None]
            click.echo(f"{image.name} comes back at {psnr(to_tensor([frame]), picture)[0]:.1f} dB")
