"""`astrogate direction`: fit, show, combine, calibrate and export saved directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from astrogate.actions.options import Editing, Loading
from astrogate.actions.output import TENSORS, check_apart, check_output
from astrogate.actions.typed import WHEN_HELP
from astrogate.app.cli.options import PATH, WINDOW, edits, loads
from astrogate.app.cli.text import printable
from astrogate.core.errors import AstrogateError
from astrogate.core.packages import need
from astrogate.core.parts import Window

_file = click.argument("path", type=PATH)


def _output(name: str) -> Any:
    return click.option("-o", "--output", default=name, show_default=True, type=PATH, help="File to write.")


def _words(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(word.strip() for word in text.split(",") if word.strip())


@click.group()
def direction() -> None:
    """Fit, show, combine, calibrate and export directions."""


@direction.command(short_help="Find the direction between two words and save it.")
@click.option("--toward", required=True, help="The word to move towards, e.g. fat.")
@click.option("--away", default=None, help="The word to move away from, e.g. thin.  [default: no word]")
@click.option("--media", default=None, help="Media of your own, separated by commas.")
@click.option("--subjects", default=None, help="Subjects of your own, separated by commas.")
@click.option("--template", default=None, help="A template of your own, with {medium}, {word} and {subject}.")
@click.option("--roles", default="end", show_default=True, help="Of subject, end, padding, pooled: what moves.")
@click.option(
    "--nuisance",
    default=None,
    type=click.Choice(["project", "whiten"]),
    help="Remove the main effects of media and subjects.",
)
@_output("direction.safetensors")
@loads
def fit(
    toward: str,
    away: str | None,
    media: str | None,
    subjects: str | None,
    template: str | None,
    roles: str,
    nuisance: Any,
    output: Path,
    loading: Loading,
) -> None:
    """Find the direction from one word to another over a complete grid of prompts, and save it."""
    from astrogate.methods.edit import contrast as method

    check_output(output, *TENSORS)
    found = method.contrast(
        loading.load(),
        toward,
        away,
        media=_words(media) or method.MEDIA,
        subjects=_words(subjects) or method.SUBJECTS,
        template=template or method.TEMPLATE,
        roles=_words(roles) or ("end",),
        nuisance=nuisance,
    )
    found.save(output)
    click.echo(f"{output}: {found.name}")


@direction.command()
@_file
@click.option("-o", "--output", default=None, type=PATH, help="Draw where the poles land (SVG).")
def show(path: Path, output: Path | None) -> None:
    """Print a saved direction, how sure it is, and where held-out prompts of its two poles land."""
    from astrogate.core.direction import Direction
    from astrogate.core.files import write_text
    from astrogate.studies.edit.landing import histogram, landing_svg, quality_of

    if output is not None:
        need("matplotlib", "report")
        check_output(output, ".svg")
    found = Direction.load(path)
    click.echo(printable(f"{found.name}  (model {found.model})"))
    for role, vector in found.vectors.items():
        click.echo(printable(f"  {role:10} width {vector.shape[-1]}, norm {float(vector.norm()):.3f}"))
    for role, quality in quality_of(found).items():
        said = f"standard error {quality['standard_error']:.3f}, held-out AUC {quality['auc']:.3f}"
        click.echo(printable(f"  {role:10} {said}"))
        for line in histogram(quality["there"], quality["back"]):
            click.echo(f"    {line}")
    if found.calibration is not None:
        low, high = found.calibration
        click.echo(f"  scale -1 is strength {low:+.3g}, scale 1 is {high:+.3g}")
    if output is not None:
        write_text(output, landing_svg(found))
        click.echo(f"wrote {output}")


@direction.command()
@click.argument("paths", nargs=-1, required=True, type=PATH)
@click.option("--weights", default=None, help="One number per file, separated by commas.  [default: 1 each]")
@click.option("--orthogonal", is_flag=True, help="Remove from the first direction what it shares with the others.")
@_output("combined.safetensors")
def combine(paths: tuple[Path, ...], weights: str | None, orthogonal: bool, output: Path) -> None:
    """Add saved directions with weights, or remove the others from the first."""
    from astrogate.core.direction import Direction

    if orthogonal and weights is not None:
        raise AstrogateError(f"--weights {weights} does nothing beside --orthogonal", "leave one of the two out")
    if orthogonal and len(paths) < 2:
        raise AstrogateError("one file has no others to remove", "name two or more, or leave --orthogonal out")
    check_output(output, *TENSORS)
    check_apart(output, paths)
    found = [Direction.load(path) for path in paths]
    if orthogonal:
        result = found[0].orthogonal_to(*found[1:])
    else:
        try:
            factors = [float(w) for w in weights.split(",")] if weights is not None else [1.0] * len(found)
        except ValueError:
            raise AstrogateError(f"{weights!r} are no weights", "write e.g. --weights 1,-0.5") from None
        if len(factors) != len(found):
            raise AstrogateError(f"{len(factors)} weights for {len(found)} files", "give one per file")
        result = found[0] * factors[0]
        for other, factor in zip(found[1:], factors[1:], strict=True):
            result = result + other * factor
    result.save(output)
    click.echo(printable(f"{output}: {result.name}"))


@direction.command(short_help="Scale a direction so that 1 is the same change for all.")
@_file
@click.option("--prompt", "prompts", multiple=True, help="A prompt to calibrate on; repeatable.  [default: a dog]")
@click.option("--ceiling", default=None, type=float, help="Perceptual distance that scale 1 stands for.")
@click.option("--on", default=None, help="Move only these words of the prompts.")
@click.option("--window", default="0:1", show_default=True, type=WINDOW, help=WHEN_HELP)
@click.option("--clip", "clip_folder", default=None, help="A CLIP (folder or hub id).  [default: the model's own]")
@click.option("-o", "--output", default=None, type=PATH, help="File to write.  [default: the file itself]")
@edits
def calibrate(
    path: Path,
    prompts: tuple[str, ...],
    ceiling: float | None,
    on: str | None,
    window: Window,
    clip_folder: str | None,
    output: Path | None,
    setup: Editing,
) -> None:
    """Find the strengths that scales -1 and 1 stand for, over prompts and four seeds or more (--seeds) each."""
    from astrogate.core.direction import Direction
    from astrogate.core.edit import calibrated
    from astrogate.measure.clip import clip_for
    from astrogate.methods.edit import calibrate as method

    check_output(output or path, *TENSORS)
    setup = setup.changed(seeds=max(4, setup.seeds))
    setup.check()
    found, clip = Direction.load(path), clip_for(setup.model, clip_folder, offline=setup.offline)
    model = setup.load()
    points = [point for prompt in prompts or ("a dog",) for point in setup.points(model, prompt)]
    result = method.calibrate(
        model,
        found,
        points,
        clip,
        ceiling=method.CEILING if ceiling is None else ceiling,
        recipe=setup.recipe(model),
        batch_size=setup.at_once,
        placing={"on": on, "window": window},
    )
    result.save(output or path)
    low, high = (calibrated(scale, result.calibration) for scale in (-1.0, 1.0))
    click.echo(f"{output or path}: scale -1 is strength {low:+.3g}, scale 1 is {high:+.3g}")


@direction.command(short_help="Write a direction for another program.")
@_file
@click.option("--to", "form", required=True, type=click.Choice(["condelta", "textual-inversion"]), help="The format.")
@click.option("--prompt", default=None, help="For condelta: the prompt that the file is exact for.  [default: a dog]")
@click.option("--scale", default=1.0, show_default=True, help="The scale that the file stands for.")
@click.option("--on", default=None, help="For condelta: move only these words of the prompt.")
@_output("direction-export.safetensors")
@loads
def export(
    path: Path, form: str, prompt: str | None, scale: float, on: str | None, output: Path, loading: Loading
) -> None:
    """Write a direction as a file that other programs read, and print what it loses on other prompts."""
    from astrogate.core.archive import told
    from astrogate.core.direction import Direction
    from astrogate.methods.edit.contrast import MEDIA, SUBJECTS, check_grid
    from astrogate.methods.edit.export import mismatch, save_condelta
    from astrogate.methods.edit.textual_inversion import textual_inversion
    from astrogate.models.text.pseudo_word import keyed, save_pseudo_word

    for name, value in (("--prompt", prompt), ("--on", on)):
        if form == "textual-inversion" and value is not None:
            raise AstrogateError(f"{name} {value!r}: a word stands in any prompt", "leave it out, or write condelta")
    check_output(output, *TENSORS)
    check_apart(output, [path])
    found, model = Direction.load(path), loading.load()
    media, subjects = (
        told(found.origin, name, list[str], list(usual), str(path))
        for name, usual in (("media", MEDIA), ("subjects", SUBJECTS))
    )
    check_grid(media, subjects)
    if form == "textual-inversion":
        inverted = textual_inversion(model, found, scale=scale, media=media, subjects=subjects)
        save_pseudo_word(inverted.vectors, output)
        click.echo(f"{output}: {', '.join(f'{k} {tuple(v.shape)}' for k, v in keyed(inverted.vectors).items())}")
        click.echo(f"on held-out subjects it misses by {inverted.loss:.1%} of the move")
        return
    prompt = "a dog" if prompt is None else prompt
    point = model.point(prompt)
    save_condelta(found.at(point, on=on), point, output, scale=scale)
    click.echo(f"{output}: {form}, exact for {prompt!r}")
    if on is None:
        others = (model.point(f"a {m} of a {s}") for m, s in zip(media, subjects, strict=False))
        click.echo(f"on other prompts it misses by {mismatch(found, point, others):.1%} of the move, on average")


COMMANDS = (direction,)
