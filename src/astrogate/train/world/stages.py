"""How each stage of Menagerie is trained: VAE, CLIP, U-Net and its patterns, readers, large decoder, student."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from astrogate.core.keys import key_of
from astrogate.menagerie.captions import PATTERN_WORDS
from astrogate.menagerie.factors import CATEGORICAL
from astrogate.menagerie.oracle import OracleNet, load_oracle, save_oracle
from astrogate.models.loading.checks import digest, latents_vae
from astrogate.models.loading.load import wrap
from astrogate.models.loading.locate import SHIPPED
from astrogate.train.kit.data import PictureData
from astrogate.train.kit.denoising import cache_moments, load_vae
from astrogate.train.kit.loop import Schedule
from astrogate.train.kit.stages import keep_stage
from astrogate.train.parts.clip import train_clip
from astrogate.train.parts.matching import match_student
from astrogate.train.parts.student import read_student, save_student, train_student
from astrogate.train.parts.unet import train_unet
from astrogate.train.parts.vae import train_vae
from astrogate.train.parts.vae_decoder import train_vae_decoder, vision_layers
from astrogate.train.parts.words import Lessons, Words, mixed, train_reader, train_words, with_reader
from astrogate.train.world.generated import generated_latents
from astrogate.train.world.oracle import cache_reconstructions, train_oracle
from astrogate.train.world.packing import NEEDS, drawing_unet, needed, text_encoder
from astrogate.train.world.presets import Preset, build_clip, build_large_vae, build_scheduler, build_unet, build_vae
from astrogate.train.world.tokenizer import save_tokenizer
from astrogate.train.world.witness import Witness
from astrogate.train.world.world_data import student_pairs, twin_data, world_data


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One stage of a run, about to be trained."""

    name: str
    preset: Preset
    run: Path
    data: PictureData
    tokenizer: Any
    seed: int
    start: Path | None

    @property
    def schedule(self) -> Schedule:
        return self.preset.schedules[self.name]

    @property
    def common(self) -> dict[str, Any]:
        """The options that every training takes."""
        return {"folder": self.run, "seed": self.seed, "device": self.preset.device, "of": self.of}

    @property
    def of(self) -> str:
        """What this training is of; a checkpoint of anything else is refused."""
        sizes = {k: value for k, value in asdict(self.preset).items() if k not in ("schedules", "device")}
        needs = [needed(self.run, self.name, name) for name in NEEDS.get(self.name, ())]
        begun = [] if self.start is None else [shipped_part(self.start, self.name)]
        drawing = drawing_unet(self.run) if self.name == "vae_decoder" else None
        parts = [digest(path) for path in (*needs, *begun, drawing) if path is not None and path.is_dir()]
        return key_of([self.name, self.seed, self.schedule.sam, sizes, self.data.recipe, parts])

    def begun(self, module: Any) -> Any:
        """The module as built, or with the shipped weights that it starts from, in float32."""
        folder = None if self.start is None else shipped_part(self.start, self.name)
        return module if folder is None or not folder.is_dir() else type(module).from_pretrained(folder).float()

    def vae(self) -> tuple[Any, str]:
        """The run's VAE and a key for what is cached of it."""
        return load_vae(self.run / "vae", self.preset.device), digest(self.run / "vae")[:8]

    def text_model(self) -> Any:
        """The run's text encoder."""
        from transformers import CLIPModel

        return CLIPModel.from_pretrained(self.run / "clip").text_model.float()

    def vision_model(self) -> Any:
        """What the run's CLIP sees with."""
        from transformers import CLIPModel

        return CLIPModel.from_pretrained(self.run / "clip").vision_model.float()

    def empty(self) -> Tensor:
        """The tokens [length] of no caption."""
        return self.tokenizer("", padding="max_length", return_tensors="pt").input_ids[0]

    def keep(self, save: Callable[[Path], object]) -> None:
        """Save the stage's result."""
        _keep(self.run, self.name, save)


def _vae(stage: Stage) -> None:
    vae = train_vae(stage.begun(build_vae(stage.preset)), stage.data, stage.schedule, **stage.common)
    stage.keep(vae.save_pretrained)


def _clip(stage: Stage) -> None:
    clip, groups = stage.begun(build_clip(stage.preset, stage.tokenizer)), look_alikes(stage.data)
    clip = train_clip(clip, stage.data, stage.schedule, groups=groups, **stage.common)
    _keep(stage.run, "tokenizer", lambda folder: save_tokenizer(stage.tokenizer, folder))
    stage.keep(clip.save_pretrained)


def _unet(stage: Stage) -> None:
    (vae, key), device = stage.vae(), stage.preset.device
    unet = train_unet(
        stage.begun(build_unet()),
        stage.text_model(),
        build_scheduler(),
        stage.data,
        cache_moments(vae, stage.data, key=key, device=device),
        stage.schedule,
        empty=stage.empty(),
        **stage.common,
    )
    stage.keep(unet.save_pretrained)


def _lessons(stage: Stage) -> Lessons:
    (vae, key), (preset, device) = stage.vae(), (stage.preset, stage.preset.device)
    shown: dict[str, Any] = {"size": preset.size, "seed": 2, "captions": 6, "tokenizer": stage.tokenizer}
    twins = twin_data(stage.run / "twins", preset.twins, **shown, workers=os.cpu_count() or 1)
    moments = [cache_moments(vae, data, key=key, device=device) for data in (twins, stage.data)]
    return Lessons(twins, moments[0], stage.data, moments[1])


