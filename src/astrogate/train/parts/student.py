"""Distil a U-Net into a few-step student: a LoRA, by latent consistency (Luo et al. 2023: LCM, and LCM-LoRA).

    f(x, t) = c_skip(t) x + c_out(t) x_0(x, t)        x_0: what the predicted noise leaves of x; f(x, 0) = x
    L       = h(f_student(x_s, s), f_average(x_e, e))  h(d) = sqrt(d^2 + c^2) - c

x_s is a noisy latent at one of `LEVELS` steps, e lies `SKIP` of them below s, and x_e is where one step of DDIM with
the guided teacher leads from x_s. What the average knows of a picture climbs SKIP levels at a time: the fewer the hops,
the fewer the steps of training. The teacher is the U-Net without the LoRA, guided at one fixed scale, so that the
student draws without guidance; f_average is the student with a moving average of its weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from astrogate.core import archive
from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of
from astrogate.core.packages import need
from astrogate.core.protocols import Model
from astrogate.models.adapter import PipelineModel
from astrogate.models.loading.quiet import quiet
from astrogate.models.prediction import still, with_loss
from astrogate.train.kit.data import Batches
from astrogate.train.kit.denoising import drawn_latents
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.pairs import Pairs
from astrogate.train.kit.precision import reduced

#: How long and how fast, by default.
SCHEDULE = Schedule(steps=6_000, batch=32, lr=1e-3, minutes=90, warmup=100, decay=0.5, ema=0.99, weight_decay=0)
#: Levels of noise, as `LCMScheduler` counts them; how many one step of DDIM skips; the Huber loss's c.
LEVELS, SKIP, HUBER = 50, 2, 1e-3
_STUDENT, _AVERAGE = "student", "average"
#: The layers of a U-Net that the LoRA changes: attention, feed-forward, convolutions, time embeddings.
_LAYERS = (
    *("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"),
    *("conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj"),
)


def train_student(
    model: Model,
    pairs: Pairs,
    schedule: Schedule,
    *,
    folder: Path,
    seed: int,
    rank: int = 16,
    guidance: float = 4.0,
    decay: float = 0.9,
    begun: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """The LoRA's weights by name, of a student of `model` that draws as it does at `guidance`, in few steps.

    `decay` is that of the average, per step. It goes on from the weights `begun`, if there are any. The model is left
    as it was. Raises AstrogateError for a model without a loss of its own, for a U-Net that has a LoRA, and for weights
    of another rank or other layers.
    """
    need("peft", "lora")
    from peft import LoraConfig
    from peft.utils import set_peft_model_state_dict

    trained = with_loss(model)
    unet = trained.denoiser
    if getattr(unet, "peft_config", None):
        raise AstrogateError(f"{model.name} has a LoRA", "distil it without, or merge it first")
    torch.manual_seed(seed)
    of = f"{trained.weights}, guidance {guidance:g}, rank {rank}, seed {seed}, pictures {pairs.key}"
    with still(model), _channels_last(unet):
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(_LAYERS))
        try:
            with quiet():
                for name in (_STUDENT, _AVERAGE):
                    unet.add_adapter(config, name)
            if begun is not None:
                _check_begun(begun, _weights(unet))
                set_peft_model_state_dict(unet, {k: v.float() for k, v in begun.items()}, adapter_name=_STUDENT)
                of += f", on from {key_of(dict(begun))}"
            student, average = _layers(unet, _STUDENT), _layers(unet, _AVERAGE)
            average.load_state_dict(student.state_dict())
            order, free = Batches(len(pairs.moments), schedule.batch, seed), model.point(pairs.captions[0][0]).tensors
            loss = _Distillation(trained, pairs, order, student, average, free, guidance, decay)
            parts = nn.ModuleDict({"student": student.requires_grad_(True), "average": average.requires_grad_(False)})
            best = fit(parts, loss, schedule, folder=folder, name="student", seed=seed, of=of)
            student.load_state_dict(best["student"].state_dict())
            return _weights(unet)
        finally:
            unet.unload_lora()


@contextmanager
def _channels_last(unet: nn.Module) -> Iterator[None]:
    """Convolutions in the layout that is fastest: a step takes 3.3 s instead of 4.0 on two cores."""
    kernels = [p for p in unet.parameters() if p.ndim == 4 and p.is_contiguous()]
    for p in kernels:
        p.data = p.data.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for p in kernels:
            p.data = p.data.contiguous()


@dataclass(frozen=True, slots=True, eq=False)
class _Distillation:
    """The loss of a step."""

    model: PipelineModel
    pairs: Pairs
    order: Batches
    student: nn.ModuleList
    average: nn.ModuleList
    free: Mapping[str, Tensor]
    guidance: float
    decay: float

    def __call__(self, step: int, rng: np.random.Generator) -> Tensor:
        self._follow()
        index, device = self.order.at(step), self.model.device
        x, texts = drawn_latents(self.pairs.moments, index, str(device)), self.pairs.texts(index, rng)
        stride = len(self._alphas) // LEVELS
        start = torch.from_numpy(rng.integers(1, LEVELS + 1, len(index)) * stride - 1).to(device)
        end = (start - SKIP * stride).clamp(min=0)
        a, b = self._root(start)
        noisy = a * x + b * torch.randn_like(x)
        with reduced(device):
            with torch.no_grad():
                said = self.model.encode(texts)
                states = {space: said[space] for space in self.model.family.sites}
                below = self._taught(noisy, start, end, states)
                wanted = self._consistent(below, end, states, _AVERAGE)
            found = self._consistent(noisy, start, states, _STUDENT)
        return ((found - wanted).square() + HUBER**2).sqrt().mean() - HUBER

    @property
    def _alphas(self) -> Tensor:
        return self.model.pipe.scheduler.alphas_cumprod

    def _root(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The shares of picture and noise [n, 1, 1, 1] at timesteps [n]."""
        a = self._alphas.to(t.device)[t].float()[:, None, None, None]
        return a.sqrt(), (1 - a).sqrt()

    def _follow(self) -> None:
        """Move the average towards the student."""
        with torch.no_grad():
            for mean, own in zip(self.average.parameters(), self.student.parameters(), strict=True):
                mean.lerp_(own, 1 - self.decay)

    def _noise(self, x: Tensor, t: Tensor, states: Mapping[str, Tensor]) -> Tensor:
        """The noise that the U-Net, as it stands, sees in latents."""
        out = self.model.denoiser(x, t, **self.model.conditions(states, x)).sample.float()
        a, b = self._root(t)
        return a * out + b * x if self.model.predicts_v else out

    def _taught(self, x: Tensor, start: Tensor, end: Tensor, states: Mapping[str, Tensor]) -> Tensor:
        """Where one step of DDIM with the guided teacher leads."""
        unet = self.model.denoiser
        free = {k: self.free[f"negative_{k}"].expand_as(v) for k, v in states.items()}
        both = {k: torch.cat([free[k], v]) for k, v in states.items()}
        unet.disable_adapters()
        try:
            without, told = self._noise(torch.cat([x, x]), torch.cat([start, start]), both).chunk(2)
        finally:
            unet.enable_adapters()
        noise = without + self.guidance * (told - without)
        (a, b), (c, d) = self._root(start), self._root(end)
        return c * (x - b * noise) / a + d * noise

    def _consistent(self, x: Tensor, t: Tensor, states: Mapping[str, Tensor], adapter: str) -> Tensor:
        """f(x, t) of the student, or of its average."""
        self.model.denoiser.set_adapter(adapter)
        a, b = self._root(t)
        first = (x - b * self._noise(x, t, states)) / a
        scaled = (10.0 * t.float())[:, None, None, None]  # LCMScheduler's own, for a deviation of 0.5
        skip, out = 0.25 / (scaled**2 + 0.25), scaled / (scaled**2 + 0.25).sqrt()
        return skip * x + out * first


