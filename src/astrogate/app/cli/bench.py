"""`astrogate bench`: methods against the ground truth."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import click

from astrogate.actions.options import Measuring
from astrogate.actions.output import check_output
from astrogate.app.cli.options import COUNT, DEVICE, PATH, RANGE, READER, RUNS, measures, page_file
from astrogate.core.errors import AstrogateError
from astrogate.core.packages import need

_cells = click.option(
    "--cells", default=Path("runs/leakage"), show_default=True, type=PATH, help="Folder that keeps measured cells."
)


@click.group()
def bench() -> None:
    """Measure methods against the ground truth."""


@bench.command(short_help="Rank correlation of scale and read factor within strips.")
@click.option("--seeds", default=8, show_default=True, type=COUNT, help="Seeds per subject.")
@click.option("--range", "scales", default="-2:2", show_default=True, type=RANGE, help="First and last scale.")
@DEVICE
def strips(seeds: int, scales: tuple[float, float], device: str | None) -> None:
    """Rank correlation of scale and read factor within strips of the shipped model, 6 subjects per seed."""
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SMALL
    from astrogate.studies.world.strips import score_strips

    if seeds < 1:
        raise AstrogateError(f"{seeds} seeds", "ask for 1 or more")
    model = load(SMALL, device=device)
    for score in score_strips(model, load_oracle(), seeds=range(100, 100 + seeds), low=scales[0], high=scales[1]):
        curve = " ".join(f"{value:+.2f}" for value in score.curve)
        click.echo(f"{score.factor:7} Spearman {score.estimate} over {score.estimate.n} strips; mean readings {curve}")


@bench.command(short_help="Compare the few-step student with its teacher.")
@page_file("few_steps.md")
@click.option(
    "--captions", default=1000, show_default=True, type=click.IntRange(100, 100_000), help="Held-out captions to draw."
)
@click.option("--student", "lora", default=None, help="Another student's LoRA.  [default: the one that ships]")
@DEVICE
def student(output: Path, captions: int, lora: str | None, device: str | None) -> None:
    """Draw held-out captions in 20, 8 and 4 steps, and with the student in 4, 2 and 1, and read them."""
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SMALL
    from astrogate.models.loading.student import SHIPPED_STUDENT
    from astrogate.studies.world.few_steps import write_few_steps

    check_output(output, ".md")
    teacher, made = (load(name, device=device) for name in (SMALL, f"{SMALL}+{lora or SHIPPED_STUDENT}"))
    write_few_steps(teacher, made, load_oracle(), output, captions=captions, tell=click.echo)
    click.echo(f"wrote {output}")


@bench.command(short_help="Measure when an edit should act, in many steps and in few.")
@page_file("windows.md")
@_cells
@click.option("--seeds", default=4, show_default=True, type=COUNT, help="Seeds per cell.")
@DEVICE
def windows(output: Path, cells: Path, seeds: int, device: str | None) -> None:
    """Insert words from several levels of noise on, by the model in 20 steps and by its student in 8 to 1."""
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SMALL
    from astrogate.studies.edit import windows as study
    from astrogate.studies.edit.leaderboard import menagerie_bench

    check_output(output, ".md")
    models = (load(SMALL, device=device, student=student) for student in (False, True))
    chosen, oracle = tuple(range(200, 200 + seeds)), load_oracle()
    teacher, pupil = (menagerie_bench(m, oracle, cells, replace(m.recipe, dtype="bfloat16"), chosen) for m in models)
    study.write_windows(study.windows(teacher, pupil, click.echo), output, seeds=seeds)
    click.echo(f"wrote {output}")


@bench.command(short_help="Measure what else an edit changes, by method.")
@page_file("leakage.md")
@_cells
@READER
@click.option("--tune", "tuning", is_flag=True, help="Compare options of our method on the tuning attributes instead.")
@click.option("--seeds", default=8, show_default=True, type=COUNT, help="Seeds per cell.")
@click.option("--steps", default=None, type=COUNT, help="Denoising steps.  [default: the model's own]")
@click.option("--method", "methods", multiple=True, help="An editor of your own, module:object. Repeatable.")
@click.option("--reader", "own_reader", default=None, help="A reader of your own, module:object.")
@click.option("--precise", is_flag=True, help="Draw in float32 where that is the dtype, and not in bfloat16.")
@measures
def leakage(
    output: Path,
    cells: Path,
    clip_folder: str | None,
    tuning: bool,
    seeds: int,
    steps: int | None,
    methods: tuple[str, ...],
    own_reader: str | None,
    precise: bool,
    loading: Measuring,
) -> None:
    """Change attributes by every method and measure, at equal effect, what else changed. An interrupted run resumes.

    Models of float32, the default, draw in bfloat16 unless --precise is given.
    """
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SMALL
    from astrogate.studies.edit import leaderboard

    if seeds < 1:
        raise AstrogateError(f"{seeds} seeds", "ask for 1 or more")
    need("matplotlib", "report")
    check_output(output, ".md")
    more = {name: leaderboard.editor_named(name) for name in methods}
    precision = "bfloat16" if loading.dtype == "float32" and not precise else loading.dtype
    model, chosen = loading.load(), tuple(range(200, 200 + seeds))
    recipe = replace(model.recipe, num_inference_steps=steps or model.recipe.num_inference_steps, dtype=precision)
    reader, clip = leaderboard.readers(loading.model, clip_folder, offline=loading.offline)
    reader = reader if own_reader is None else leaderboard.reader_named(own_reader)
    measured = leaderboard.bench_of(model, reader, cells, recipe, chosen)
    if tuning:
        for options, row in leaderboard.tune(measured, click.echo):
            click.echo(f"{row.leakage} outside {row.background}, {row.reached} of {row.cells}: {options}")
        return
    shipped = measured.model if loading.model == SMALL else load(SMALL, device=loading.device)
    agreement = leaderboard.reader_agreement(shipped, clip, recipe)
    leaderboard.write_leaderboard(leaderboard.run_leaderboard(measured, click.echo, more=more), agreement, output)
    click.echo(f"wrote {output}")


@bench.command(short_help="Measure how several sliders affect each other.")
@click.option("--scale", default=1.5, show_default=True, help="The scale of every slider.")
@_cells
@READER
@measures
def interactions(scale: float, cells: Path, clip_folder: str | None, loading: Measuring) -> None:
    """Set fat, tall, happy, black and spotted alone and in pairs, and print their effects, then their interactions."""
    from astrogate.studies.edit import interactions as study
    from astrogate.studies.edit.leaderboard import bench_of, contrasts, readers

    reader, _ = readers(loading.model, clip_folder, offline=loading.offline)
    model = loading.load()
    measured = bench_of(model, reader, cells, model.recipe)
    sliders = {a.word: (d, a.target) for a, d in contrasts(measured.model, study.WORDS)}
    click.echo("\n".join(study.lines(study.interactions(measured, sliders, scale=scale))))


@bench.command(short_help="Test whether a calibrated scale means the same for every concept.")
@click.option("--ceiling", default=None, type=float, help="Perceptual distance that scale 1 stands for.")
@_cells
@READER
@measures
def calibration(ceiling: float | None, cells: Path, clip_folder: str | None, loading: Measuring) -> None:
    """Calibrate on some subjects and seeds, and measure the change at -1 and 1 on others, before and after."""
    from astrogate.methods.edit.calibrate import CEILING
    from astrogate.studies.edit import calibration as study
    from astrogate.studies.edit.leaderboard import bench_of, contrasts, readers

    reader, clip = readers(loading.model, clip_folder, offline=loading.offline)
    model = loading.load()
    measured = bench_of(model, reader, cells, model.recipe)
    found = contrasts(measured.model, study.WORDS)
    ceiling = CEILING if ceiling is None else ceiling
    rows = study.calibration(measured, clip, found, ceiling=ceiling, tell=lambda word: click.echo(word, err=True))
    for row in rows:
        click.echo(
            f"{row.word:8} {row.scale:+.0f} is strength {row.strength:+6.2f}: distance {row.before:.3f} before, "
            f"{row.after:.3f} after; effect {row.effect_before:+.2f} before, {row.effect_after:+.2f} after"
        )
    before, after = (study.variation([getattr(row, when) for row in rows]) for when in ("before", "after"))
    click.echo(f"coefficient of variation of the distance: {before:.2f} before, {after:.2f} after")


@bench.command(short_help="Measure the shipped stack of unCLIP.")
@page_file("unclip.md")
@click.option("--captions", default=400, show_default=True, type=COUNT, help="Held-out captions to draw.")
@click.option("--tune", "tuning", is_flag=True, help="Try guidance, noise levels and theta on other captions instead.")
@DEVICE
def unclip(output: Path, captions: int, tuning: bool, device: str | None) -> None:
    """Compare priors, decoder, manipulations and upsampler with the world's own drawings. Needs the extra `bench`."""
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.methods.image.encode import unclip as as_unclip
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SMALL, UNCLIP_SMALL
    from astrogate.studies.image.card import write_unclip_card
    from astrogate.studies.image.tuning import tuned

    if captions < 20:
        raise AstrogateError(f"{captions} captions", "ask for 20 or more")
    need("skimage", "bench")
    check_output(output, ".md")
    stack = as_unclip(load(UNCLIP_SMALL, device=device))
    if tuning:
        for line in tuned(stack, load_oracle()):
            click.echo(line)
        return
    write_unclip_card(stack, load(SMALL, device=device), load_oracle(), output, captions=captions, tell=click.echo)
    click.echo(f"wrote {output}")


