"""The card of the shipped stack of unCLIP: every measure of `unclip_measures`, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from astrogate.core.files import write_text
from astrogate.core.protocols import Model
from astrogate.measure.distributions import fid, kid
from astrogate.measure.scores import bootstrap, halves, mean
from astrogate.menagerie.oracle import Oracle
from astrogate.menagerie.world import Scene
from astrogate.methods.image.encode import encode
from astrogate.models.unclip.adapter import UnCLIP
from astrogate.ops.quantise import relative_error
from astrogate.studies.image import measures as measures
from astrogate.studies.image.enlarging import enlarged_by
from astrogate.studies.kit.report import page
from astrogate.studies.world.scenes import drawings, reconstruct
from astrogate.train.parts.upsampler import Corruption

#: Chosen on other captions and pictures than those reported.
GUIDANCE, THETA = 3.0, 0.2
_SEED, _GUIDANCES = 777, (1.0, 2.0, 3.0, 4.0, 6.0)

#: What each upsampler was trained to forgive, and its name in the table.
_CORRUPTIONS: tuple[tuple[Corruption, str], ...] = (("blur", "blurred"), ("bsr", "degraded"))
#: The numbers of steps that are compared: the default, and DALL-E 2's.
_STEPS = ((4, 27), (4, 15))

Table = tuple[Sequence[str], list[list[str]]]


def write_unclip_card(
    stack: UnCLIP, text_model: Model, oracle: Oracle, output: Path, *, captions: int, tell: Callable[[str], None]
) -> None:
    """Measure, and write `output`."""
    scenes, texts = measures.plain_scenes(captions, seed=_SEED)
    tables: dict[str, Table] = {}
    for name, made in (
        ("priors", lambda: _priors(stack, scenes, texts)),
        ("codes", lambda: _codes(stack, scenes)),
        ("pictures", lambda: _pictures(stack, text_model, oracle, scenes, texts)),
        ("spread", lambda: _spread(stack, text_model, oracle)),
        ("reconstruction", lambda: _reconstruction(stack)),
        ("diffs", lambda: _diffs(stack, oracle)),
        ("survival", lambda: _survival(stack, oracle)),
        ("upsampling", lambda: _upsampling(stack)),
    ):
        tables[name] = made()
        tell(name)
    values = {"captions": captions, "guidance": GUIDANCE, "theta": THETA, "name": stack.name}
    values |= {"threads": torch.get_num_threads()}
    write_text(output, page("unclip.md", tables=tables, **values))


def _priors(stack: UnCLIP, scenes: Sequence[Scene], captions: Sequence[measures.Caption]) -> Table:
    found, against = measures.prior_quality(stack, scenes, captions)
    gap = against["text"].value
    rows = [
        [kind, str(q.to_picture), str(q.to_text), f"{q.to_text.value - gap:+.3f}", f"{q.seconds:.1f}"]
        for kind, q in found.items()
    ]
    rows += [[name, str(value), "", "", ""] for name, value in against.items() if name != "text"]
    return (
        "Embedding",
        "Cosine to the picture's",
        "Cosine to the text's",
        "Gap to a true picture's",
        "s for 100",
    ), rows


def _codes(stack: UnCLIP, scenes: Sequence[Scene]) -> Table:
    """What the principal components save, and what the symbols lose."""
    book = stack.components
    z = stack.embed(drawings(list(scenes), stack.size)[0])
    full = len(book.mean)
    rows: list[list[str]] = []
    for rank in sorted({8, 16, 32, len(book.basis)}):
        if rank <= len(book.basis):
            rows.append([f"{rank} of {full}", f"{relative_error(z, book.project(z, rank)):.4f}", f"{rank / full:.0%}"])
    rows.append(
        [f"{len(book.basis)}, in {book.buckets} buckets", f"{relative_error(z, book.decode(book.encode(z))):.4f}", ""]
    )
    return ("Components", "Relative squared error, held-out", "Length of the sequence"), rows


def _pictures(
    stack: UnCLIP, text_model: Model, oracle: Oracle, scenes: list[Scene], captions: list[measures.Caption]
) -> Table:
    real = oracle.features(reconstruct(text_model, drawings(scenes, text_model.size)[0]))
    others, _ = measures.plain_scenes(len(scenes), seed=_SEED + 9)
    other = oracle.features(reconstruct(text_model, drawings(others, text_model.size)[0]))
    rows = [["the world, other scenes", "", *_apart(other, real)]]
    shares, seen = dict[str, list[float]](), dict[str, Tensor]()
    for name, pictures in measures.drawn_by(stack, text_model, captions, guidance=GUIDANCE).items():
        shares[name] = measures.agreeing(oracle.read(pictures), scenes, captions)
        seen[name] = oracle.features(pictures)
        rows.append([name, str(bootstrap(mean, shares[name])), *_apart(seen[name], real)])
    ours = "diffusion prior"
    for than in ("text U-Net", "ar prior", "no prior"):
        gain = bootstrap(lambda a, b: mean(a) - mean(b), shares[ours], shares[than])
        rows.append([f"{ours}, less {than}", str(gain), *_apart(seen[ours], real, seen[than])])
    return ("Drawn by", "Agreement with the caption", "FID", "KID"), rows


def _apart(seen: Tensor, real: Tensor, than: Tensor | None = None) -> tuple[str, str]:
    """FID and KID of features and those of real pictures, or how much larger they are than those of other features."""

    def told(far: Callable[[Tensor, Tensor], float]) -> str:
        if than is None:
            return f"{halves(far, seen, real):.1f}"
        return f"{halves(lambda x, y, z: far(x, z) - far(y, z), seen, than, real):.1f}"

    return told(fid), told(kid)


def _spread(stack: UnCLIP, text_model: Model, oracle: Oracle, *, captions: int = 24, each: int = 6) -> Table:
    _, texts = measures.plain_scenes(captions, seed=_SEED + 1)
    models: Mapping[str, Model] = {"unCLIP": stack, "text U-Net": text_model}
    found = {
        name: measures.spread_over_guidance(
            model,
            [model.points(text.text, range(each)) for text in texts],
            oracle,
            _GUIDANCES,
        )
        for name, model in models.items()
    }
    # z_i fixed, so that what differs is the decoder's own.
    every = stack.imagine([text.text for text in texts], seeds=[0] * len(texts))
    fixed = [[stack.point_at(z, t.text, seed=s) for s in range(each)] for z, t in zip(every, texts, strict=True)]
    found["unCLIP, one z_i a caption"] = measures.spread_over_guidance(stack, fixed, oracle, _GUIDANCES)
    rows = [[name, *(str(value) for value in by.values())] for name, by in found.items()]
    return ("Drawn by", *(f"guidance {g:g}" for g in _GUIDANCES)), rows


def _reconstruction(stack: UnCLIP, *, count: int = 32) -> Table:
    scenes, _ = measures.plain_scenes(count, seed=_SEED + 2)
    pictures = drawings(scenes, stack.size)[0]
    found = measures.reconstruction(stack, pictures, (1, 2, 3, 5))
    return ("Iterations", "PSNR against the autoencoder's, dB"), [[str(k), str(v)] for k, v in found.items()]


def _diffs(stack: UnCLIP, oracle: Oracle, *, count: int = 64) -> Table:
    points = encode(stack, drawings(measures.scenes_of("dog", count), stack.size)[0])
    still = measures.still_read(stack, oracle, points)
    right = mean([float(label == "dog") for label in still.labels("subject")])
    rows = [["the reconstructions: a dog", "0", f"{right:.2f}", "", ""]]
    for before in ("a dog", "a picture", ""):
        for theta in sorted({0.25, THETA, 0.5}):
            found = measures.text_diffs(stack, oracle, points, still, before, "a cat", "cat", theta)
            rows.append([before or "none", f"{theta:g}", str(found.flipped), str(found.scene), str(found.medium)])
    return ("From", "theta", "Became a cat", "Scene stays", "Medium stays"), rows


def _survival(stack: UnCLIP, oracle: Oracle, *, count: int = 48) -> Table:
    scenes, _ = measures.plain_scenes(count, seed=_SEED + 3)
    points = encode(stack, drawings(scenes, stack.size)[0])
    return survival_table(measures.survival(stack, oracle, points, scenes, (0.25, 0.5, 0.75, 1.0)))


def survival_table(found: Mapping[str, Mapping[str, float]]) -> Table:
    """What `unclip_measures.survival` found, a row for each eta."""
    names = list(next(iter(found.values())))
    return ("eta", *names), [[eta, *(f"{by[name]:.2f}" for name in names)] for eta, by in found.items()]


def _upsampling(stack: UnCLIP, *, count: int = 24) -> Table:
    scenes, _ = measures.plain_scenes(count, seed=_SEED + 4)
    rows: list[list[str]] = []
    for stage, corruption in zip(range(stack.upsamplers), _CORRUPTIONS, strict=False):
        side = stack.size * 4 ** (stage + 1)
        large = drawings(scenes[: count // 4**stage], side)[0]
        pairs: tuple[tuple[Corruption, str], ...] = (("none", "clean"), corruption)
        for kind, told in pairs:
            measured = enlarged_by(stack, large, stage=stage, corruption=kind, steps=_STEPS[stage])
            for name, found in measured.items():
                given = f"{side // 4} to {side}, {told}"
                gain = "" if name == "bicubic" else f"{found.gain:+.2f}"
                rows.append([name, given, f"{found.psnr:.2f}", gain, str(found.ssim), f"{found.seconds:.2f}"])
    return ("Enlarged by", "From and to", "PSNR, dB", "less bicubic's, dB", "SSIM", "s a picture"), rows