def _reader(stage: Stage) -> None:
    """The U-Net with a reader of the patterns' words, which so far nothing draws by."""
    unet, lessons = with_reader(_unet_of(stage.run / "unet")), _lessons(stage)
    words = Words(stage.tokenizer, PATTERN_WORDS, unet.time_embedding.linear_2.out_features)
    unet.add_embedding = train_reader(
        unet.add_embedding, stage.text_model(), lessons, words, stage.schedule, name=stage.name, **stage.common
    )
    stage.keep(unet.save_pretrained)


def _patterns(stage: Stage) -> None:
    unet, lessons = _unet_of(stage.run / "reader"), _lessons(stage)
    words = Words(stage.tokenizer, PATTERN_WORDS, unet.time_embedding.linear_2.out_features)
    unet = train_words(
        unet,
        stage.text_model(),
        build_scheduler(),
        lessons,
        words,
        stage.schedule,
        empty=stage.empty(),
        name=stage.name,
        **stage.common,
    )
    unet = mixed(unet, _unet_of(stage.run / "unet"))
    stage.keep(unet.save_pretrained)


def _unet_of(folder: Path) -> Any:
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel.from_pretrained(folder, use_safetensors=True)
    return unet.float()


def _vae_decoder(stage: Stage) -> None:
    (vae, key), (preset, device) = stage.vae(), (stage.preset, stage.preset.device)
    side, count, free = 4 * preset.size, min(preset.large, len(stage.data)), None
    shown: dict[str, Any] = {"size": side, "seed": 1, "captions": 1, "tokenizer": stage.tokenizer}
    large = world_data(stage.run / f"data-{side}", count, **shown, workers=os.cpu_count() or 1)
    unet = drawing_unet(stage.run)
    if unet is not None:
        free = generated_latents(
            stage.data,
            preset.generated,
            _unet_of(unet),
            stage.text_model(),
            build_scheduler(),
            empty=stage.empty(),
            key=f"{digest(unet)[:8]}-{preset.generated}-{stage.seed}",
            seed=stage.seed,
            device=device,
        )
    moments = cache_moments(vae, stage.data, key=key, device=device)
    reader: Any = load_oracle(stage.run / "oracle").net.to(device).requires_grad_(False)
    vision = vision_layers(stage.vision_model().to(device).requires_grad_(False))
    trained = train_vae_decoder(
        stage.begun(build_large_vae(vae)),
        vae,
        large,
        moments,
        stage.schedule,
        layers=lambda x: [*reader.layers(x), *vision(x)],
        generated=free,
        **stage.common,
    )
    stage.keep(trained.save_pretrained)


def _student(stage: Stage) -> None:
    """A LoRA of the U-Net that the run draws with, distilled and matched as that of any other checkpoint.

    One that ships is matched again.
    """
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPModel

    begun, start, unet = None, stage.start, needed(stage.run, "student", "unet")
    if start is not None and (start / "student").is_dir() and digest(start / "unet") == digest(unet):
        begun = read_student(start / "student")
    (vae, key), device = stage.vae(), stage.preset.device
    pipe = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder(CLIPModel.from_pretrained(stage.run / "clip")).float(),
        tokenizer=stage.tokenizer,
        unet=_unet_of(unet),
        scheduler=build_scheduler(),
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    model = wrap(pipe.to(device), SHIPPED)
    pairs = student_pairs(cache_moments(vae, stage.data, key=key, device=device), 1, 6)
    common: dict[str, Any] = {"folder": stage.run, "seed": stage.seed}
    weights = begun or train_student(model, pairs, stage.schedule, **common)
    texts = [text for of_one in pairs.captions for text in of_one]
    matched = match_student(model, texts, weights, stage.preset.schedules["matching"], **common)
    stage.keep(lambda folder: save_student(matched, folder))


def _ruler(stage: Stage, *, kind: Callable[[int], nn.Module], offset: int) -> None:
    """A reader of factors; `offset` is added to the seed, so that no two readers are trained alike."""
    (vae, key), (seed, device) = stage.vae(), (stage.seed, stage.preset.device)
    rebuilt = cache_reconstructions(vae, stage.data, stage.preset.rebuilt, key=key, seed=seed, device=device)
    own: dict[str, Any] = stage.common | {"seed": seed + offset}
    net = train_oracle(kind(stage.preset.size), stage.data, rebuilt, stage.schedule, name=stage.name, **own)
    stage.keep(lambda folder: save_oracle(net, folder))


#: The stages in their order, and how each is trained.
STAGES: dict[str, Callable[[Stage], None]] = {
    "vae": _vae,
    "clip": _clip,
    "unet": _unet,
    "reader": _reader,
    "patterns": _patterns,
    "oracle": partial(_ruler, kind=OracleNet, offset=3),
    "witness": partial(_ruler, kind=Witness, offset=4),
    "vae_decoder": _vae_decoder,
    "student": _student,
}


def shipped_part(start: Path, name: str) -> Path:
    """Where shipped weights hold a stage: the large decoder is their VAE, where there is a small one beside it."""
    small = latents_vae(start)
    large = start / "vae" if small.name != "vae" else start / name
    return {"vae": small, "vae_decoder": large}.get(name, start / name)


def _keep(run: Path, name: str, save: Callable[[Path], object]) -> None:
    """Save a stage with the digests of the run's own stages that it was trained on."""
    keep_stage(run, name, save, {need: digest(needed(run, name, need)) for need in NEEDS.get(name, ())})


def look_alikes(data: PictureData) -> list[NDArray[np.int64]]:
    """Two groupings of pictures [n]: alike in medium, scene and colour, and alike in these and the subject."""
    names = list(CATEGORICAL)
    classes = np.asarray(data.arrays["classes"], np.int64)
    column = {name: classes[:, names.index(name)] for name in names}
    coarse = (column["medium"] * 100 + column["scene"]) * 100 + column["colour"]
    return [coarse, coarse * 100 + column["subject"]]
