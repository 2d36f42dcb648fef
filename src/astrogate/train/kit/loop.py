"""One training loop for every stage: AdamW, warm-up and linear decay, EMA, checkpoints, a loss curve.

`fit` calls `loss` and steps; progress is the larger of step / steps and time / minutes, so that a run ends on
time with its learning rate at zero. All state is safetensors, so an interrupted run resumes where it stopped.

Under `accelerate launch` every process takes batches of its own and gradients are averaged, so n processes train as one
with a batch n times as large; the first one writes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from astrogate.core import archive
from astrogate.core.errors import AstrogateError, reason
from astrogate.core.files import exclusive, write_text
from astrogate.core.packages import need
from astrogate.core.progress import unseen
from astrogate.core.seeds import checked
from astrogate.core.state import learning
from astrogate.core.texts import lines_of
from astrogate.core.values import real, whole
from astrogate.models.finite import finite
from astrogate.train.kit.sam import ascended

if TYPE_CHECKING:
    from accelerate import PartialState

_FORMAT = "astrogate-training-1"
_FIELDS = {"step": int, "seconds": float, "of": str}
#: What AdamW keeps of a parameter.
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: `steps` of `batch`, at most `minutes`; the rate falls linearly over the last `decay`.

    `sam` is the radius of sharpness-aware minimisation, which doubles a step's cost; 0 is none.
    """

    steps: int
    batch: int
    lr: float
    minutes: float = 180.0
    warmup: int = 200
    decay: float = 0.4
    ema: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    checkpoint_minutes: float = 4.0
    sam: float = 0.0

    def rate(self, step: int, progress: float) -> float:
        """Learning rate at a step, given the share of the run that is done."""
        return self.lr * min(1.0, (step + 1) / self.warmup) * min(1.0, max(0.0, 1 - progress) / self.decay)


def fit(
    modules: nn.ModuleDict,
    loss: Callable[[int, np.random.Generator], Tensor],
    schedule: Schedule,
    *,
    folder: Path,
    name: str,
    seed: int,
    of: str = "",
) -> nn.ModuleDict:
    """Minimise `loss(step, rng)` over the parameters of `modules`; return their moving average.

    `rng` and torch's own generators are seeded from (seed, step): an interrupted run continues as it would have. With
    n processes, number i sees the loss at n * step + i.

    Writes `folder/NAME-state.safetensors` (resumed from, if there), `NAME-loss.csv` and `NAME-run.json`. `of` says what
    is trained on what: raises AstrogateError for a state of something else, for a loss that is not a number, and where
    another process trains `name` in this folder.
    """
    need("accelerate", "train")
    from accelerate import PartialState

    checked(seed)
    folder.mkdir(parents=True, exist_ok=True)
    crew = PartialState(cpu=all(p.device.type == "cpu" for p in modules.parameters()))
    with exclusive(folder / f".{name}.lock") if crew.is_main_process else nullcontext(), learning():
        return _fitted(modules, loss, schedule, crew, folder, name, seed, of)


def _fitted(
    modules: nn.ModuleDict,
    loss: Callable[[int, np.random.Generator], Tensor],
    schedule: Schedule,
    crew: PartialState,
    folder: Path,
    name: str,
    seed: int,
    of: str,
) -> nn.ModuleDict:
    """See `fit`."""
    from accelerate.utils import reduce

    parameters = [p for p in modules.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        parameters, lr=schedule.lr, betas=(0.9, 0.99), weight_decay=schedule.weight_decay, fused=True
    )
    average = AveragedModel(modules, multi_avg_fn=get_ema_multi_avg_fn(schedule.ema))
    state = _State(folder / f"{name}-state.safetensors", of, modules, average, optimiser, parameters)
    first, spent = state.restored()
    if crew.num_processes > 1:
        first, spent = _shared(first, spent, modules, average)
    settings = {"seed": seed, "processes": crew.num_processes, "threads": torch.get_num_threads(), **asdict(schedule)}
    curve = folder / f"{name}-loss.csv"
    if crew.is_main_process:
        write_text(folder / f"{name}-run.json", json.dumps(settings, indent=1))
        _cut_curve(curve, first)
    started = saved = time.monotonic()
    running, seen = torch.zeros((), device=parameters[0].device), 0
    modules.train()
    with tqdm(
        total=schedule.steps,
        initial=first,
        desc=name,
        mininterval=10,
        smoothing=0.05,
        disable=unseen() or not crew.is_main_process,
    ) as bar:
        for step in range(first, schedule.steps):
            elapsed = spent + time.monotonic() - started
            progress = _agreed(max(step / schedule.steps, elapsed / (60 * schedule.minutes)), crew)
            turn = step * crew.num_processes + crew.process_index
            if progress >= 1:
                break
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step, progress)
            value = _backward(loss, optimiser, seed, turn)
            if schedule.sam:
                with ascended(parameters, schedule.sam):
                    _backward(loss, optimiser, seed, turn)
            if crew.num_processes > 1:
                for parameter in (p for p in parameters if p.grad is not None):
                    mean_of: Any = reduce(parameter.grad, "mean")
                    parameter.grad = mean_of
            nn.utils.clip_grad_norm_(parameters, schedule.clip)
            optimiser.step()
            average.update_parameters(modules)
            running, seen = running + value.detach(), seen + 1
            bar.update()
            if seen == 100:
                mean = _finite(running, name, step) / seen
                if crew.is_main_process:
                    with curve.open("a") as file:
                        file.write(f"{step + 1},{elapsed:.0f},{mean:.6f}\n")
                left = (1 - progress) / max(progress, 1e-9) * elapsed
                bar.set_postfix_str(f"loss {mean:.4f}, {left / 60:.0f} min left")
                running, seen = torch.zeros_like(running), 0
            if crew.is_main_process and time.monotonic() - saved > 60 * schedule.checkpoint_minutes:
                saved = time.monotonic()
                _finite(running, name, step)
                state.save(step + 1, spent + saved - started)
    _finite(running, name, schedule.steps)
    if crew.is_main_process:
        state.save(schedule.steps, spent + time.monotonic() - started)
    crew.wait_for_everyone()
    result = average.module
    assert isinstance(result, nn.ModuleDict)
    return result.eval()


