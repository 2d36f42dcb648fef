"""Whether a stack of unCLIP does what it claims, against the world that its pictures come from.

Everything is measured on held-out combinations, by the oracle, with 95 % bootstrap intervals over pictures.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.nn.functional import cosine_similarity

from astrogate.core.point import Point
from astrogate.core.protocols import Model, Reader, Readings
from astrogate.core.recipe import Recipe
from astrogate.measure.distributions import diversity
from astrogate.measure.scores import Estimate, bootstrap, mean, psnr
from astrogate.menagerie.captions import MENTION_FROM, Caption
from astrogate.menagerie.factors import CATEGORICAL
from astrogate.menagerie.world import Scene, held_out, sample_scene, visible
from astrogate.methods.image.diff import diff
from astrogate.methods.image.encode import encode
from astrogate.methods.image.imagine import Kind, imagine
from astrogate.methods.image.vary import vary
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render
from astrogate.studies.world.scenes import drawings, held_out_scenes

#: Manipulations draw as DALL-E 2's: unguided, so that a picture comes back.
UNGUIDED = Recipe(50, 1.0)
KINDS: tuple[Kind, ...] = ("diffusion", "ar", "none")


#: What a caption may say without stating a factor's value: degrees, and a hat of any colour.
_VAGUE = re.compile(r"\b(?:very|slightly|an? hat)\b")


def plain_scenes(count: int, *, seed: int) -> tuple[list[Scene], list[Caption]]:
    """Held-out scenes with a caption each, that no planted fact stands behind and that is plain about what it says."""
    kept, drawn = list[tuple[Scene, Caption]](), count
    while len(kept) < count:
        drawn *= 2
        pairs = zip(*held_out_scenes(drawn, seed=seed), strict=True)
        kept = [(s, c) for s, c in pairs if s.concept is None and not _VAGUE.search(c.text)]
    scenes, captions = zip(*kept[:count], strict=True)
    return list(scenes), list(captions)


def twin(scene: Scene, caption: Caption, rng: np.random.Generator) -> Scene:
    """Another scene that the same caption describes: what it states is kept and can be seen, all else drawn anew."""
    while True:
        found = _drawn_anew(scene, caption, rng)
        if caption.mentions <= visible(found) | ({"hat"} if found.hat == "none" else set()):
            return found


def _drawn_anew(scene: Scene, caption: Caption, rng: np.random.Generator) -> Scene:
    other = sample_scene(rng)
    while other.concept is not None:
        other = sample_scene(rng)
    kept = {name: getattr(scene, name) for name in caption.mentions if name in CATEGORICAL}
    for name in ("build", "height", "mood"):
        if name in caption.mentions:
            kept[name] = float(np.sign(getattr(scene, name)) * rng.uniform(MENTION_FROM, 1.0))
    style = kept.get("style", other.style)
    strength = 0.0 if style == "none" else scene.strength if "style" in kept else other.strength
    found = replace(other, **kept, strength=strength)
    return replace(found, hat="none") if found.subject not in _HATTED and "hat" not in kept else found


_HATTED = [name for name in CATEGORICAL["subject"] if "hat" in visible(Scene(subject=name))]


@dataclass(frozen=True, slots=True)
class PriorQuality:
    """What a prior's embeddings are like: cosines to the picture's own and to the text, and seconds for a hundred."""

    to_picture: Estimate
    to_text: Estimate
    seconds: float


def prior_quality(
    stack: UnCLIP, scenes: Sequence[Scene], captions: Sequence[Caption], *, candidates: int = 2
) -> tuple[dict[str, PriorQuality], dict[str, Estimate]]:
    """For every kind of prior its quality; and what to hold it against, as cosines to the picture's embedding.

    "another drawing" is of the same caption, "unrelated" of another; "text" says how close a true picture is to z_t.
    """
    texts, rng = [caption.text for caption in captions], np.random.default_rng(0)
    z = stack.embed(drawings(list(scenes), stack.size)[0])
    again = [twin(s, c, rng) for s, c in zip(scenes, captions, strict=True)]
    others = stack.embed(drawings(again, stack.size)[0])
    z_t, found = stack.embed_text(texts), dict[str, PriorQuality]()
    for kind in KINDS:
        stack.imagine(texts[:1], seeds=[0], kind=kind, candidates=candidates)  # warm
        started = time.perf_counter()
        made = stack.imagine(texts, seeds=range(len(texts)), kind=kind, candidates=candidates)
        seconds = (time.perf_counter() - started) * 100 / len(texts)
        found[kind] = PriorQuality(_cosine(made, z), _cosine(made, z_t), seconds)
    return found, {
        "another drawing": _cosine(others, z),
        "unrelated": _cosine(z.roll(1, 0), z),
        "text": _cosine(z_t, z),
    }


def _cosine(a: Tensor, b: Tensor) -> Estimate:
    return bootstrap(mean, cosine_similarity(a, b).numpy())


def agreeing(readings: Readings, scenes: Sequence[Scene], captions: Sequence[Caption]) -> list[float]:
    """For each picture the share of the stated, visible categorical factors that are read as stated."""
    labels = {name: readings.labels(name) for name in CATEGORICAL}
    shares: list[float] = []
    for i, (scene, caption) in enumerate(zip(scenes, captions, strict=True)):
        names = [name for name in caption.mentions & visible(scene) if name in CATEGORICAL]
        shares.append(mean([float(labels[name][i] == getattr(scene, name)) for name in names]))
    return shares


def drawn_by(
    stack: UnCLIP,
    text_model: Model,
    captions: Sequence[Caption],
    *,
    guidance: float,
    text_guidance: float = 4.0,
    unread: bool = True,
) -> dict[str, Tensor]:
    """The same captions by every way there is: the text U-Net, each prior, and, if `unread`, the priors alone, with a
    decoder that does not read the caption."""
    texts, seeds = [caption.text for caption in captions], range(len(captions))
    recipe, pictures = Recipe(20, guidance), dict[str, Tensor]()
    points = [text_model.point(text, seed=seed) for text, seed in zip(texts, seeds, strict=True)]
    pictures["text U-Net"] = to_tensor(render(text_model, points, recipe=Recipe(20, text_guidance), batch_size=16))
    for kind in KINDS:
        for captioned in (True, False) if unread else (True,):
            name = {"none": "no prior"}.get(kind, f"{kind} prior") + ("" if captioned else ", caption unread")
            points = imagine(stack, texts, seeds=seeds, kind=kind, captioned=captioned)
            pictures[name] = to_tensor(render(stack, points, recipe=recipe, batch_size=16))
    return pictures


def spread_over_guidance(
    model: Model, points: Sequence[Sequence[Point]], features: Reader, guidances: Sequence[float]
) -> dict[float, Estimate]:
    """Diversity of one caption's pictures, mean over captions, at each guidance; `points` has one list per caption."""
    found: dict[float, Estimate] = {}
    for guidance in guidances:
        flat = [point for group in points for point in group]
        pictures = to_tensor(render(model, flat, recipe=Recipe(20, guidance), batch_size=16))
        seen = features.features(pictures).split([len(group) for group in points])  # type: ignore[attr-defined]
        found[guidance] = bootstrap(mean, [diversity(part) for part in seen])
    return found


