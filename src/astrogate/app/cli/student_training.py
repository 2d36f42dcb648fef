"""`astrogate train student`: a few-step student of a checkpoint, and its second training."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from astrogate.actions.options import Loading
from astrogate.actions.output import TENSORS, check_output
from astrogate.app.cli.options import COUNT, PATH, SEED, STEPS, lengthened, loads
from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astrogate.train.kit.pairs import Pairs

#: The world's items whose pictures or captions a student of the shipped model sees, and the captions of each.
_WORLD, _CAPTIONS, _WORLD_SEED = 20_000, 4, 1


@click.command()
@click.option("--data", default=None, type=PATH, help="Folder of captioned pictures.")
@click.option("--prompts", default=None, type=PATH, help="File of prompts, one per line; the model draws them itself.")
@click.option("--drawings", default=None, type=COUNT, help="With --prompts: how many pictures.  [default: 2000]")
@click.option("--guidance", default=None, type=float, help="Guidance that it learns.  [default: the model's own]")
@click.option("--rank", default=None, type=click.IntRange(1, 1024), help="Rank of the LoRA.  [default: 16]")
@click.option("--init", default=None, type=PATH, help="Go on from this student: the folder of its LoRA.")
@click.option("--match", is_flag=True, help="With --init: match what it draws of captions with what the model draws.")
@click.option("-o", "--output", default="student", show_default=True, type=PATH, help="Folder of the LoRA.")
@click.option("--run", "folder", default=None, type=PATH, help="Folder of the run.  [default: below runs/]")
@click.option("--minutes", default=None, type=float, help="Minutes of training, at most.  [default: 90; --match 60]")
@click.option("--steps", default=None, type=STEPS, help="Steps of training.  [default: 6000; --match 800]")
@click.option("--batch", default=None, type=COUNT, help="Pictures per step.  [default: 32]")
@click.option("--lr", default=None, type=float, help="Learning rate.  [default: 0.001; --match 0.0004]")
@click.option("--seed", default=0, show_default=True, type=SEED, help="The seed of the training.")
@loads
def student(
    loading: Loading,
    data: Path | None,
    prompts: Path | None,
    drawings: int | None,
    guidance: float | None,
    rank: int | None,
    init: Path | None,
    match: bool,
    output: Path,
    folder: Path | None,
    seed: int,
    **length: float | None,
) -> None:
    """Distil a U-Net into a student that draws in four steps: a LoRA. Without --data and --prompts, Menagerie's world.

    An interrupted run resumes. Draw with it by `--model MODEL+FOLDER`.
    """
    from astrogate.train.kit.pairs import drawn_pairs, picture_pairs, prompts_in
    from astrogate.train.parts.matching import MATCHING, match_student
    from astrogate.train.parts.student import SCHEDULE, read_student, save_student, train_student

    if data is not None and prompts is not None:
        raise AstrogateError("pictures and prompts", "give one of --data and --prompts")
    if drawings is not None and (prompts is None or match):
        what = "to be matched" if match else "of no prompts"
        raise AstrogateError(f"{drawings} drawings {what}", "leave --drawings out" if match else "give --prompts, too")
    if match and (init is None or rank is not None):
        remedy = "give --init" if init is None else "leave --rank out"
        raise AstrogateError("--match goes on from a student, with its rank", remedy)
    if loading.student or "+" in loading.model:
        raise AstrogateError("a student of a student", "name the checkpoint alone; --init goes on from a student")
    check_output(output / "lora.safetensors", *TENSORS)
    schedule = lengthened(MATCHING if match else SCHEDULE, length)
    texts, begun = None if prompts is None else prompts_in(prompts), None if init is None else read_student(init)
    model = loading.load()
    recipe = model.recipe if guidance is None else replace(model.recipe, guidance_scale=guidance)
    asked = [loading.model, model.weights, data, texts, drawings, recipe, rank, begun, match, seed]
    folder = folder or Path("runs") / f"student-{key_of(asked)}"
    how: Any = {"folder": folder, "seed": seed, "guidance": recipe.guidance_scale}
    if match:
        assert begun is not None
        captions = texts or (_captions_in(data) if data is not None else _world_captions(loading.model))
        weights = match_student(model, captions, begun, schedule, **how)
    else:
        if data is not None:
            pairs = picture_pairs(model, data, folder)
        elif texts is not None:
            pairs = drawn_pairs(model, texts, recipe, folder, count=drawings or 2000, seed=seed)
        else:
            pairs = _world_pairs(loading.model, model, folder)
        weights = train_student(model, pairs, schedule, rank=rank or 16, begun=begun, **how)
    home = output if output.is_absolute() else f"./{output}"  # the model may have a student of that name
    click.echo(f"{save_student(weights, output)} is finished: draw with it by --model {loading.model}+{home}")


def _captions_in(data: Path) -> list[str]:
    """Every caption of the pictures in a folder."""
    from astrogate.train.kit.pictures import captioned

    return [text for texts in captioned(data).values() for text in texts]


def _check_world(name: str) -> None:
    """Raise AstrogateError for another model than the shipped one, which alone knows the world."""
    from astrogate.models.loading.locate import SHIPPED

    if name != SHIPPED:
        raise AstrogateError(f"pictures of what should a student of {name} see?", "give --data or --prompts")


def _world_captions(name: str) -> Sequence[str]:
    """The world's captions."""
    from astrogate.train.world.world_data import NAMED, captions_of

    _check_world(name)
    return [text for i in range(_WORLD) for text in captions_of(i, _WORLD_SEED, _CAPTIONS, NAMED)]


def _world_pairs(name: str, model: Any, folder: Path) -> Pairs:
    """The world's pictures with their captions."""
    from astrogate.models.loading.checks import latents_vae
    from astrogate.models.loading.locate import shipped_folder
    from astrogate.train.world.world_data import world_pairs

    _check_world(name)
    shown: dict[str, Any] = {
        "size": 64,
        "seed": _WORLD_SEED,
        "captions": _CAPTIONS,
        "tokenizer": model.pipe.tokenizer,
    }
    return world_pairs(folder / "data", latents_vae(shipped_folder()), _WORLD, **shown, workers=os.cpu_count() or 1)
