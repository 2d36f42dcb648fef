"""`astrogate bias`: which group a concept leans to, and how to even it out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from astrogate.app.concepts import CLIP
from astrogate.app.options import Loading, check_output, loads
from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.protocols import Reader
    from astrogate.measure.features import Clip

_path = click.Path(path_type=Path)


def groups_of(text: str) -> dict[str, tuple[str, ...]]:
    """Groups by name: "man,woman", or with several words each "men=man+boy,women=woman+girl"."""
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        name, _, words = part.partition("=")
        found[name.strip()] = tuple(word.strip() for word in (words or name).split("+") if word.strip())
    return found


def _reader(name: str, clip: Clip, groups: dict[str, tuple[str, ...]]) -> Reader:
    """Menagerie's oracle, or CLIP by the groups' words."""
    from astrogate.measure.zero_shot import ZeroShot
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.load import SHIPPED

    if name == SHIPPED:
        return load_oracle()
    return ZeroShot(clip, {"subject": {w: f"a photo of a {w}" for words in groups.values() for w in words}}, {})


@click.command(short_help="Find which group a concept leans to, and even it out.")
@click.argument("prompt")
@click.option("--groups", required=True, help='e.g. man,woman or "men=man+boy,women=woman+girl".')
@click.option("--concept", default=None, help="A word or phrase of the prompt.  [default: its last word]")
@click.option("--balance", "even", is_flag=True, help="Re-weight until the pictures have equal shares.")
@click.option("--target", default=None, help="Other shares to balance to, e.g. 0.3,0.7.")
@click.option("--count", default=100, show_default=True, help="Pictures to count, of the word and of its words.")
@click.option("-o", "--output", default="explained", show_default=True, type=_path, help="Folder; a run goes on in it.")
@click.option("--steps", default=500, show_default=True, help="Of the optimisation.")
@click.option("--seed", default=0, show_default=True, help="Of the optimisation.")
@CLIP
@loads
def bias(
    prompt: str,
    groups: str,
    concept: str | None,
    even: bool,
    target: str | None,
    count: int,
    output: Path,
    steps: int,
    seed: int,
    clip_folder: str | None,
    loading: Loading,
) -> None:
    """Explain a concept, and compare groups by its words' weights and by what is counted in pictures."""
    from astrogate.core.basis import save_basis
    from astrogate.core.recipe import Recipe
    from astrogate.measure.features import clip_for
    from astrogate.methods.bias import balance, labels_of, picture_shares, word_shares
    from astrogate.methods.conceptor import explain
    from astrogate.methods.concepts.plan import Plan
    from astrogate.methods.concepts.point import basis_points
    from astrogate.rendering.render import render, to_tensor

    named = groups_of(groups)
    try:
        shares = None if target is None else dict(zip(named, map(float, target.split(",")), strict=True))
    except ValueError:
        raise AstrogateError(f"{target!r} are no shares of {groups}", "write one a group, e.g. 0.3,0.7") from None
    if count < 4:
        raise AstrogateError(f"{count} pictures", "ask for 4 or more")
    check_output(output / "balanced.safetensors")
    clip, model = clip_for(loading.model, clip_folder), loading.load()
    reader, recipe = _reader(loading.model, clip, named), Recipe()
    words = tuple(word for words in named.values() for word in words)
    plan = Plan(steps=steps, seed=seed, include=words)
    basis = explain(model, prompt, concept, plan=plan, clip=clip, folder=output, tell=click.echo)
    seeds = range(800_000, 800_000 + count)

    def counted(points: list[object]) -> dict[str, float]:
        pictures = to_tensor(render(model, points, recipe=recipe))  # type: ignore[arg-type]
        return picture_shares(labels_of(reader, pictures, "subject"), named)

    rows = {
        "by the words' weights": word_shares(basis, named),
        f"in {count} pictures of the word": counted([model.point(prompt, seed=s) for s in seeds]),
        f"in {count} of its words": counted([*basis_points(model, basis, seeds)]),
    }
    if even or shares is not None:
        found = balance(model, basis, named, reader, target=shares, seeds=range(count), recipe=recipe, tell=click.echo)
        rows[f"in {count} others, balanced"] = counted([*basis_points(model, found.basis, seeds)])
        save_basis(found.basis, output / "balanced.safetensors")
    for what, found_shares in rows.items():
        click.echo(f"{what:36} " + ", ".join(f"{name} {share:.0%}" for name, share in found_shares.items()))
    if even or shares is not None:
        click.echo(f"wrote {output / 'balanced.safetensors'}")
