"""`astrogate explain`, `explain-image` and `manipulate`: concepts as mixes of words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from astrogate.actions.options import Loading
from astrogate.actions.output import TENSORS, check_output
from astrogate.app.cli.options import PATH, SEED, loads
from astrogate.app.cli.text import printable
from astrogate.core.errors import AstrogateError
from astrogate.core.packages import need
from astrogate.core.texts import lines_of
from astrogate.methods.concept.plan import Judge, Plan, Start, recipe_of

if TYPE_CHECKING:
    from astrogate.core.basis import Basis
    from astrogate.core.protocols import Model
    from astrogate.measure.clip import Clip
    from astrogate.methods.concept.vocabulary import Vocabulary

CLIP = click.option(
    "--clip", "clip_folder", default=None, help="For another model: the CLIP (folder or hub id) that sees."
)
_run = click.argument("run", type=PATH)
_STARTS, _JUDGES = click.Choice(get_args(Start)), click.Choice(get_args(Judge))
PLAN = Plan()


def basis_of(run: Path) -> Basis:
    """The basis of a run's folder, or of its file."""
    from astrogate.core.basis import Basis
    from astrogate.methods.concept.explain import RESULT

    return Basis.load(run / RESULT if run.is_dir() else run)


def vocabulary_of(model: Model, clip: Clip, listed: Path | None, pattern: str | None, folder: Path) -> Vocabulary:
    """The words of a file, one per line, or those of the model that match a pattern."""
    from astrogate.methods.concept.vocabulary import vocabulary

    words = None if listed is None else lines_of(listed)
    return vocabulary(model, clip, words=words, pattern=pattern, folder=folder, tell=click.echo)


def seeing(loading: Loading, clip_folder: str | None) -> tuple[Model, Clip, str | None]:
    """The model, the CLIP that sees its pictures on the same device, and bfloat16 where that is the faster dtype.

    Raises AstrogateError for a model that is kept off its device, since gradients need it there.
    """
    from astrogate.measure.clip import clip_for
    from astrogate.models.sampler.fast import has_bfloat16

    if loading.offload:
        raise AstrogateError("gradients need the whole model on its device", "leave --offload out")
    model = loading.load()
    device = next(model.module("unet").parameters()).device if hasattr(model, "pipe") else None
    kind = "cpu" if device is None else device.type
    clip = clip_for(loading.model, clip_folder, device=str(device or "cpu"), offline=loading.offline)
    return model, clip, "bfloat16" if loading.dtype == "float32" and has_bfloat16(kind) else None


