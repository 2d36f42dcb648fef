"""Commands that train: `train menagerie`, the parts of a stack of unCLIP, and few-step students."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astrogate.app.cli.options import COUNT, PATH, SEED, STEPS, lengthened, taking
from astrogate.app.cli.student_training import student
from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of

if TYPE_CHECKING:
    from astrogate.train.stack.presets import UnclipPreset
    from astrogate.train.stack.source import Source

_preset = click.option(
    "--preset", default="cpu", show_default=True, type=click.Choice(["cpu", "cuda"]), help="Sizes and schedules."
)
_SEED = click.option("--seed", default=0, show_default=True, type=SEED, help="The seed of the training.")
_run = click.option("--run", "folder", default=None, type=PATH, help="Folder of the run.  [default: below runs/]")


@click.group()
def train() -> None:
    """Train the shipped models, your own stacks of unCLIP, and few-step students."""


@train.command()
@_preset
@_run
@click.option(
    "--stage",
    "stages",
    multiple=True,
    help="Only this stage (vae, clip, unet, reader, patterns, oracle, witness, vae_decoder, student); repeatable.",
)
@click.option("--pictures", default=None, type=STEPS, help="Pictures of the world to draw.  [default: the preset's]")
@click.option("--resume", is_flag=True, help="Take missing parts from the shipped weights.")
@_SEED
@click.option("--pack", default=None, type=PATH, help="Put the finished stages into this folder, for `load`.")
@click.option("--sam", default=0.0, help="For CLIP: the radius of sharpness-aware minimisation, e.g. 0.05.")
def menagerie(
    preset: str,
    folder: Path | None,
    stages: tuple[str, ...],
    pictures: int | None,
    resume: bool,
    seed: int,
    pack: Path | None,
    sam: float,
) -> None:
    """Train Menagerie: data, VAE, CLIP, U-Net and patterns, readers, a large decoder, a few-step student. Finished
    stages are kept; an interrupted one resumes.
    """
    from astrogate.models.loading.locate import shipped_folder
    from astrogate.train.world.presets import PRESETS
    from astrogate.train.world.run import train_menagerie

    if pack is not None:
        from astrogate.train.world.packing import check_target

        check_target(pack)
    _check_device(preset)
    folder = folder or Path("runs") / f"menagerie-{preset}"
    start = shipped_folder() if resume else None
    if not 0 <= sam <= 1:
        raise AstrogateError(f"a radius of {sam:g}", "use 0 (none) to 1; 0.05 is usual")
    chosen = PRESETS[preset]
    schedules = {**chosen.schedules, "clip": replace(chosen.schedules["clip"], sam=sam)}
    chosen = replace(chosen, schedules=schedules, pictures=pictures or chosen.pictures)
    train_menagerie(chosen, folder, stages=stages or None, seed=seed, start=start)
    if pack is not None:
        from astrogate.train.world.packing import assemble

        click.echo(f"{pack}: {assemble(folder, pack, preset):,} bytes")


def _check_device(preset: str) -> None:
    if preset == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise AstrogateError("there is no CUDA device", "use --preset cpu")


@dataclass(frozen=True, slots=True)
class Run:
    """What a stack is trained on, and the folder of the run."""

    data: Path | None
    clip: Path | None
    vae: Path | None
    size: int
    preset: str
    folder: Path | None

    def source(self) -> Source:
        """What is trained on, checked."""
        from astrogate.train.stack.source import folder_source, menagerie_source

        if self.data is None:
            return menagerie_source(self.preset)
        if not 8 <= self.size <= 4096:
            raise AstrogateError(f"pictures of {self.size} pixels", "choose 8 to 4096")
        return folder_source(self.data, self.clip, self.vae, self.size)

    def run(self) -> Path:
        """The folder of the run."""
        if self.data is None:
            return self.folder or Path("runs") / f"unclip-menagerie-{self.preset}"
        whole = self.data.resolve()
        mark = key_of(str(whole))  # two folders may have one name
        return self.folder or Path("runs") / f"unclip-{whole.name}-{mark}-{self.preset}"


@dataclass(frozen=True, slots=True)
class Training(Run):
    """The options of every command that trains a part of a stack."""

    minutes: float | None
    steps: int | None
    batch: int | None
    lr: float | None
    seed: int
    init: str | None

    def chosen(self, part: str) -> UnclipPreset:
        """The preset, with the length that is asked for."""
        from astrogate.train.stack.presets import UNCLIP_PRESETS

        preset = UNCLIP_PRESETS[self.preset]
        asked = {"minutes": self.minutes, "steps": self.steps, "batch": self.batch, "lr": self.lr}
        schedule = lengthened(preset.schedules[part], asked)
        return replace(preset, schedules={**preset.schedules, part: schedule})

    def train(self, part: str) -> None:
        """Train a part, and say where it is."""
        from astrogate.models.loading.locate import locate
        from astrogate.train.kit.begin import starting_weights
        from astrogate.train.stack.run import train_part

        _check_device(self.preset)
        init = None if self.init is None else locate(self.init)[0]
        if init is not None:
            starting_weights(init, part)  # before hours of data are drawn
        made = train_part(part, self.source(), self.chosen(part), self.run(), seed=self.seed, init=init)
        click.echo(f"{made} is finished")


_SOURCE = (
    click.option("--data", default=None, type=PATH, help="Folder of captioned pictures.  [default: Menagerie]"),
    click.option(
        "--clip",
        default=None,
        type=PATH,
        help="With --data: the CLIPModel folder that sees the pictures (not for upsamplers).",
    ),
    click.option("--vae", default=None, type=PATH, help="With --data: the AutoencoderKL folder of the latents."),
    click.option(
        "--size",
        default=64,
        show_default=True,
        type=click.IntRange(8, 4096),
        help="With --data: pixels per side of a picture.",
    ),
    _preset,
    _run,
)
_LENGTH = (
    click.option("--minutes", default=None, type=float, help="Minutes of training, at most.  [default: the preset's]"),
    click.option("--steps", default=None, type=STEPS, help="Steps of training.  [default: the preset's]"),
    click.option("--batch", default=None, type=COUNT, help="Pictures per step.  [default: the preset's]"),
    click.option("--lr", default=None, type=float, help="Learning rate.  [default: the preset's]"),
    _SEED,
    click.option(
        "--init",
        default=None,
        metavar="MODEL",
        help="Start from the weights of this stack, as wide or wider; for a decoder, also of a text-to-image model.",
    ),
)
_trains = taking(Training, "training", (*_SOURCE, *_LENGTH))
_sources = taking(Run, "made", _SOURCE)


@train.command()
@click.option(
    "--kind", default="diffusion", show_default=True, type=click.Choice(["diffusion", "ar"]), help="ar: autoregressive."
)
@_trains
def prior(kind: str, training: Training) -> None:
    """Train a prior: image embeddings from captions, by diffusion or symbol by symbol."""
    training.train("prior" if kind == "diffusion" else "ar_prior")


@train.command()
@_trains
def decoder(training: Training) -> None:
    """Train a decoder: pictures from image embeddings and captions."""
    training.train("decoder")


@train.command()
@click.option("--second", is_flag=True, help="The one after the first, with stronger corruption.")
@_trains
def upsampler(second: bool, training: Training) -> None:
    """Train an upsampler: four times the side, on random crops."""
    training.train("upsampler_2" if second else "upsampler")


@train.command()
@click.option("-o", "--output", default="stack", show_default=True, type=PATH, help="Folder.")
@click.option("--shipped", is_flag=True, help="As the package holds it: without Menagerie's CLIP and VAE.")
@_sources
def stack(output: Path, shipped: bool, made: Run) -> None:
    """Put the finished parts of a run together into a stack, for `load`."""
    from astrogate.train.stack.packing import assemble_stack

    if shipped and made.data is not None:
        raise AstrogateError("the package holds Menagerie's stack", "leave --shipped or --data out")
    frozen: dict[str, Any] = {}
    if not shipped:
        source = made.source()
        if source.clip is None or source.vae is None:
            raise AstrogateError("a stack has a CLIP and draws latents", "name their folders with --clip and --vae")
        frozen = {"clip": source.clip, "vae": source.vae}
    click.echo(f"{output}: {assemble_stack(made.run(), output, **frozen):,} bytes")


train.add_command(student)
COMMANDS = (train,)
