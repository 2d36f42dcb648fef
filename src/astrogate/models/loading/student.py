"""A few-step student of a checkpoint: a LoRA that is merged into its denoiser, and the sampler that it is made for.

It draws by LCMScheduler (Luo et al. 2023), in `RECIPE`'s steps and without guidance. Points, directions and Edits of
the checkpoint are its own: it reads prompts with the same encoders.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from astrogate.core import archive
from astrogate.core.errors import AstrogateError, reason
from astrogate.core.files import is_file, is_there
from astrogate.core.packages import need
from astrogate.core.recipe import Recipe
from astrogate.models.loading.lora import check_lora
from astrogate.models.loading.quiet import quiet
from astrogate.models.registry import require

if TYPE_CHECKING:
    from astrogate.models.adapter import PipelineModel

RECIPE = Recipe(num_inference_steps=4, guidance_scale=1.0)
#: The student that lies in a checkpoint's folder.
SHIPPED_STUDENT = "student"
_FILE = "pytorch_lora_weights.safetensors"


def parted(name: str, student: bool) -> tuple[str, str]:
    """The checkpoint and the student that "CHECKPOINT+STUDENT" names; "" for none.

    Raises AstrogateError for a name that holds a student, with `student` beside it.
    """
    if student not in (True, False):
        raise AstrogateError(f"student {student!r}", f"name it behind a plus: {name}+{student}")
    if "+" in name and not is_there(name):
        parts = name.split("+")
        splits = [("+".join(parts[:i]), "+".join(parts[i:])) for i in range(1, len(parts))]
        whole, named = next((pair for pair in reversed(splits) if is_there(pair[0])), splits[0])  # either may hold one
        if student:
            raise AstrogateError(f"{name} names a student, and another is asked for", "leave one of the two out")
        return whole, named or SHIPPED_STUDENT
    return name, SHIPPED_STUDENT if student else ""


def lora_file(folder: Path | None, student: str, name: str, *, own: bool) -> Path:
    """The file of a student: below the checkpoint's folder, or, unless it is its `own`, where the name leads.

    Raises AstrogateError for none, and for a name that leads to both.
    """
    path = Path(student)
    elsewhere = next((p for p in (path / _FILE, path) if is_file(p)), None)
    below = None if folder is None or path.name != student else folder / student / _FILE
    if below is not None and below.is_file():
        if elsewhere is not None and not own:
            fault = f"{name}+{student} may be the student that {name} has, or ./{student}"
            raise AstrogateError(fault, f"name the second {name}+./{student}; the first is {name} with student")
        return below
    if elsewhere is None or own:
        raise AstrogateError(
            f"{name} has no student {student!r}", "name the file of a LoRA, as `train student` writes it"
        )
    return elsewhere


def _is_first(name: str) -> bool:
    """Whether a tensor is the first of a layer's two, in diffusers' layouts or kohya's."""
    return name.endswith((".lora_A.weight", ".lora_down.weight", ".lora.down.weight", "_lora.down.weight"))


def as_student(model: PipelineModel, path: Path) -> PipelineModel:
    """The model with a student's LoRA merged into its denoiser, its sampler and its recipe.

    Raises AbilityError for a model that LCMScheduler does not sample, AstrogateError for a file that holds no LoRA of
    its denoiser alone.
    """
    require(model, "loss", remedy="leave the student out")
    need("peft", "lora")
    from diffusers import LCMScheduler

    weights, _ = archive.read(path, what="a LoRA", remedy="name the file that `train student` wrote")
    if path.suffix != ".safetensors" or any("dora_scale" in name for name in weights):
        raise AstrogateError(f"{path} is no plain LoRA in safetensors", "name the file that `train student` wrote")
    check_lora(path, weights)
    pipe, _ = model.pipe, model.fingerprint  # of the checkpoint, whose points it draws
    with quiet():
        try:  # from the file, whose metadata tell its strength
            pipe.load_lora_weights(
                str(path.resolve().parent), weight_name=path.resolve().name, use_safetensors=True, local_files_only=True
            )
            changed = set(pipe.get_list_adapters())  # by now in diffusers' own layout
            if changed != {model.family.denoiser}:
                told = ", ".join(sorted(changed)) or "nothing"
                raise AstrogateError(f"{path} is a LoRA of {told}", f"name one of the {model.family.denoiser} alone")
            held, found = sum(map(_is_first, weights)), sum(hasattr(m, "lora_A") for m in model.denoiser.modules())
            if held != found:
                raise AstrogateError(f"{path} changes {held} layers, {found} of them there", "name one of this model")
            layers = [m for m in model.denoiser.modules() if hasattr(m, "get_delta_weight")]
            if not any(m.get_delta_weight(name).any() for m in layers for name in m.active_adapters):
                raise AstrogateError(f"{path} changes nothing: all of it is zero", "name one that was trained")
            pipe.fuse_lora()
            pipe.unload_lora_weights()
        except AstrogateError:
            raise
        except Exception as error:  # whatever diffusers and PEFT raise on layers that are none of theirs
            fault = f"{path} does not fit {model.name} ({reason(error)})"
            raise AstrogateError(fault, "name a LoRA of this model") from error
    pipe.scheduler = LCMScheduler.from_config(pipe.scheduler.config)
    model.recipe = RECIPE
    return model