@click.command(short_help="Take a word apart into the words that it is made of.")
@click.argument("prompt")
@click.option("--concept", default=None, help="A word or phrase of the prompt.  [default: its last word]")
@click.option("-o", "--output", default="explained", show_default=True, type=PATH, help="Folder; a run resumes in it.")
@click.option("--fit-steps", default=PLAN.fit_steps, show_default=True, help="Steps of the optimisation.")
@click.option("--tokens", default=PLAN.tokens, show_default=True, help="Words in the pseudo-word, at most.")
@click.option("--dictionary", default=PLAN.dictionary, show_default=True, help="Words to choose from, at most.")
@click.option("--sparsity", default=PLAN.sparsity, show_default=True, help="Weight of the pull towards few words.")
@click.option("--keep-concept", is_flag=True, help="Keep words like the concept in the dictionary.")
@click.option("--fit-batch", default=PLAN.fit_batch, show_default=True, help="Pictures per step of the optimisation.")
@click.option("--rate", default=PLAN.rate, show_default=True, help="Learning rate.")
@click.option("--pictures", default=None, type=PATH, help="Pictures to learn from: your folder, or an empty one.")
@click.option("--validation", default=None, type=PATH, help="Pictures to judge by: your folder, or an empty one.")
@click.option("--train-pictures", default=PLAN.pictures, show_default=True, help="Pictures to learn from.")
@click.option("--validation-pictures", default=PLAN.validation, show_default=True, help="Pictures to judge by.")
@click.option("--every", default=PLAN.every, show_default=True, help="Steps between evaluations.")
@click.option("--start", default=PLAN.start, show_default=True, type=_STARTS, help="Where the weights start.")
@click.option("--judge", default=PLAN.judge, show_default=True, type=_JUDGES, help="What chooses the best state.")
@click.option(
    "--early/--all-steps", default=PLAN.early, show_default=True, help="Stop when the top words and the score settle."
)
@click.option("--words", default=None, type=PATH, help="File of words, one per line.  [default: the model's words]")
@click.option("--pattern", default=None, help="A regular expression that words match.")
@click.option("--vocabulary", default=None, type=PATH, help="Folder of the words' features.  [default: the output]")
@click.option("--batch-size", default=PLAN.batch_size, show_default=True, help="Pictures drawn and encoded at once.")
@click.option("--steps", default=PLAN.recipe.num_inference_steps, show_default=True, help="Denoising steps.")
@click.option("--guidance", default=PLAN.recipe.guidance_scale, show_default=True, help="Guidance of the pictures.")
@click.option("--eta", default=PLAN.recipe.eta, show_default=True, help="Share of DDPM's noise in the pictures.")
@click.option("--scheduler", default=None, help="A diffusers scheduler for the pictures.")
@click.option("--fit-seed", default=PLAN.fit_seed, show_default=True, help="The seed of the optimisation.")
@click.option("--seed", default=PLAN.seed, show_default=True, help="The seed of the pictures.")
@click.option("--precise", is_flag=True, help="Keep the denoiser's precision, also where bfloat16 is faster.")
@CLIP
@loads
def explain(
    prompt: str,
    concept: str | None,
    output: Path,
    pictures: Path | None,
    validation: Path | None,
    words: Path | None,
    pattern: str | None,
    vocabulary: Path | None,
    steps: int,
    guidance: float,
    eta: float,
    scheduler: str | None,
    precise: bool,
    clip_folder: str | None,
    loading: Loading,
    train_pictures: int,
    validation_pictures: int,
    **settings: Any,
) -> None:
    """Find the few words whose mix draws what the concept draws, and write a page about them."""
    from astrogate.core.files import write_text
    from astrogate.core.recipe import Recipe
    from astrogate.methods.concept.explain import explain as method
    from astrogate.methods.concept.explain import file_name
    from astrogate.methods.concept.pseudo_point import place_of
    from astrogate.studies.concept.explanation import explanation

    need("matplotlib", "report")
    check_output(output / "page.html")
    plan = Plan(pictures=train_pictures, validation=validation_pictures, **settings)
    place_of(prompt, concept, [""])
    model, clip, quick = seeing(loading, clip_folder)
    dtype = None if precise else quick
    recipe = Recipe(steps, guidance, scheduler, dtype=dtype, eta=eta)
    basis = method(
        model,
        prompt,
        concept,
        plan=replace(plan, dtype=dtype, recipe=recipe),
        clip=clip,
        words=vocabulary_of(model, clip, words, pattern, vocabulary or output),
        folder=output,
        pictures=pictures,
        validation=validation,
        tell=click.echo,
    )
    for word, share in basis.top(10):
        click.echo(printable(f"{word:16} {share:6.1%}"))
    click.echo(f"{basis.support:.1f} words in effect; the largest 50 hold {basis.mass(50):.0%}")
    page = output / f"{file_name(basis.name)}.html"
    write_text(page, explanation(model, basis, recipe=recipe))
    click.echo(f"open {page}")


@click.command(name="explain-image", short_help="Find the words that made one picture of a concept.")
@_run
@click.option("--seed", default=0, show_default=True, type=SEED, help="The seed of the picture.")
@click.option("-o", "--output", default="image.png", show_default=True, type=PATH, help="Both pictures.")
@click.option(
    "--batch-size", default=8, show_default=True, type=click.IntRange(1, 1000), help="Pictures drawn at once."
)
@click.option("--save", default=None, type=PATH, help="Save the words that are left as a decomposition.")
@CLIP
@loads
def explain_image(
    run: Path, seed: int, output: Path, batch_size: int, save: Path | None, clip_folder: str | None, loading: Loading
) -> None:
    """Find the words of an explained concept (RUN: its folder) that one picture needs, and draw it with them."""
    from astrogate.methods.concept.explain_image import explain_image as method
    from astrogate.methods.concept.pseudo_point import basis_points
    from astrogate.rendering.record import save_png
    from astrogate.rendering.render import render
    from astrogate.rendering.sheet import sheet

    check_output(output, ".png")
    if save is not None:
        check_output(save, *TENSORS)
    basis = basis_of(run)
    model, clip, _ = seeing(loading, clip_folder)
    recipe = recipe_of(basis)
    found = method(model, basis, seed=seed, clip=clip, recipe=recipe, batch_size=batch_size, tell=click.echo)
    for word, share in found.top(found.used):
        click.echo(printable(f"{word:16} {share:6.1%}"))
    points = [basis_points(model, one, [seed])[0] for one in (basis, found)]
    frames = list(render(model, points, recipe=recipe))
    page = sheet(frames, labels=["all words", f"{found.used} words"])
    save_png(page, output, frame=frames[1], more={"words": found.top(found.used)})
    if save is not None:
        found.save(save)
    click.echo(f"wrote {output}")


COMMANDS = (explain, explain_image)
