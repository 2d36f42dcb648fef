"""The parts of a stack, one recipe per part: which folders it needs, which sizes it takes, how it is trained."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from astrogate.core.errors import AstrogateError
from astrogate.core.keys import key_of
from astrogate.measure.clip import Clip
from astrogate.models.loading.checks import digest
from astrogate.models.unclip.conditions import ImageConditions
from astrogate.models.unclip.load import save_codebook
from astrogate.ops.quantise import fit_codebook
from astrogate.train.kit.begin import begin, begin_decoder, starting_weights
from astrogate.train.kit.data import PictureData
from astrogate.train.kit.denoising import cache_moments, load_vae
from astrogate.train.kit.loop import Schedule
from astrogate.train.parts.ar_prior import dot_edges, train_ar_prior
from astrogate.train.parts.decoder import train_decoder
from astrogate.train.parts.embeddings import Embedded, embedded
from astrogate.train.parts.prior import prior_scheduler, train_prior
from astrogate.train.parts.upsampler import FACTOR, Corruption, train_upsampler, upsampler_scheduler
from astrogate.train.stack.presets import UnclipPreset, build_ar_prior, build_decoder, build_prior, build_upsampler
from astrogate.train.stack.source import Source
from astrogate.train.world.presets import build_scheduler

#: What writes a trained part into a folder.
Save = Callable[[Path], object]


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """One training of the part `name` into `folder`.

    `init` is a stack whose part it starts from; `trained_on` are the digests of the folders that it needs; `crew` is
    accelerate's `PartialState`.
    """

    name: str
    source: Source
    preset: UnclipPreset
    folder: Path
    seed: int
    init: Path | None
    trained_on: Mapping[str, str]
    crew: Any

    @property
    def device(self) -> str:
        return str(self.crew.device)

    @property
    def schedule(self) -> Schedule:
        return self.preset.schedules[self.name]

    def of(self, data: PictureData) -> str:
        """What this training is of; a checkpoint of anything else is refused."""
        sizes = {k: value for k, value in asdict(self.preset).items() if k not in ("schedules", "device", "large")}
        made = [self.name, dict(self.trained_on), sizes, self.seed, data.recipe]
        return json.dumps(made if self.init is None else [*made, key_of(starting_weights(self.init, self.name))])

    def started(self, model: Any) -> Any:
        """The model with the weights that it starts from."""
        if self.init is not None:
            begin(model, starting_weights(self.init, self.name)[0])
        return model

    def embedded(self) -> Embedded:
        """The decoder's pictures, as CLIP sees them. The first process builds what is missing."""
        clip = self.source.needed("clip")
        with self.crew.main_process_first():
            data = self.source.pictures(self.folder / "data", self.source.size)
            return embedded(
                Clip(clip, device=self.device),
                data,
                key=digest(clip)[:8],
                folder=self.folder,
                seed=self.seed,
                device=self.device,
                of=self.of(data),
            )


@dataclass(frozen=True, slots=True)
class Part:
    """How a part is trained, and what on: `needs` names folders of the source.

    The side of the decoder's pictures must be a multiple of two to the power of `halvings`.
    """

    train: Callable[[Training], Save]
    needs: tuple[str, ...]
    halvings: Callable[[Source, UnclipPreset], int] = lambda source, preset: 0

    def check(self, source: Source, preset: UnclipPreset) -> None:
        """Refuse what could not be trained, before any picture is read."""
        for name in self.needs:
            source.needed(name)
        grain = 2 ** self.halvings(source, preset)
        if source.size % grain:
            raise AstrogateError(f"pictures of {source.size} pixels", f"choose a size that {grain} divides")


def _prior(on: Training) -> Save:
    pictures = on.embedded()
    model = train_prior(on.started(build_prior(on.preset, pictures.clip)), pictures, on.schedule)
    return _saving({"": model, "scheduler": prior_scheduler()})


def _ar_prior(on: Training) -> Save:
    pictures = on.embedded()
    codebook = fit_codebook(pictures.z, error=0.005, buckets=on.preset.buckets)
    edges = dot_edges(pictures, on.preset.levels)
    model = on.started(build_ar_prior(on.preset, pictures.clip, len(codebook.basis)))
    model = train_ar_prior(model, codebook, edges, pictures, on.schedule)

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        save_codebook(codebook, edges, folder)

    return save


def _decoder(on: Training) -> Save:
    pictures, vae = on.embedded(), on.source.needed("vae")
    with on.crew.main_process_first():
        key = digest(vae)[:8]
        moments = cache_moments(load_vae(vae, on.device), pictures.data, key=key, device=on.device)
    unet, projection, normalizer = build_decoder(on.preset, pictures.clip, moments.shape[-1], moments.shape[2])
    if on.init is not None:
        begin_decoder(unet, projection, on.init)
    conditions, scheduler = ImageConditions(projection, normalizer), build_scheduler()
    unet, conditions = train_decoder(unet, conditions, scheduler, moments, pictures, on.schedule)
    return _saving(
        {
            "": unet,
            "text_proj": conditions.projection,
            "image_normalizer": conditions.normalizer,
            "scheduler": scheduler,
        }
    )


def _upsampler(on: Training, *, kind: Corruption, factor: int) -> Save:
    """An upsampler to `factor` times the side of the decoder's pictures."""
    side, crop = on.source.size * factor, on.preset.crops[factor > FACTOR]
    with on.crew.main_process_first():
        data = on.source.pictures(on.folder / f"data-{side}", side)
    unet = train_upsampler(
        on.started(build_upsampler(on.preset, side // crop)),
        data,
        on.schedule,
        kind=kind,
        crop=crop,
        folder=on.folder,
        seed=on.seed,
        device=on.device,
        name=on.name,
        of=on.of(data),
    )
    return _saving({"": unet, "scheduler": upsampler_scheduler(kind)})


def _saving(parts: Mapping[str, Any]) -> Save:
    """Saves a part and what belongs to it, each under its name below the part's folder."""

    def save(folder: Path) -> None:
        for below, part in parts.items():
            part.save_pretrained(folder / below)

    return save


def _latent_halvings(source: Source, preset: UnclipPreset) -> int:
    return source.halvings() + len(preset.decoder) - 1


def _crop_halvings(source: Source, preset: UnclipPreset) -> int:
    return len(preset.upsampler) - 1


PARTS = {
    "prior": Part(_prior, ("clip",)),
    "ar_prior": Part(_ar_prior, ("clip",)),
    "decoder": Part(_decoder, ("clip", "vae"), _latent_halvings),
    "upsampler": Part(partial(_upsampler, kind="blur", factor=FACTOR), (), _crop_halvings),
    "upsampler_2": Part(partial(_upsampler, kind="bsr", factor=FACTOR**2), (), _crop_halvings),
}