@bench.command(short_help="Count the dimensions that image embeddings use, by CLIP.")
@click.argument("folders", nargs=-1, type=PATH)
@click.option("--pictures", "count", default=2000, show_default=True, type=COUNT, help="Held-out drawings.")
def rank(folders: tuple[Path, ...], count: int) -> None:
    """Print the rank of the embedding space of CLIPModel FOLDERS (by default the shipped one): the number of principal
    components that leave 1 % of the variance, and the effective rank. Training with --sam is said to lower it.
    """
    from astrogate.measure.clip import Clip
    from astrogate.models.loading.locate import shipped_folder
    from astrogate.ops.quantise import effective_rank, fit_codebook
    from astrogate.studies.world.scenes import drawings, held_out_scenes

    if count < 200:
        raise AstrogateError(f"{count} pictures", "ask for 200 or more")
    pictures = None
    for folder in folders or (shipped_folder() / "clip",):
        clip = Clip(folder)
        pictures = drawings(held_out_scenes(count)[0], clip.side)[0] if pictures is None else pictures
        z = clip.images(pictures)
        components = len(fit_codebook(z, error=0.01).basis)
        click.echo(
            f"{folder}: {components} of {z.shape[1]} components leave 1 %, effective rank {effective_rank(z):.1f}"
        )