def _backward(
    loss: Callable[[int, np.random.Generator], Tensor], optimiser: torch.optim.Optimizer, seed: int, turn: int
) -> Tensor:
    """The loss of a turn, with the gradients of it alone; the same draws every time."""
    torch.manual_seed(seed * 1_000_003 + turn)
    value = loss(turn, np.random.default_rng((seed, turn)))
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    return value


def _finite(running: Tensor, name: str, step: int) -> float:
    """The sum of losses. Raises AstrogateError where it is not a number, before anything is kept."""
    total = float(running)
    if not math.isfinite(total):
        raise AstrogateError(f"{name}: the loss is not a number at step {step}", "use a lower rate (lr)")
    return total


def _agreed(progress: float, crew: PartialState) -> float:
    """The first process's progress, so that all stop at the same step."""
    from accelerate.utils import broadcast_object_list

    return progress if crew.num_processes == 1 else broadcast_object_list([progress])[0]


def _shared(first: int, spent: float, *modules: nn.Module) -> tuple[int, float]:
    """Where the first process goes on from, and its weights for all. Raises AstrogateError where others differ."""
    from accelerate.utils import broadcast, broadcast_object_list, gather_object

    every = gather_object([first])
    if len(set(every)) > 1:
        raise AstrogateError(f"processes would resume from steps {every}", "give all of them one shared folder")
    for module in modules:
        for tensor in module.state_dict().values():
            tensor.copy_(broadcast(tensor))
    return first, float(broadcast_object_list([spent])[0])


def _cut_curve(curve: Path, first: int) -> None:
    """Keep the rows of the loss curve up to the step that the run resumes from."""
    rows = lines_of(curve)[1:] if first and curve.exists() else []
    kept = [row for row in rows if (step := row.split(",")[0]).isdecimal() and int(step) <= first]
    write_text(curve, "\n".join(["step,seconds,loss", *kept]) + "\n")


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """All that a run resumes from, and the file that it is kept in; `of` says what is trained on what."""

    path: Path
    of: str
    modules: nn.Module
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    parameters: Sequence[Tensor]

    def save(self, step: int, seconds: float) -> None:
        """Keep the state after `step` steps in `seconds`."""
        tensors = {f"model.{k}": v for k, v in self.modules.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, p in enumerate(self.parameters):
            tensors |= {f"optimiser.{i}.{k}": v for k, v in self.optimiser.state.get(p, {}).items()}
        if odd := next((name for name, tensor in tensors.items() if not finite(tensor)), None):
            raise AstrogateError(f"{odd} is not finite after step {step}", "use a lower rate (lr)")
        archive.write(self.path, tensors, {"step": step, "seconds": seconds, "of": self.of}, format=_FORMAT)

    def restored(self) -> tuple[int, float]:
        """The step to resume from and the seconds spent before it: (0, 0) where nothing is kept."""
        if not self.path.exists():
            return 0, 0.0
        what, remedy = "a training's state", "delete it to start again"
        tensors, meta = archive.read(self.path, format=_FORMAT, fields=_FIELDS, what=what, remedy=remedy)
        if meta["of"] != self.of:
            raise AstrogateError(
                f"{self.path} is of another training: other data, models, sizes or seed",
                "name another folder for this run",
            )
        try:
            step = whole(meta["step"], "step", 1, 10**9)
            seconds = real(meta["seconds"], "seconds", 0)
            self.modules.load_state_dict(archive.below("model", tensors))
            self.average.load_state_dict(archive.below("average", tensors))
            for i, p in enumerate(self.parameters):
                if kept := archive.below(f"optimiser.{i}", tensors):
                    shapes = dict(zip(_MOMENTS, (p.shape, p.shape, torch.Size()), strict=True))
                    typed = all(value.dtype == torch.float32 for value in kept.values())
                    if not typed or {name: value.shape for name, value in kept.items()} != shapes:
                        raise AstrogateError("its optimiser is of other parameters", remedy)
                    self.optimiser.state[p] = {k: v.to(p.device) for k, v in kept.items()}
        except (AstrogateError, RuntimeError) as error:  # torch's word for other shapes
            raise AstrogateError(f"{self.path} is damaged ({reason(error)})", remedy) from error
        return step, seconds