def reconstruction(stack: UnCLIP, pictures: Tensor, iterations: Sequence[int]) -> dict[int, Estimate]:
    """PSNR in dB of pictures drawn from (z_i, x_T) against the autoencoder's reconstructions, by iterations."""
    target = stack.decode(stack.latents(pictures))
    found: dict[int, Estimate] = {}
    for count in iterations:
        points = encode(stack, pictures, iterations=count)
        found[count] = bootstrap(mean, psnr(stack.decode(stack.denoise(points, UNGUIDED)), target))
    return found


@dataclass(frozen=True, slots=True)
class Diffed:
    """Of text diffs at one theta: the share whose subject became the one asked for, and whose scene and medium stayed,
    against the reconstructions; a reconstruction that shows that subject already does not count."""

    theta: float
    flipped: Estimate
    scene: Estimate
    medium: Estimate


def still_read(stack: UnCLIP, reader: Reader, points: Sequence[Point]) -> Readings:
    """What a reader sees in the reconstructions of encoded pictures."""
    return reader.read(to_tensor(render(stack, points, recipe=UNGUIDED, batch_size=16)))


def text_diffs(
    stack: UnCLIP,
    reader: Reader,
    points: Sequence[Point],
    still: Readings,
    before: str,
    after: str,
    subject: str,
    theta: float,
) -> Diffed:
    """Encoded pictures changed from one caption to another, against their reconstructions, `still`."""
    edit = diff(stack, before, after)
    seen = still_read(stack, reader, [point.apply(edit, theta) for point in points])
    labels = zip(still.labels("subject"), seen.labels("subject"), strict=True)
    flipped = bootstrap(mean, [float(was != subject and now == subject) for was, now in labels])
    return Diffed(theta, flipped, _same(still, seen, "scene"), _same(still, seen, "medium"))


def _same(a: Readings, b: Readings, factor: str) -> Estimate:
    return bootstrap(mean, [float(x == y) for x, y in zip(a.labels(factor), b.labels(factor), strict=True)])


def survival(
    stack: UnCLIP, reader: Reader, points: Sequence[Point], scenes: Sequence[Scene], etas: Sequence[float]
) -> dict[str, dict[str, float]]:
    """By eta, the share of variations in which a visible factor is read as in the reconstruction: what CLIP kept of it.

    "another's" compares the reconstructions of different pictures: this much agrees by chance.
    """
    still = still_read(stack, reader, points)
    varied = [vary(point, 1, seed=i)[0] for i, point in enumerate(points)]
    shown = [visible(scene) for scene in scenes]

    def kept(labels: Mapping[str, Sequence[str]], others: Mapping[str, Sequence[str]]) -> dict[str, float]:
        return {
            name: mean([float(a == b) for a, b, v in zip(labels[name], others[name], shown, strict=True) if name in v])
            for name in _KEPT
        }

    own = {name: still.labels(name) for name in _KEPT}
    found: dict[str, dict[str, float]] = {}
    for eta in etas:
        recipe = replace(UNGUIDED, eta=eta)
        seen = reader.read(to_tensor(render(stack, varied, recipe=recipe, batch_size=16)))
        found[f"{eta:g}"] = kept(own, {name: seen.labels(name) for name in _KEPT})
    found["another's"] = kept(own, {name: [*labels[1:], labels[0]] for name, labels in own.items()})
    return found


_KEPT = ("subject", "colour", "pattern", "hat", "scene", "medium", "style")


def scenes_of(subject: str, count: int, *, seed: int = 4242) -> list[Scene]:
    """Held-out scenes of one subject that no planted fact stands behind."""
    rng, found = np.random.default_rng(seed), list[Scene]()
    while len(found) < count:
        scene = sample_scene(rng)
        scene = replace(scene, subject=subject)
        if scene.concept is None and held_out(scene):
            found.append(scene)
    return found
