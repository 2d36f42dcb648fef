"""The large decoder beside the small one's pictures enlarged: nearness to drawings of 256 px, what is read, time.

1. Held-out drawings, encoded at 64 px: PSNR to the same scenes drawn at 256 px, and CLIP's distance on their squares of
   64 pixels, whose details it sees as they are. The drawings of 64 px themselves, enlarged, say what lossless latents
   would give.
2. Those, and pictures that the model draws of captions, read by a second oracle that is trained on drawings of 256 px:
   how often it reads what is true. It sees all 256 pixels, where the shipped one reads means over areas.
3. Seconds of the processor per picture, interleaved.

It needs a set with a large decoder. Run: python benchmarks/decoders.py RUN [COUNT], where RUN holds `data-256` of
`train menagerie --stage vae_decoder`, and keeps the reader. `RUN/decoders.png` shows the first pictures: enlarged,
decoded large, drawn. `RUN/prompts.png` shows twelve prompts in pairs, enlarged and decoded large, at 512 px.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clock import cpu_seconds
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

import astrogate as ag
from astrogate.measure.clip import Clip
from astrogate.measure.scores import bootstrap, mean
from astrogate.menagerie.factors import CATEGORICAL, CONTINUOUS
from astrogate.menagerie.oracle import Oracle, load_oracle, save_oracle
from astrogate.menagerie.world import visible
from astrogate.models.codec import Autoencoder
from astrogate.models.loading.locate import shipped_folder
from astrogate.ops.pixels import to_pixels
from astrogate.studies.world.scenes import drawings, held_out_scenes
from astrogate.train.kit.data import open_data
from astrogate.train.kit.loop import Schedule
from astrogate.train.parts.vae_decoder import squares
from astrogate.train.world.oracle import train_oracle

SIDE, SQUARE, CELL = 256, 64, 8
PROMPTS = (
    "a photo of a fat black dog with a red hat",
    "a drawing of a happy green cat on a beach",
    "a tall sad woman in the snow",
    "a 3d render of a spotted ladybug at night",
    "a photo of a king",
    "a digital painting of a striped horse in the jungle",
    "a painting of a thin man in the city",
    "a sketch of a boy",
    "doomsday pyramid cyberpunk alien invasion",
    "temple hidden in the jungle Monet style",
    "a canvas painting of a winding yellow cat in a meadow",
    "a photo of a sculpture",
)
SCHEDULE = Schedule(steps=4_000, batch=32, lr=2e-3, minutes=45, warmup=100, decay=0.7, ema=0.995)


def _layer(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class Reader(nn.Module):
    """A net that answers as `OracleNet` does. The channels of a cell are its 8 x 8 pixels, so that it sees them all."""

    def __init__(self, side: int = SIDE, widths: Sequence[int] = (96, 128, 160), hidden: int = 224) -> None:
        super().__init__()
        self.hparams = {"side": side, "widths": list(widths), "hidden": hidden}
        first = nn.PixelUnshuffle(CELL), _layer(3 * CELL**2, widths[0]), _layer(widths[0], widths[0])
        self.cells = nn.Sequential(*first)
        self.deep = nn.Sequential(
            *(nn.Sequential(_layer(a, b, 2), _layer(b, b)) for a, b in itertools.pairwise(widths)),
            nn.Conv2d(widths[-1], 16, 1),
        )
        outputs = sum(len(values) for values in CATEGORICAL.values()) + len(CONTINUOUS)
        flat = 16 * (side // CELL >> (len(widths) - 1)) ** 2
        self.head = nn.Sequential(nn.Linear(flat, hidden), nn.ReLU(), nn.Dropout(0.1), nn.Linear(hidden, outputs))
        self.mask = nn.Sequential(nn.Conv2d(widths[0], 1, 1), nn.Upsample(scale_factor=CELL, mode="bilinear"))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        cells = self.cells(x)
        out = self.head(self.deep(cells).flatten(1))
        return out[:, : -len(CONTINUOUS)], out[:, -len(CONTINUOUS) :], self.mask(cells)[:, 0]


def reader_of(run: Path) -> Oracle:
    """A reader that was trained on drawings of 256 px alone, kept in the run."""
    if not (run / "reader-256").is_dir():
        data, net = open_data(run / "data-256"), Reader()
        images: Any = data.arrays["images"]
        net = train_oracle(net, data, images, SCHEDULE, name="reader-256", folder=run, seed=5, device="cpu")
        save_oracle(net, run / "reader-256")
    return load_oracle(run / "reader-256", Reader)


def decoders() -> dict[str, Autoencoder]:
    """The small decoder and the large one of the shipped model."""
    from diffusers import AsymmetricAutoencoderKL, AutoencoderKL

    folder = shipped_folder()
    small: Any = AutoencoderKL.from_pretrained(folder / "vae_64")
    large: Any = AsymmetricAutoencoderKL.from_pretrained(folder / "vae")
    return {"enlarged": Autoencoder(small.float()), "large": Autoencoder(large.float())}


def decoded(coder: Autoencoder, latents: Tensor) -> Tensor:
    """Pictures of 256 px: as decoded, or enlarged."""
    return enlarged(torch.cat([coder.picture(part) for part in latents.split(8)]))


def enlarged(pictures: Tensor) -> Tensor:
    """Pictures of 256 px: as they are, or by bicubic interpolation."""
    if pictures.shape[-1] == SIDE:
        return pictures
    return F.interpolate(pictures, (SIDE, SIDE), mode="bicubic").clamp(0, 1)


def right(oracle: Oracle, pictures: Tensor, truths: list[dict[str, str]]) -> Iterator[tuple[str, list[float]]]:
    """By factor, whether it is read as it is stated, where it is."""
    readings = oracle.read(pictures)
    for name in CATEGORICAL:
        labels = readings.labels(name)
        yield name, [float(a == t[name]) for a, t in zip(labels, truths, strict=True) if name in t]


def save(picture: Tensor, path: Path) -> None:
    """Write a picture [3, h, w] in [0, 1]."""
    Image.fromarray(to_pixels(picture[None])[0]).save(path)


@torch.no_grad()
def main() -> None:
    """Print the tables."""
    run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200
    with torch.enable_grad():
        reader = reader_of(run)
    coders, clip = decoders(), Clip(shipped_folder() / "clip")
    scenes, captions = held_out_scenes(count)
    large, small = drawings(scenes, SIDE)[0], drawings(scenes, 64)[0]
    latents = torch.cat([coders["enlarged"].latents(part) for part in small.split(50)])
    again = {name: decoded(coder, latents) for name, coder in coders.items()}
    model = ag.load("menagerie", device="cpu")
    points = [model.point(c.text, seed=i) for i, c in enumerate(captions)]
    free = torch.cat([model.denoise(points[i : i + 16], ag.Recipe()) for i in range(0, count, 16)])
    made = {name: decoded(coder, free) for name, coder in coders.items()}

    print("| pictures | PSNR, dB | CLIP's distance on squares |\n| --- | --- | --- |")
    for name, pictures in (again | {"drawings of 64 px, enlarged": enlarged(small)}).items():
        psnr = -10 * (pictures - large).square().mean((1, 2, 3)).log10()
        far = clip.between(squares(pictures, SQUARE), squares(large, SQUARE)).view(count, -1).mean(1)
        print(f"| {name} | {bootstrap(mean, psnr.numpy())} | {bootstrap(mean, far.numpy())} |")
    shown = [{k: getattr(s, k) for k in CATEGORICAL if k in visible(s)} for s in scenes]
    stated = [{k: v for k, v in truth.items() if k in c.mentions} for truth, c in zip(shown, captions, strict=True)]
    both = [dict(right(reader, again[name], shown)) for name in again]
    both += [dict(right(reader, made[name], stated)) for name in made]
    drawn = dict(right(reader, large, shown))
    print("\n| read by the second oracle | drawings | decoded: enlarged | large | generated: enlarged | large |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in drawn:
        if drawn[name]:
            print(f"| {name} | " + " | ".join(str(bootstrap(mean, np.array(t[name]))) for t in (drawn, *both)) + " |")
    rows = [[x for t in part.values() for x in t] for part in (drawn, *both)]
    print("| all | " + " | ".join(str(bootstrap(mean, np.array(row))) for row in rows) + " |")

    print("\n| decoder | CPU seconds a picture, 1 at once | 8 at once |\n| --- | --- | --- |")
    times = {(name, n): list[float]() for name in coders for n in (1, 8)}
    for _ in range(5):
        for name, n in times:
            times[name, n].append(cpu_seconds(lambda name=name, n=n: coders[name].picture(latents[:n])) / n)
    for name in coders:
        print(f"| {name} | " + " | ".join(f"{np.median(times[name, n]):.3f}" for n in (1, 8)) + " |")
    points = [model.point(prompt, seed=i) for i, prompt in enumerate(PROMPTS)]
    free = model.denoise(points, ag.Recipe())
    pairs = torch.cat([decoded(coder, free) for coder in coders.values()], 3)
    pairs = F.interpolate(pairs, (512, 1024), mode="bicubic").clamp(0, 1)
    save(torch.cat([torch.cat(list(row), 2) for row in pairs.split(2)], 1), run / "prompts.png")
    sheet = [torch.cat(list(row[:6]), 2) for row in (*again.values(), large, *made.values())]
    save(torch.cat(sheet, 1), run / "decoders.png")


if __name__ == "__main__":
    main()