@bench.command(short_help="Test whether Conceptor finds what Menagerie's words stand for.")
@page_file("planted.md")
@RUNS
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(2, 1000), help="Seeds per concept.")
@click.option("--concept", "names", multiple=True, help="Only this concept; repeatable.")
@click.option("--way", "ways", multiple=True, help="Only this method; repeatable.")
@DEVICE
def concepts(
    output: Path, folder: Path, seeds: int, names: tuple[str, ...], ways: tuple[str, ...], device: str | None
) -> None:
    """Take planted concepts apart by every method, at several seeds, beside baselines. An interrupted run resumes."""
    import torch

    from astrogate.measure.clip import clip_for
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SMALL
    from astrogate.studies.concept import planted as study
    from astrogate.studies.concept.planted_page import write_planted

    known, possible = {*study.CONCEPTS, study.CHOSEN_ON}, {*study.WAYS, *study.ALONE}
    if unknown := [*({*names} - known), *({*ways} - possible)]:
        raise AstrogateError(f"{unknown[0]!r} is unknown", f"choose from {', '.join(sorted(known | possible))}")
    if ways and "plain" not in ways:
        raise AstrogateError("there is nothing to compare with", "measure --way plain, too")
    check_output(output, ".md")
    found = study.planted(
        load(SMALL, device=device),
        clip_for(SMALL, None),
        folder,
        concepts=names or study.CONCEPTS,
        ways=ways or (*study.WAYS, *study.ALONE),
        seeds=range(seeds),
        tell=click.echo,
    )
    write_planted(found, output, model=SMALL, threads=torch.get_num_threads())
    click.echo(f"wrote {output}")


@bench.command(short_help="Test whether the words of a role predict its pictures, and balance them.")
@RUNS
@DEVICE
def roles(folder: Path, device: str | None) -> None:
    """Compare the shares of men and women by a role's words with those in 400 of its pictures, then balance them."""
    from astrogate.measure.clip import clip_for
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SMALL
    from astrogate.studies.concept.roles import lines

    clip = clip_for(SMALL, None)
    for line in lines(load(SMALL, device=device), load_oracle(), clip, folder, lambda text: click.echo(text, err=True)):
        click.echo(line)


@bench.command(short_help="Test whether a sculpture grows abstract with the weight of that word.")
@RUNS
@DEVICE
def sculpture(folder: Path, device: str | None) -> None:
    """Print the rank correlation of the word's factor with the style read, per seed, and how often the scene stays."""
    from astrogate.measure.clip import clip_for
    from astrogate.menagerie.oracle import load_oracle
    from astrogate.models.loading.load import load
    from astrogate.models.loading.locate import SMALL
    from astrogate.studies.concept import sculpture as study

    model = load(SMALL, device=device)
    basis = study.sculpture(model, clip_for(SMALL, None), folder)
    for seeds, window in product((study.SEEDS, study.FURTHER), (study.WINDOW, (0.0, 1.0))):
        found = study.manipulated(model, load_oracle(), basis, seeds=seeds, window=window)
        told = " ".join(f"{factor:g}: {value:.3f}" for factor, value in zip(study.FACTORS, found.readings, strict=True))
        click.echo(f"from {window[0]:.0%} of the steps on, {found.correlation.n} seeds:")
        click.echo(f"  Spearman {found.correlation}, scene stays {found.scene}; {told}")


COMMANDS = (bench,)