def _layers(unet: Any, name: str) -> nn.ModuleList:
    """The layers of an adapter, in the U-Net's order."""
    found = nn.ModuleList()
    for module in unet.modules():
        for kind in ("lora_A", "lora_B"):
            layers = getattr(module, kind, None)
            if isinstance(layers, nn.ModuleDict) and name in layers:
                found.append(layers[name])
    return found


def _weights(unet: Any) -> dict[str, Tensor]:
    from peft.utils import get_peft_model_state_dict

    return {k: v.detach().cpu().half() for k, v in get_peft_model_state_dict(unet, adapter_name=_STUDENT).items()}


def _check_begun(begun: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise AstrogateError for weights that are not those of the student's own layers."""
    found, wanted = ({name: value.shape for name, value in weights.items()} for weights in (begun, own))
    if found != wanted:
        raise AstrogateError("the weights to start from are of other layers, or of another rank", "leave them out")


def read_student(folder: Path) -> dict[str, Tensor]:
    """The weights of a student that `save_student` wrote into a folder. Raises AstrogateError for anything else."""
    from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE

    path = folder / LORA_WEIGHT_NAME_SAFE
    if not path.is_file():
        raise AstrogateError(f"{folder} holds no student", "name the folder of one that `train student` made")
    weights, _ = archive.read(path, what="a LoRA", remedy="name the folder of one that `train student` made")
    return {name.removeprefix("unet."): value for name, value in weights.items()}


def save_student(weights: Mapping[str, Tensor], folder: Path) -> Path:
    """Write a LoRA as diffusers does, for `pipe.load_lora_weights(folder)`; returns the file."""
    from diffusers.loaders.lora_base import LORA_WEIGHT_NAME_SAFE

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LORA_WEIGHT_NAME_SAFE
    archive.write(path, {f"unet.{name}": value for name, value in weights.items()})
    return path
