"""`astrogate bias`: which group a concept leans to, and how to even it out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astrogate.actions.options import Loading
from astrogate.actions.output import TENSORS, check_output
from astrogate.app.cli.concepts import CLIP, PLAN, seeing
from astrogate.app.cli.options import COUNT, PATH, loads
from astrogate.core.errors import AstrogateError

if TYPE_CHECKING:
    from astrogate.core.point import Point
    from astrogate.core.protocols import Reader
    from astrogate.measure.clip import Clip


def groups_of(text: str) -> dict[str, tuple[str, ...]]:
    """Groups by name: "man,woman", or with several words each "men=man+boy,women=woman+girl"."""
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        name, _, words = part.partition("=")
        found[name.strip()] = tuple(word.strip() for word in (words or name).split("+") if word.strip())
    return found


def _reader(name: str, clip: Clip, groups: dict[str, tuple[str, ...]]) -> Reader:
    """The model's own oracle, or CLIP by the groups' words and by none of them."""
    from astrogate.measure.clip import own_part
    from astrogate.measure.zero_shot import ZeroShot
    from astrogate.menagerie.oracle import load_oracle

    if (oracle := own_part(name, "oracle")) is not None:
        return load_oracle(oracle)
    texts = {word: f"a photo of a {word}" for words in groups.values() for word in words}
    return ZeroShot(clip, {"subject": {**texts, "none of them": "a photo"}}, {})


@click.command(short_help="Find which group a concept leans to, and even it out.")
@click.argument("prompt")
@click.option("--groups", required=True, help='Words of each group, e.g. man,woman or "men=man+boy,women=woman+girl".')
@click.option("--concept", default=None, help="A word or phrase of the prompt.  [default: its last word]")
@click.option("--balance", "even", is_flag=True, help="Re-weight the words until the pictures have equal shares.")
@click.option("--target", default=None, help="Other shares to balance to, e.g. 0.3,0.7.")
@click.option("--calibrate", is_flag=True, help="Draw mixtures of the groups' words, to predict shares of pictures.")
@click.option(
    "--count", default=100, show_default=True, type=COUNT, help="Pictures to count, of the concept and of its words."
)
@click.option("-o", "--output", default="explained", show_default=True, type=PATH, help="Folder; a run resumes in it.")
@click.option("--fit-steps", default=PLAN.fit_steps, show_default=True, help="Steps of the optimisation.")
@click.option("--fit-seed", default=PLAN.fit_seed, show_default=True, help="The seed of the optimisation.")
@CLIP
@loads
def bias(
    prompt: str,
    groups: str,
    concept: str | None,
    even: bool,
    target: str | None,
    calibrate: bool,
    count: int,
    output: Path,
    fit_steps: int,
    fit_seed: int,
    clip_folder: str | None,
    loading: Loading,
) -> None:
    """Explain a concept, and compare the shares of groups by its words' weights with those counted in pictures."""
    from astrogate.core.recipe import Recipe
    from astrogate.methods.concept import bias as method
    from astrogate.methods.concept.explain import explain, file_name
    from astrogate.methods.concept.plan import Plan
    from astrogate.methods.concept.pseudo_point import basis_points, place_of
    from astrogate.rendering.cache import FrameCache
    from astrogate.rendering.pixels import to_tensor
    from astrogate.rendering.render import render

    named = groups_of(groups)
    try:
        shares = None if target is None else dict(zip(named, map(float, target.split(",")), strict=True))
    except ValueError:
        raise AstrogateError(f"{target!r} are no shares of {groups}", "write one per group, e.g. 0.3,0.7") from None
    method.target_of(named, shares)
    place_of(prompt, concept, [""])
    if count < 4:
        raise AstrogateError(f"{count} pictures", "ask for 4 or more")
    check_output(output / "balanced.safetensors", *TENSORS)
    model, clip, dtype = seeing(loading, clip_folder)
    reader, recipe, cache = _reader(loading.model, clip, named), Recipe(dtype=dtype), FrameCache(output / "frames")
    method.check_reader(reader, "subject", named, model.size)
    words = tuple(word for words in named.values() for word in words)
    plan = Plan(fit_steps=fit_steps, fit_seed=fit_seed, include=words, dtype=dtype, recipe=recipe)
    basis = explain(model, prompt, concept, plan=plan, clip=clip, folder=output, tell=click.echo)
    seeds = range(800_000, 800_000 + count)

    def counted(points: Sequence[Point]) -> str:
        pictures = to_tensor(render(model, points, recipe=recipe, cache=cache))
        labels = method.labels_of(reader, pictures, "subject", named)
        return f"{_told(method.picture_shares(labels, named))}; neither {method.neither(labels, named):.0%}"

    by_words = method.word_shares(basis, named)
    rows = {"by the words' weights": _told(by_words)}
    if calibrate:
        apart = range(900_000, 900_000 + count)
        drawn = method.mixtures(model, basis, named, reader, seeds=apart, recipe=recipe, cache=cache)
        rows["as such mixtures are drawn"] = _told(method.response_to(drawn, named).detected(by_words))
    rows[f"in {count} pictures of the word"] = counted(model.points(prompt, seeds))
    rows[f"in {count} of its words"] = counted(basis_points(model, basis, seeds))
    if even or shares is not None:
        given: Any = {"target": shares, "seeds": range(count), "recipe": recipe, "cache": cache, "tell": click.echo}
        found = method.balance(model, basis, named, reader, **given)
        rows[f"in {count} others, balanced"] = counted(basis_points(model, found.basis, seeds))
        path = output / f"{file_name(basis.name)}-balanced.safetensors"
        found.basis.save(path)
        click.echo(f"wrote {path}")
    for what, told in rows.items():
        click.echo(f"{what:36} {told}")


def _told(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())


COMMANDS = (bias,)
